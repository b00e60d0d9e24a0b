"""Which groups of rows do the same in a step of `GroupCache`, so that they do it together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from biasaudit.sampling.decoders.scratch import GROUP, OWN

InStep = tuple[int, slice, int]
"""A block, a run of groups, and the position in the block at which all their rows write."""

ByRow = tuple[int, torch.Tensor, torch.Tensor]
"""A block, rows (n,), and the cells (n · heads,) in which they write."""


def reaching(furthest: Sequence[int], block: int, blocks: int, *, some: bool) -> list[list[slice]]:
    """For each block of cells, runs of groups in which a row looks into it.

    The first block is everybody's, so that rows in between completions, too, see something.

    Args:
        furthest: each group's last cell that one of its rows looks into.
        block: cells of a block.
        blocks: how many there are.
        some: whether some groups may look into a block without the others.
    """
    found: list[list[slice]] = [[slice(0, len(furthest))]] if blocks else []
    for number in range(1, blocks):
        reach = [False, *(last // block >= number for last in furthest), False]
        ends = [group for group in range(len(reach) - 1) if reach[group] != reach[group + 1]]
        found.append([slice(*ends[at : at + 2]) for at in range(0, len(ends), 2)] if some else found[0])
    return found


def writing(own: torch.Tensor, cell: torch.Tensor) -> tuple[list[InStep], list[ByRow]]:
    """Where rows write that stand at positions `own` (B,) of their completions: whole groups in step, others by row.

    Args:
        own: the positions.
        cell: int64 (B, heads), each row's first cells in a block.
    """
    rows, start = len(own), 0
    whole = own[: rows // GROUP * GROUP].view(-1, GROUP)
    together = torch.where((whole == whole[:, :1]).all(1), whole[:, 0], -1)
    in_step: list[InStep] = []
    for position, groups in groupby(together.tolist()):
        run = slice(start, start := start + len(list(groups)))
        if position >= 0:
            in_step.append((position // OWN, run, position % OWN))
    alone = torch.ones(rows, dtype=torch.bool)
    alone[: whole.numel()] = (together < 0).repeat_interleave(GROUP)
    by_row: list[ByRow] = []
    for block in sorted(set((own[alone] // OWN).tolist())):
        some = (alone & (own // OWN == block)).nonzero().squeeze(1)
        by_row.append((block, some, (cell[some] + (own[some] % OWN * GROUP)[:, None]).flatten()))
    return in_step, by_row
