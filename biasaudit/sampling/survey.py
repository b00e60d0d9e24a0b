"""What a choice must know of a tile's logits: the largest, the sum of all weights, the best, and the mass of the rest.

A weight is exp(logit − the row's largest). The work is a few passes over the vocabulary, here in torch, or in the
compiled kernel where that is asked for; both find the same best tokens and differ in the last bits of sums at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from biasaudit.sampling import kernels, truncate

RUN = 64
"""Ids whose weights are summed together, before one of them is drawn."""

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
        """Take the memory: fresh pages for every step's temporaries cost more than the work in them."""
        self._kernel = kernels.step(device)
        self.race: Race | None = None if self._kernel is None else self._kernel.race
        if self._kernel is None:
            self._weights = torch.empty((rows, vocabulary), device=device)
            self.scratch: truncate.Scratch | None = truncate.Scratch(rows, vocabulary, device)
        else:
            self.scratch = None

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
            if k >= vocabulary:
                values, ids = truncate.best(logits, k)
            return Survey(logits, top, total, values, ids, sums)
        top = logits.amax(1, keepdim=True)
        torch.sub(logits, top, out=self._weights).exp_()
        total = self._weights.sum(1, keepdim=True)
        none = logits[:, :0]
        if k == 0:
            return Survey(logits, top, total, none, none.long(), none)
        values, ids = truncate.best(logits, k, self.scratch)
        sums = _sums_of_runs(self._weights.scatter_(1, ids, 0.0)) if rest else none
        return Survey(logits, top, total, values, ids, sums)


def _sums_of_runs(weights: torch.Tensor) -> torch.Tensor:
    """fp64 (B, runs) of weights (B, V)."""
    whole = weights.shape[1] // RUN
    sums = weights[:, : whole * RUN].reshape(len(weights), whole, RUN).sum(2)
    tail = weights[:, whole * RUN :].sum(1, keepdim=True)
    return torch.cat((sums, tail), 1).double()
