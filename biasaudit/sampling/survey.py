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

_SPARSE = 1 << 20
"""Logits in which one thread looks for the best: many, as threads of Python wait for each other at every call."""

_DENSE = 1 << 19
"""Logits whose weights are computed together: they stay in the processor's cache."""

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
        self._shares: torch.Tensor | None = None
        self._pool: ThreadPoolExecutor | None = None
        if self._kernel is None and device.type == "cpu":
            # Taken once: fresh memory of this size costs more than what is done with it.
            columns = -(-vocabulary // RUN) * RUN
            self._padded = torch.full((rows, columns), -torch.inf)
            self._shares = torch.empty(max(1, _DENSE // columns), columns)
            self._sparse = max(1, _SPARSE // columns)
            self._workers = min(torch.get_num_threads(), -(-rows // self._sparse))
            self._below = [np.ones((self._sparse, columns), dtype=np.bool_) for _ in range(self._workers)]
            self._pool = ThreadPoolExecutor(self._workers - 1) if self._workers > 1 else None

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
        elif self._shares is not None:
            values, ids, top, total, sums = self._on_cpu(logits, k if k < vocabulary else 0, rest=rest)
        else:
            values, ids, top, total, sums = _on_gpu(logits, k if k < vocabulary else 0, rest=rest)
        if k >= vocabulary:
            values, ids = (part.contiguous() for part in truncate.best(logits, k))
        return Survey(logits, top, total, values, ids, sums)

    def _on_cpu(self, logits: torch.Tensor, k: int, *, rest: bool) -> tuple[torch.Tensor, ...]:
        """The best by numpy, which is quick where little is found; all weights by torch; a few rows at a time."""
        assert self._shares is not None
        rows, together = len(logits), len(self._shares)
        whole = self._whole(logits)
        values, ids = self._best(whole.numpy(), k) if k else (logits[:, :0], None)
        top, largest = torch.empty(2, rows, 1)
        sums = torch.empty((rows, whole.shape[1] // RUN if rest else 0), dtype=torch.float64)
        for start in range(0, rows, together):
            part = slice(start, start + together)
            shares = torch.softmax(whole[part], 1, out=self._shares[: len(whole[part])])
            torch.amax(shares, 1, keepdim=True, out=largest[part])
            if ids is None:
                torch.amax(whole[part], 1, keepdim=True, out=top[part])
            if rest:
                assert ids is not None
                shares.scatter_(1, ids[part], 0.0)
                sums[part] = shares.view(len(shares), -1, RUN).sum(2)
        if ids is None:
            ids = torch.empty((rows, 0), dtype=torch.int64)
        else:
            torch.amax(values, 1, keepdim=True, out=top)
        total = largest.double().reciprocal_()
        return values, ids, top, total.float(), sums.mul_(total)

    def _whole(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, columns) without gaps, −∞ after the vocabulary; no copy where the caller left room for that."""
        (rows, vocabulary), columns = logits.shape, self._padded.shape[1]
        if logits.stride() == (columns, 1) and logits.untyped_storage().nbytes() >= rows * columns * 4:
            whole = logits.as_strided((rows, columns), (columns, 1))
            whole[:, vocabulary:] = -torch.inf
            return whole
        self._padded[:rows, :vocabulary] = logits
        return self._padded[:rows]

    def _best(self, cells: Cells, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The `k` best of each row and their ids, as `truncate.best` finds them; threads share the rows."""
        values, ids = np.empty((len(cells), k), dtype=np.float32), np.empty((len(cells), k), dtype=np.int64)
        starts = iter(range(0, len(cells), self._sparse))

        def work(below: Cells) -> None:
            with np.errstate(all="ignore"):
                for start in starts:
                    part = slice(start, start + self._sparse)
                    rows = cells[part]
                    values[part], ids[part] = truncate.above(rows, truncate.bound(rows, k), k, below[: len(rows)])

        others = [self._pool.submit(work, below) for below in self._below[1:]] if self._pool else []
        work(self._below[0])
        for other in others:
            other.result()
        return torch.from_numpy(values), torch.from_numpy(ids)


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
