"""What a choice must know of a tile's logits: the largest, the sum of all weights, the best, and the mass of the rest.

A weight is exp(logit − the row's largest). The work is a few passes over the vocabulary, here in torch, or in the
compiled kernel where that is asked for; both find the same best tokens and differ in the last bits of sums at most.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import numpy as np
import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels, noise, truncate
from biasaudit.sampling.truncate import Cells

RUN = 64
"""Ids whose weights are summed together, before one of them is drawn."""

_TOGETHER = 1 << 21
"""Logits that one thread surveys together: many, as threads of Python wait for each other at every call."""


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
        self._memory: list[_Memory] = []
        self._pool: ThreadPoolExecutor | None = None
        if self._kernel is None and device.type == "cpu":
            workers = min(torch.get_num_threads(), rows)
            self._together = max(1, min(-(-rows // workers), _TOGETHER // vocabulary))
            self._memory = [_Memory(self._together, vocabulary) for _ in range(workers)]
            self._pool = _pool(workers)

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
        elif self._pool is not None:
            values, ids, top, total, sums = self._on_cpu(logits, k if k < vocabulary else 0, rest=rest)
        else:
            values, ids, top, total, sums = _on_gpu(logits, k if k < vocabulary else 0, rest=rest)
        if k >= vocabulary:
            values, ids = (part.contiguous() for part in truncate.best(logits, k))
        return Survey(logits, top, total, values, ids, sums)

    def race(self, found: Survey, keys: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each row's best tokens the one with the largest logit + noise, and by how much it is above the largest.

        Args:
            found: the survey.
            keys: int64 (B,), position keys.
            table: `noise.token_table`.

        Returns:
            ids int64 (B, 1) and fp64 (B, 1).
        """
        values, ids, top = found.values, found.ids, found.top
        if self._kernel is not None:
            won: tuple[torch.Tensor, torch.Tensor] = self._kernel.race(values, ids, top, keys, table)
            return won
        if self._pool is None:
            return _race(values, ids, top, keys, table)
        chosen, score = torch.empty_like(ids[:, :1]), torch.empty_like(top, dtype=torch.float64)
        # Few parts, as threads wait for each other at every call; twice the threads, so that less is in memory.
        together = -(-len(keys) // (2 * len(self._memory)))

        def work(start: int) -> None:
            part = slice(start, start + together)
            with torch.inference_mode():
                chosen[part], score[part] = _race(values[part], ids[part], top[part], keys[part], table)

        list(self._pool.map(work, range(0, len(keys), together)))
        return chosen, score

    def _on_cpu(self, logits: torch.Tensor, k: int, *, rest: bool) -> tuple[torch.Tensor, ...]:
        """By numpy where little is found, and torch, whose exp is twice as quick; threads share the rows."""
        cells = logits.numpy()
        rows, vocabulary = cells.shape
        top, total = np.empty((2, rows, 1), dtype=np.float32)
        values, ids = np.empty((rows, k), dtype=np.float32), np.empty((rows, k), dtype=np.int64)
        sums = np.empty((rows, -(-vocabulary // RUN) if rest else 0))
        starts = iter(range(0, rows, self._together))

        def work(memory: _Memory) -> None:
            with torch.inference_mode(), np.errstate(all="ignore"):
                for start in starts:
                    part = slice(start, start + self._together)
                    _survey_rows(cells[part], memory, (values[part], ids[part], top[part], total[part], sums[part]))

        assert self._pool is not None
        list(self._pool.map(work, self._memory))
        return tuple(map(torch.from_numpy, (values, ids, top, total, sums)))


def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads in each of which torch works alone; the thread that asks keeps as many as it had."""
    threads, ready = torch.get_num_threads(), Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # takes over the process's number, which would otherwise be done later
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(workers, initializer=begin)
    for _ in range(workers):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)
    return pool


class _Memory:
    """What one thread needs to survey some rows, taken once: fresh memory would cost more than the work."""

    def __init__(self, rows: int, vocabulary: int) -> None:
        """For `rows` rows; the columns after the vocabulary weigh nothing and are never among the best."""
        columns = -(-vocabulary // RUN) * RUN
        self.weights = torch.zeros((rows, columns), dtype=torch.float32)
        self.below = np.ones((rows, columns), dtype=np.bool_)
        self.runs = np.empty((rows, columns // RUN), dtype=np.float32)
        self.sums = np.empty(self.runs.shape)


def _survey_rows(cells: Cells, memory: _Memory, found: tuple[Cells, ...]) -> None:
    """Survey logits (n, V) into `found`: values, ids, top, total and rest, as in `Survey`."""
    values, ids, top, total, rest = found
    (rows, vocabulary), k = cells.shape, values.shape[1]
    below, logits, weights = memory.below[:rows], torch.from_numpy(cells), memory.weights[:rows]
    runs, by_runs, sums = memory.runs[:rows], weights.numpy().reshape(rows, -1, RUN), memory.sums[:rows]
    if k:
        bound, top[:] = truncate.bound(cells, k)
        # Not below: nothing reaches NaN, and a row that holds one must find k cells too.
        np.less(cells, bound, out=below[:, :vocabulary])
        values[:], ids[:] = truncate.above(cells, k, below)
    else:
        cells.max(1, keepdims=True, out=top)
    torch.sub(logits, torch.from_numpy(top), out=weights[:, :vocabulary]).exp_()
    np.einsum("nrk->nr", by_runs, out=runs)
    # The same sum whatever else is asked: what a decoding looks at must not change another's log-probabilities.
    sums[:] = runs
    total[:] = sums.sum(1, keepdims=True)
    if rest.shape[1]:
        weights.scatter_(1, torch.from_numpy(ids), 0.0)
        np.einsum("nrk->nr", by_runs, out=runs)
        rest[:] = runs


def _race(
    values: torch.Tensor, ids: torch.Tensor, top: torch.Tensor, keys: torch.Tensor, table: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Winners and their scores, as in `Surveyor.race`."""
    score, place = (noise.gumbel(keys[:, None], table[ids]).add_(values - top)).max(1, keepdim=True)
    return ids.gather(1, place), score


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
