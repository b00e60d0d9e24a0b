"""What a step of `GroupCache` writes into, taken once: fresh memory would cost more than the work."""

from __future__ import annotations

import torch

GROUP = 16
"""Rows that stand together: those of an AMX tile."""

OWN = 16
"""Positions of completions in a block."""

SHARED = 32
"""Positions of prompts in a block."""


class Scratch:
    """Memory of a step for queries of which `sharing` read one key head, and the views of it that are written."""

    def __init__(self, groups: int, heads: int, sharing: int, width: int, dtype: torch.dtype) -> None:
        """Take it; what must be zero stays so."""
        self.groups = groups
        batch, lanes = groups * heads, sharing * GROUP
        self._shape, self._dtype = (groups, heads, sharing, GROUP), dtype
        self._cells: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.column = torch.empty((batch, width, lanes), dtype=dtype)
        """A query a column."""
        self.of_groups = self.column.view(groups, heads, width, lanes)
        self.asked = self.column.view(groups, heads, width, sharing, GROUP).permute(0, 4, 1, 3, 2)
        """(groups, GROUP, heads, sharing, width): where the queries of a step belong."""
        self.table = torch.empty((batch, OWN * GROUP, lanes), dtype=dtype)
        table = self.table.view(groups, heads, OWN, GROUP, sharing, GROUP).diagonal(dim1=3, dim2=5)
        self.diagonal = table.permute(0, 1, 3, 4, 2)
        """(groups, heads, sharing, GROUP, OWN): each row's own keys with its own queries."""
        self.spread = torch.zeros((batch, lanes, OWN * GROUP), dtype=dtype)
        self.placed = self.spread.view(*self._shape, OWN, GROUP).diagonal(dim1=3, dim2=5)
        """(groups, heads, sharing, OWN, GROUP): where each row's shares stand among zeros."""
        self.part = torch.empty((batch, lanes, width), dtype=dtype)
        self.wide, self.out = torch.empty((2, *self._shape, width)).unbind()

    def cells(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and shares of so many cells: (groups, heads, sharing, GROUP, count) each.

        What no run of groups looks into is hidden: a step's layers write the same scores.
        """
        if count not in self._cells:
            scores, shares = torch.full((2, *self._shape, count), -torch.inf, dtype=self._dtype)
            self._cells = {count: (scores, shares)}
        return self._cells[count]

    def hide(self) -> None:
        """Hide every cell, before a step."""
        for scores, _ in self._cells.values():
            scores.fill_(-torch.inf)
