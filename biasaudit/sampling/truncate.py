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
    return (_best_on_cpu if logits.device.type == "cpu" else _best_on_gpu)(logits, k, scratch)


def _best_on_cpu(logits: torch.Tensor, k: int, scratch: Scratch) -> tuple[torch.Tensor, torch.Tensor]:
    """`best` by numpy, whose comparisons, quickselect and compressions are several times as fast as torch's here."""
    rows, vocabulary = logits.shape
    cells = logits.contiguous().numpy()
    found = np.flatnonzero(np.greater_equal(cells, _lower_bound(logits, k).numpy(), out=scratch.mask.numpy()))
    sizes = np.diff(np.searchsorted(found, np.arange(rows + 1) * vocabulary))
    if sizes.min() < k:  # only where a row holds NaN, which nothing reaches
        return _best_on_cpu(logits.nan_to_num(nan=-torch.inf), k, scratch)
    values = np.take(cells.reshape(-1), found)
    table = np.full((rows, sizes.max()), -np.inf, dtype=np.float32)
    table[np.arange(table.shape[1]) < sizes[:, None]] = values
    split = table.shape[1] - k
    table.partition(split, axis=1)
    kth = np.repeat(table[:, split], sizes)
    stays = values >= kth
    if np.count_nonzero(stays) != rows * k:
        tied = values == kth
        row = np.repeat(np.arange(rows), sizes)
        spare = k - np.bincount(row[values > kth], minlength=rows)
        running = np.cumsum(tied)
        before = running[np.cumsum(sizes) - sizes] - tied[np.cumsum(sizes) - sizes]
        stays &= ~tied | (running - before[row] <= spare[row])
    ids = found[stays].reshape(rows, k) - (np.arange(rows) * vocabulary)[:, None]
    return torch.from_numpy(values[stays].reshape(rows, k)), torch.from_numpy(ids)


def _best_on_gpu(logits: torch.Tensor, k: int, scratch: Scratch) -> tuple[torch.Tensor, torch.Tensor]:
    rows, vocabulary = logits.shape
    kth = _kth_value(logits, k)
    stays = torch.ge(logits, kth, out=scratch.mask)
    if int(stays.sum()) != rows * k:
        tied = logits == kth
        spare = k - (logits > kth).sum(1, keepdim=True)
        stays &= ~tied | (tied.cumsum(1) <= spare)
    flat = stays.flatten().nonzero().squeeze(1)
    if len(flat) != rows * k:  # only where a row holds NaN
        return _best_on_gpu(logits.nan_to_num(nan=-torch.inf), k, scratch)
    ids = flat.view(rows, k) % vocabulary
    return logits.gather(1, ids), ids


def _lower_bound(logits: torch.Tensor, k: int) -> torch.Tensor:
    """(B, 1): at most the k-th largest value of each row, and not far below it.

    The k-th largest of the maxima of disjoint groups: k cells reach it, one in each of k groups. Four times
    as many groups as `k` make the bound close, and the maxima are still a small table.
    """
    vocabulary = logits.shape[1]
    size = min(_WIDEST_GROUP, vocabulary // (4 * k))
    if size < 2:
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
