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

_TOGETHER = 1 << 20
"""Logits that one thread surveys together: many, as threads of Python wait for each other at every call."""

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
        self._memory: list[_Memory] = []
        self._pool: ThreadPoolExecutor | None = None
        if self._kernel is None and device.type == "cpu":
            self._together = max(1, min(rows, _TOGETHER // vocabulary))
            workers = min(torch.get_num_threads(), -(-rows // self._together))
            self._memory = [_Memory(self._together, vocabulary) for _ in range(workers)]
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
        elif self._memory:
            values, ids, top, total, sums = self._on_cpu(logits, k if k < vocabulary else 0, rest=rest)
        else:
            values, ids, top, total, sums = _on_gpu(logits, k if k < vocabulary else 0, rest=rest)
        if k >= vocabulary:
            values, ids = (part.contiguous() for part in truncate.best(logits, k))
        return Survey(logits, top, total, values, ids, sums)

    def _on_cpu(self, logits: torch.Tensor, k: int, *, rest: bool) -> tuple[torch.Tensor, ...]:
        """By numpy, which is quick where little is found; threads share the rows."""
        cells = logits.numpy()
        rows, vocabulary = cells.shape
        top, total = np.empty((2, rows, 1), dtype=np.float32)
        values, ids = np.empty((rows, k), dtype=np.float32), np.empty((rows, k), dtype=np.int64)
        sums = np.empty((rows, -(-vocabulary // RUN) if rest else 0))
        starts = iter(range(0, rows, self._together))

        def work(memory: _Memory) -> None:
            with np.errstate(all="ignore"):
                for start in starts:
                    part = slice(start, start + self._together)
                    _survey_rows(cells[part], memory, (values[part], ids[part], top[part], total[part], sums[part]))

        others = [self._pool.submit(work, memory) for memory in self._memory[1:]] if self._pool else []
        work(self._memory[0])
        for other in others:
            other.result()
        return tuple(map(torch.from_numpy, (values, ids, top, total, sums)))


class _Memory:
    """What one thread needs to survey some rows, taken once: fresh memory would cost more than the work."""

    def __init__(self, rows: int, vocabulary: int) -> None:
        """For `rows` rows; the columns after the vocabulary weigh nothing and are never among the best."""
        columns = -(-vocabulary // RUN) * RUN
        self.weights = np.zeros((rows, columns), dtype=np.float32)
        self.below = np.ones((rows, columns), dtype=np.bool_)


def _survey_rows(cells: Cells, memory: _Memory, found: tuple[Cells, ...]) -> None:
    """Survey logits (n, V) into `found`: values, ids, top, total and rest, as in `Survey`."""
    values, ids, top, total, sums = found
    (rows, vocabulary), k = cells.shape, values.shape[1]
    weights = memory.weights[:rows]
    if k:
        values[:], ids[:] = truncate.above(cells, truncate.bound(cells, k), k, memory.below[:rows])
        values.max(1, keepdims=True, out=top)
    else:
        cells.max(1, keepdims=True, out=top)
    inside = weights[:, :vocabulary]
    np.exp(np.subtract(cells, top, out=inside), out=inside)
    runs = weights.reshape(rows, -1, RUN)
    # The same sum whatever else is asked: what a decoding looks at must not change another's log-probabilities.
    total[:] = np.einsum("nrk->nr", runs).sum(1, dtype=np.float64, keepdims=True)
    if sums.shape[1]:
        weights.reshape(-1)[(ids + np.arange(rows)[:, None] * weights.shape[1]).reshape(-1)] = 0.0
        sums[:] = np.einsum("nrk->nr", runs)


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
