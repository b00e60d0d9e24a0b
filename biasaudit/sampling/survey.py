"""What a choice must know of a tile's logits: the largest, the sum of all weights, the best, and the mass of the rest.

A weight is exp(logit − the row's largest). The work is a few passes over the vocabulary, here in torch, or in the
compiled kernel where that is asked for; both find the same best tokens and differ in the last bits of sums at most.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels, truncate
from biasaudit.sampling.truncate import Cells

RUN = 64
"""Ids whose weights are summed together, before one of them is drawn."""

_HOT = 1 << 18
"""Logits that one thread surveys together: they and their weights fit into a core's cache."""

_NOTHING = np.empty(0, dtype=np.int64)

Race = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]
"""The best tokens, their ids, the largest logit, position keys and hashed ids, to winners and their scores, (B, 1)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Of logits (B, V), after temperature and penalty."""

    logits: torch.Tensor
    top: torch.Tensor
    """fp32 (B, 1): the largest."""
    total: torch.Tensor
    """fp32 (B, 1): the sum of all weights; not finite where a logit is not a number."""
    values: torch.Tensor
    """fp32 (B, k): the best, in order of ids."""
    ids: torch.Tensor
    """int64 (B, k)."""
    rest: torch.Tensor
    """fp64 (B, runs): weights that are not among the best, summed over runs of ids."""

    def weights(self, rows: torch.Tensor, run: torch.Tensor) -> torch.Tensor:
        """fp64 (n, RUN): the weights of the rest in one run (n, 1) of each of `rows` (n,)."""
        vocabulary = self.logits.shape[1]
        ids = run * RUN + torch.arange(RUN, device=run.device)
        inside = ids.clamp(max=vocabulary - 1)
        best = self.ids[rows]
        place = torch.searchsorted(best, inside).clamp_(max=best.shape[1] - 1)
        gone = (best.gather(1, place) == inside) | (ids >= vocabulary)
        return (self.logits[rows[:, None], inside] - self.top[rows]).exp().masked_fill_(gone, 0.0).double()


class Surveyor:
    """Makes surveys of one tile's logits."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        """Prepare for logits (rows, vocabulary)."""
        self._kernel = kernels.step(device)
        self.race: Race | None = None if self._kernel is None else self._kernel.race
        self._weights: list[Cells] = []
        self._pool: ThreadPoolExecutor | None = None
        if self._kernel is None and device.type == "cpu":
            together = max(1, _HOT // vocabulary)
            workers = min(torch.get_num_threads(), -(-rows // together))
            self._weights = [np.empty((together, vocabulary), dtype=np.float32) for _ in range(workers)]
            self._pool = ThreadPoolExecutor(workers - 1) if workers > 1 else None

    def __call__(self, logits: torch.Tensor, k: int, *, rest: bool = False) -> Survey:
        """Survey fp32 `logits` (B, V).

        Args:
            logits: the tile's.
            k: how many are the best; 0, or as many as there are tokens, selects nothing.
            rest: whether the mass beyond the best is wanted.
        """
        vocabulary = logits.shape[1]
        if self._kernel is not None:
            values, ids, top, total, sums = self._kernel.survey(logits, k if k < vocabulary else 0)
        elif self._weights:
            values, ids, top, total, sums = self._on_cpu(logits, k if k < vocabulary else 0, rest=rest)
        else:
            values, ids, top, total, sums = _on_gpu(logits, k if k < vocabulary else 0, rest=rest)
        if k >= vocabulary:
            values, ids = (part.contiguous() for part in truncate.best(logits, k))
        return Survey(logits, top, total, values, ids, sums)

    def _on_cpu(self, logits: torch.Tensor, k: int, *, rest: bool) -> tuple[torch.Tensor, ...]:
        """A few rows after the other, while they are in the processor's cache; threads share the rows."""
        cells = logits.numpy()
        rows, vocabulary = cells.shape
        top, total = np.empty((2, rows, 1), dtype=np.float32)
        sums = np.zeros((rows, -(-vocabulary // RUN) if rest else 0))
        found: list[Cells] = [_NOTHING] * rows
        starts = iter(range(0, rows, len(self._weights[0])))

        def work(weights: Cells) -> None:
            with np.errstate(all="ignore"):
                for start in starts:
                    part = slice(start, start + len(weights))
                    best = _survey_rows(cells[part], weights, k, top[part], total[part], sums[part])
                    found[start] = best + start * vocabulary

        others = [self._pool.submit(work, weights) for weights in self._weights[1:]] if self._pool else []
        work(self._weights[0])
        for other in others:
            other.result()
        values, ids = np.empty((rows, 0), dtype=np.float32), np.empty((rows, 0), dtype=np.int64)
        if k:
            places = np.concatenate(found)
            sizes = np.diff(np.searchsorted(places, np.arange(rows + 1) * vocabulary))
            row = np.repeat(np.arange(rows), sizes)
            places -= row * vocabulary
            each = cells[row, places]
            stays = truncate.largest(each, sizes, k)
            values, ids = each[stays].reshape(rows, k), places[stays].reshape(rows, k)
            if rest:
                gone = np.flatnonzero(~stays)
                row = row[gone]
                run = row * sums.shape[1] + places[gone] // RUN
                weights = np.exp(each[gone] - top[row, 0])
                sums += np.bincount(run, weights, minlength=sums.size).reshape(sums.shape)
        return tuple(map(torch.from_numpy, (values, ids, top, total, sums)))


def _survey_rows(cells: Cells, weights: Cells, k: int, top: Cells, total: Cells, sums: Cells) -> Cells:
    """Cells, counted along the rows, that may be among the `k` best of their row; the rest into `top` and so on.

    Args:
        cells: logits (n, V).
        weights: memory for weights.
        k: how many are the best; 0 finds none.
        top: (n, 1), each row's largest.
        total: (n, 1), the sum of all weights.
        sums: (n, runs), of weights that are not found; (n, 0) when they are not wanted.
    """
    weights = weights[: len(cells)]
    cells.max(1, keepdims=True, out=top)
    np.exp(np.subtract(cells, top, out=weights), out=weights)
    reach = truncate.reaches(cells, k) if k else None
    weights.sum(1, keepdims=True, out=total)
    if sums.shape[1]:
        if reach is not None:
            np.putmask(weights, reach, np.float32(0.0))
        whole = cells.shape[1] // RUN
        sums[:, :whole] = weights[:, : whole * RUN].reshape(len(cells), whole, RUN).sum(2)
        sums[:, whole:] = weights[:, whole * RUN :].sum(1, keepdims=True)
    return _NOTHING if reach is None else np.flatnonzero(reach)


def _on_gpu(logits: torch.Tensor, k: int, *, rest: bool) -> tuple[torch.Tensor, ...]:
    """Values, ids, top, total and rest, as in `Survey`."""
    top = logits.amax(1, keepdim=True)
    weights = (logits - top).exp_()
    total = weights.sum(1, keepdim=True)
    values, ids = truncate.best(logits, k) if k else (logits[:, :0], logits[:, :0].long())
    sums = logits[:, :0]
    if rest:
        tail = -weights.shape[1] % RUN
        sums = F.pad(weights.scatter_(1, ids, 0.0), (0, tail)).view(len(logits), -1, RUN).sum(2).double()
    return values, ids, top, total, sums
