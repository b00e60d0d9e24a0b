"""Which tokens stay in the race: the best k, then top_k, top_p and min_p on the remaining mass.

The order is temperature → top_k → top_p → min_p (CONTRACT §1). `torch.topk` leaves open which of several equal
logits it returns; here the lowest ids win, so the set never depends on the machine. Every operation works on each row
by itself: what a row keeps never depends on its neighbours.
"""

from __future__ import annotations

import math

import numpy as np
import torch

_WIDEST_GROUP = 64


class Scratch:
    """Memory for `best` over a whole tile: fresh pages for every step's temporaries cost more than the work in them."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        """Take it: a byte a cell."""
        self.mask = torch.empty((rows, vocabulary), dtype=torch.bool, device=device)


def best(logits: torch.Tensor, k: int, scratch: Scratch | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The `k` largest of each row of fp32 `logits` (B, V), ties at the k-th value by lowest id.

    Cells that reach a lower bound of the k-th value are packed together, and only these are compared exactly.

    Returns:
        values (B, k) and ids (B, k) int64, in order of ids.
    """
    rows, vocabulary = logits.shape
    if k >= vocabulary:
        ids = torch.arange(vocabulary, device=logits.device).expand(rows, vocabulary)
        return logits, ids
    scratch = scratch or Scratch(rows, vocabulary, logits.device)
    found = _true_positions(_at_least(logits, _lower_bound(logits, k), scratch.mask))
    edges = torch.arange(rows + 1, device=logits.device) * vocabulary
    edges = torch.searchsorted(found, edges)
    sizes = edges[1:] - edges[:-1]
    least, most = (int(x) for x in torch.aminmax(sizes))
    if least < k:  # only where a row holds NaN, which nothing reaches
        return best(logits.nan_to_num(nan=-torch.inf), k, scratch)
    places = torch.arange(most, device=logits.device)
    there = places < sizes[:, None]
    flat = found[(edges[:-1, None] + places).clamp_(max=len(found) - 1)]
    values = logits.flatten()[flat].masked_fill_(~there, -torch.inf)
    kth = _kth_value(values, k)
    stays = (values >= kth) & there
    if int(stays.sum()) != rows * k:
        tied = (values == kth) & there
        spare = k - (stays & ~tied).sum(1, keepdim=True)
        stays &= ~tied | (tied.cumsum(1) <= spare)
    return values[stays].view(rows, k), (flat % vocabulary)[stays].view(rows, k)


def _lower_bound(logits: torch.Tensor, k: int) -> torch.Tensor:
    """(B, 1): at most the k-th largest value of each row, and not far below it.

    The k-th largest of the maxima of disjoint groups: k cells reach it, one in each of k groups. Four times
    as many groups as `k` make the bound close, and the maxima are still a small table.
    """
    vocabulary = logits.shape[1]
    size = min(_WIDEST_GROUP, vocabulary // (4 * k))
    if size < 2 or logits.device.type != "cpu":
        return _kth_value(logits, k)
    groups = vocabulary // size
    # Strided groups: the maximum of `size` long runs of memory, cell by cell. Cells after the last run stand alone.
    maxima = logits[:, : groups * size].reshape(len(logits), size, groups).amax(1)
    return _kth_value(torch.cat((maxima, logits[:, groups * size :]), 1), k)


def _kth_value(values: torch.Tensor, k: int) -> torch.Tensor:
    """(B, 1): the k-th largest of each row of (B, n)."""
    if values.device.type == "cpu":
        # numpy's vectorised quickselect takes a third of the time of torch.topk here.
        split = values.shape[1] - k
        copy = values.clone()
        copy.numpy().partition(split, axis=1)
        return copy[:, split : split + 1].clone()
    return torch.topk(values, k, dim=1, sorted=True).values[:, -1:]


def _at_least(values: torch.Tensor, bound: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Values ≥ bound into the bool tensor `out`; numpy compares several times as fast as torch."""
    if values.device.type == "cpu":
        np.greater_equal(values.numpy(), bound.numpy(), out=out.numpy())
        return out
    return torch.ge(values, bound, out=out)


def _true_positions(mask: torch.Tensor) -> torch.Tensor:
    """int64: flat positions of the true cells, in order."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)


def ranked(values: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `best` gives, in order of falling value, equal values by rising id."""
    values, order = torch.sort(values, dim=1, descending=True, stable=True)
    return values, ids.gather(1, order)


def keep(
    values: torch.Tensor,
    *,
    top: torch.Tensor,
    total: torch.Tensor,
    top_k: torch.Tensor,
    top_p: torch.Tensor,
    min_p: torch.Tensor,
) -> torch.Tensor:
    """Which of the ranked candidates stay.

    A token survives top_p when the mass before it is below `top_p`, so the token that crosses the line stays, and the
    best token always does. min_p is a share of the best token's probability; it does not change when mass is removed.

    Args:
        values: (B, k) logits after temperature, falling.
        top: (B, 1) each row's largest logit after temperature.
        total: (B, 1) sum of exp(logit − top) over the vocabulary.
        top_k: int64 (B, 1); 0 keeps all.
        top_p: fp64 (B, 1); 1 keeps all.
        min_p: fp64 (B, 1); 0 keeps all.

    Returns:
        bool (B, k); a true last column says that more tokens might survive than there are candidates.
    """
    rank = torch.arange(values.shape[1], device=values.device)
    limit = torch.where(top_k > 0, top_k, torch.iinfo(torch.int64).max)
    cumulative = (values - top).double().exp().cumsum(1)
    last = torch.clamp(limit, max=values.shape[1]) - 1
    mass = torch.where(top_k > 0, cumulative.gather(1, last), total.double())
    before = torch.nn.functional.pad(cumulative[:, :-1], (1, 0))
    stays = (rank < limit) & ((before < top_p * mass) | (top_p >= 1.0))
    stays &= values.double() >= top.double() + min_p.log()
    stays[:, 0] = True
    return stays


def candidates(*, top_k: int, top_p: float, min_p: float, most: int, vocabulary: int) -> int:
    """How many candidates a decoding starts with; 0 for one that truncates nothing.

    Depends on the decoding alone, never on what else is in the tile. A decoding that would need more than `most` is
    first given `most`; a row for which they do not suffice is then ranked in full.
    """
    limited = 0 < top_k < vocabulary
    if not limited and top_p >= 1.0 and min_p <= 0.0:
        return 0
    if limited and top_k > most:
        return vocabulary
    wanted = top_k if limited else most
    return min(vocabulary, most, max(64, 1 << math.ceil(math.log2(wanted))))
