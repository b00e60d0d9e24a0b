"""Which tokens stay in the race: the best k, then top_k, top_p and min_p on the remaining mass.

The order is temperature → top_k → top_p → min_p (CONTRACT §1). `torch.topk` leaves open which of several equal
logits it returns; here the lowest ids win, so the set never depends on the machine. Every operation works on each row
by itself: what a row keeps never depends on its neighbours.
"""

from __future__ import annotations

import math

import numpy as np
import torch


class Scratch:
    """Memory for `best` over a whole tile: fresh pages for every step's temporaries cost more than the work in them."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        """Take it: five bytes a cell."""
        self.copy = torch.empty((rows, vocabulary), device=device)
        self.mask = torch.empty((rows, vocabulary), dtype=torch.bool, device=device)


def _kth_value(logits: torch.Tensor, k: int, scratch: Scratch) -> torch.Tensor:
    """(B, 1): the k-th largest value of each row of (B, V)."""
    if logits.device.type == "cpu":
        # numpy's vectorised quickselect takes a third of the time of torch.topk here.
        split = logits.shape[1] - k
        copy = scratch.copy.copy_(logits)
        copy.numpy().partition(split, axis=1)
        return copy[:, split : split + 1].clone()
    return torch.topk(logits, k, dim=1, sorted=True).values[:, -1:]


def best(logits: torch.Tensor, k: int, scratch: Scratch | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The `k` largest of each row of fp32 `logits` (B, V), ties at the k-th value by lowest id.

    Returns:
        values (B, k) and ids (B, k) int64, in order of ids.
    """
    rows, vocabulary = logits.shape
    if k >= vocabulary:
        ids = torch.arange(vocabulary, device=logits.device).expand(rows, vocabulary)
        return logits, ids
    scratch = scratch or Scratch(rows, vocabulary, logits.device)
    kth = _kth_value(logits, k, scratch)
    flat = _true_positions(torch.ge(logits, kth, out=scratch.mask))
    if flat.numel() != rows * k:
        flat = _drop_late_ties(flat, logits, kth, k)
    ids = flat.view(rows, k) % vocabulary
    return logits.gather(1, ids), ids


def _true_positions(mask: torch.Tensor) -> torch.Tensor:
    """int64: flat positions of the true cells, in order."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)


def _drop_late_ties(flat: torch.Tensor, logits: torch.Tensor, kth: torch.Tensor, k: int) -> torch.Tensor:
    """Drop, of every row with more than `k` cells, the cells of highest id that equal the k-th value."""
    rows, vocabulary = logits.shape
    row = flat // vocabulary
    tied = logits.flatten()[flat] == kth[row, 0]
    spare = k - torch.bincount(row[~tied], minlength=rows)
    running = torch.cumsum(tied, 0)
    before = torch.zeros(rows, dtype=torch.int64, device=flat.device)
    counts = torch.bincount(row[tied], minlength=rows)
    before[1:] = torch.cumsum(counts, 0)[:-1]
    return flat[~tied | (running - before[row] <= spare[row])]


def ranked(logits: torch.Tensor, k: int, scratch: Scratch | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """As `best`, but in order of falling value, equal values by rising id."""
    values, ids = best(logits, k, scratch)
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
