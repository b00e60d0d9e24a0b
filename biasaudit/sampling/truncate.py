"""Which tokens stay in the race: the best k, then top_k, top_p and min_p on the remaining mass.

The order is temperature → top_k → top_p → min_p (CONTRACT §1). `torch.topk` leaves open which of several equal
logits it returns; here the lowest ids win, so the set never depends on the machine. Every operation works on each row
by itself: what a row keeps never depends on its neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

_WIDEST_GROUP = 64

_WORD = 8
"""Truth values in a machine word, which are looked at together."""

_ALL = 0x0101010101010101
"""A word of true values."""

Cells = np.ndarray[Any, Any]


def best(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `k` largest of each row of fp32 `logits` (B, V), ties at the k-th value by lowest id.

    Only cells that reach a lower bound of the k-th value are compared exactly.

    Returns:
        values (B, k) and ids (B, k) int64, in order of ids.
    """
    rows, vocabulary = logits.shape
    if k >= vocabulary:
        ids = torch.arange(vocabulary, device=logits.device).expand(rows, vocabulary)
        return logits, ids
    if logits.device.type != "cpu":
        return _best_on_gpu(logits, k)
    cells = logits.contiguous().numpy()
    below = np.ones((rows, -(-vocabulary // _WORD) * _WORD), dtype=np.bool_)
    # Not below: nothing reaches NaN, and a row that holds one must find k cells too.
    np.less(cells, bound(cells, k)[0], out=below[:, :vocabulary])
    found = above(cells, k, below)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def above(cells: Cells, k: int, below: Cells) -> tuple[Cells, Cells]:
    """The `k` largest of each row of fp32 `cells` (B, V) and their ids, (B, k) each, as in `best`.

    Args:
        cells: the logits.
        k: how many.
        below: bool (B, V rounded up to words), which cells are below a value that `k` of their row reach, and true
            after the vocabulary.
    """
    rows, vocabulary = cells.shape
    columns = below.shape[1]
    words = below.reshape(-1).view(np.int64)
    some = np.flatnonzero(words != _ALL)
    inside = np.flatnonzero(~words.take(some).view(np.bool_))
    places = some.take(inside >> 3)
    places <<= 3
    places += inside & 7
    # One index, not two: numpy looks up flat memory several times faster, and other threads need not wait for it.
    sizes = np.diff(np.searchsorted(places, np.arange(rows + 1) * columns))
    stride = cells.strides[0] // cells.itemsize
    shift = np.repeat(np.arange(rows) * columns, sizes)
    flat = np.lib.stride_tricks.as_strided(cells, ((rows - 1) * stride + vocabulary,), (cells.itemsize,))
    values = flat.take(places if stride == columns else places + shift // columns * (stride - columns))
    stays = np.flatnonzero(largest(values, sizes, k))
    places -= shift
    return values.take(stays).reshape(rows, k), places.take(stays).reshape(rows, k)


def largest(values: Cells, sizes: Cells, k: int) -> Cells:
    """Which are the `k` largest of their row, bool (n,).

    Args:
        values: fp32 (n,), row after row in order of ids.
        sizes: int64 (B,), how many are each row's: at least `k`.
        k: how many stay of each.
    """
    rows, widest = len(sizes), int(sizes.max())
    cells = np.full(rows * widest, -np.inf, dtype=np.float32)
    ends = np.cumsum(sizes)
    cells[np.arange(len(values)) + np.repeat(np.arange(rows) * widest - ends + sizes, sizes)] = values
    table = cells.reshape(rows, widest)
    split = widest - k
    table.partition(split, axis=1)
    kth = np.repeat(table[:, split], sizes)
    stays = values >= kth
    if np.count_nonzero(stays) != rows * k:
        if np.isnan(values).any():  # nothing is as large as that, not even itself
            return largest(np.where(np.isnan(values), np.float32(-np.inf), values), sizes, k)
        tied = values == kth
        row = np.repeat(np.arange(rows), sizes)
        spare = k - np.bincount(row[values > kth], minlength=rows)
        running = np.cumsum(tied)
        before = running[ends - sizes] - tied[ends - sizes]
        stays &= ~tied | (running - before[row] <= spare[row])
    return stays


def bound(cells: Cells, k: int) -> tuple[Cells, Cells]:
    """A value (B, 1) that at least `k` cells of each row of (B, V) reach, seldom many more; and the largest, (B, 1).

    It is the k-th largest of the maxima of disjoint groups, as k cells reach it, one in each of k groups. Four times as
    many groups as `k` make it close, and the maxima are still a small table.
    """
    rows, vocabulary = cells.shape
    size = max(1, min(_WIDEST_GROUP, vocabulary // (4 * k)))
    groups = vocabulary // size
    # Strided groups: the maximum of `size` long runs of memory, cell by cell. Cells after the last run stand alone.
    maxima = np.empty((rows, groups + vocabulary - groups * size), dtype=np.float32)
    np.maximum.reduce(cells[:, : groups * size].reshape(rows, size, groups), axis=1, out=maxima[:, :groups])
    maxima[:, groups:] = cells[:, groups * size :]
    split = maxima.shape[1] - k
    maxima.partition(split, axis=1)
    return maxima[:, split : split + 1], maxima[:, split:].max(1, keepdims=True)


def _best_on_gpu(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, vocabulary = logits.shape
    kth = torch.topk(logits, k, dim=1, sorted=True).values[:, -1:]
    stays = logits >= kth
    if int(stays.sum()) != rows * k:
        tied = logits == kth
        spare = k - (logits > kth).sum(1, keepdim=True)
        stays &= ~tied | (tied.cumsum(1) <= spare)
    flat = stays.flatten().nonzero().squeeze(1)
    if len(flat) != rows * k:  # only where a row holds NaN
        return _best_on_gpu(logits.nan_to_num(nan=-torch.inf), k)
    ids = flat.view(rows, k) % vocabulary
    return logits.gather(1, ids), ids


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
