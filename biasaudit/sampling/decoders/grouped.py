"""A key-value cache for processors with a matrix unit: sixteen rows attend at a time, a prompt's keys are stored once.

A product with one query wastes fifteen of the sixteen rows that AMX multiplies at a time. So sixteen rows of the tile
stand together. Their own keys are multiplied with all sixteen queries, and of the sixteen results the row's own is
taken; back, a row's shares stand among zeros, which add exactly nothing. Keys of a prompt that several of the rows
continue are stored and read once for all of them.

Every product has one fixed shape, blocks of positions are added in order, and blocks that a row does not need have a
share of exactly 0: a row's bits depend neither on its place nor on its company (CONTRACT §1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate
from biasaudit.sampling.decoders.blocks import BlockCache

GROUP = 16
"""Rows that stand together: those of an AMX tile."""

OWN = 16
"""Positions of completions in a block."""

SHARED = 32
"""Positions of prompts in a block."""


def cache(
    *, layers: int, rows: int, heads: int, width: int, dtype: torch.dtype, device: torch.device, allocate: Allocate
) -> BlockCache | GroupCache:
    """The cache that suits the processor."""
    groups = (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and width % 32 == 0
        and kernels.attention(device, dtype, width) is None
        and torch.cpu._is_amx_tile_supported()
    )
    made = GroupCache if groups else BlockCache
    return made(layers=layers, rows=rows, heads=heads, width=width, dtype=dtype, device=device, allocate=allocate)


class GroupCache:
    """Keys and values of a tile; the interface of `BlockCache`."""

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        heads: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        allocate: Allocate,
    ) -> None:
        """An empty cache; memory is taken block by block, as rows grow."""
        self._layers, self._rows, self._heads, self._width = layers, rows, heads, width
        self._groups = -(-rows // GROUP)
        self._dtype, self._device, self._allocate = dtype, device, allocate
        self._own: list[tuple[torch.Tensor, torch.Tensor]] = []
        """A block: keys and values (layers, groups · heads, GROUP · OWN, width) each."""
        self._prompts = (self._shared(0, 0), self._shared(0, 0))
        """Keys and values (layers, blocks, rounds, groups, heads, SHARED, width): a group's prompts, one a round."""
        self._held: list[torch.Tensor | None] = [None for _ in range(self._groups * GROUP)]
        """Each row's prompt, by the tensor of its keys."""
        self._round = torch.zeros(self._groups * GROUP, dtype=torch.int64)
        self._start = torch.zeros(self._groups * GROUP, dtype=torch.int64)
        row = torch.arange(rows)
        self._cell = ((row // GROUP * heads)[:, None] + torch.arange(heads)) * GROUP + (row % GROUP)[:, None]
        self._shapes: dict[int, _Scratch] = {}

    def _shared(self, blocks: int, rounds: int) -> torch.Tensor:
        shape = (self._layers, blocks, rounds, self._groups, self._heads, SHARED, self._width)
        return self._allocate(shape, self._dtype, self._device)

    def reserve(self, tokens: int) -> None:
        """Nothing to do: blocks are added as rows grow, and what is stored never moves."""

    def place(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Give `row` a prompt: keys and values, (layers, heads, length, width) each."""
        group, length = row // GROUP, keys.shape[2]
        self._held[row] = None
        self._start[row] = length
        first = group * GROUP
        beside = {int(self._round[first + i]): held for i, held in enumerate(self._held[first : first + GROUP])
                  if held is not None}  # fmt: skip
        known = [number for number, held in beside.items() if held is keys]
        number = known[0] if known else min(set(range(GROUP)) - set(beside))
        self._held[row], self._round[row] = keys, number
        if known:
            return
        _, blocks, rounds, *_ = self._prompts[0].shape
        if number >= rounds or length > blocks * SHARED:
            more = max(blocks, -(-length // SHARED)), max(rounds, number + 1)
            grown = self._shared(*more), self._shared(*more)
            for new, old in zip(grown, self._prompts, strict=True):
                new[:, :blocks, :rounds] = old
            self._prompts = grown
        for block, start in enumerate(range(0, length, SHARED)):
            for whole, part in zip(self._prompts, (keys, values), strict=True):
                piece = part[:, :, start : start + SHARED]
                whole[:, block, number, group, :, : piece.shape[2]] = piece

    def aim(self, positions: torch.Tensor, _longest: int) -> None:
        """Prepare a step: each row writes at its position (int64 (B,)) and reads up to it."""
        own = (positions - self._start[: self._rows]).clamp_(min=0)
        blocks = int(own.max()) // OWN + 1
        while len(self._own) < blocks:
            shape = (self._layers, self._groups * self._heads, GROUP * OWN, self._width)
            pair = [self._allocate(shape, self._dtype, self._device) for _ in range(2)]
            self._own.append((pair[0], pair[1]))
        self._blocks = blocks
        self._here = F.pad(positions, (0, len(self._start) - self._rows))
        block = own // OWN
        flat = self._cell * OWN + (own % OWN)[:, None]
        self._writes = []
        """Which rows write into a block, None for all, and where."""
        for number in sorted(set(block.tolist())):
            rows = (block == number).nonzero().squeeze(1)
            every = len(rows) == self._rows
            self._writes.append((number, None if every else rows, (flat if every else flat[rows]).flatten()))
        held = [int(self._round[row]) for row, prompt in enumerate(self._held) if prompt is not None]
        longest = max((int(self._start[row]) for row, prompt in enumerate(self._held) if prompt is not None), default=0)
        self._rounds, self._shared_blocks = max(held, default=0) + 1, -(-longest // SHARED)
        self._biases: dict[int | None, torch.Tensor] = {}

    def _bias(self, window: int | None) -> torch.Tensor:
        """(groups, 1, 1, GROUP, cells): −∞ where a row must not look."""
        if window not in self._biases:
            start, here = self._start[:, None], self._here[:, None]
            cells = torch.arange(self._shared_blocks * SHARED)
            at = torch.cat((torch.where(cells < start, cells, here + 1), start + torch.arange(self._blocks * OWN)), 1)
            hidden = at > here
            if window is not None:
                hidden |= at <= here - window
            bias = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
            self._biases[window] = bias.view(self._groups, 1, 1, GROUP, -1)
        return self._biases[window]

    def _each_round(self, lanes: torch.Tensor) -> torch.Tensor:
        """(rounds · groups · heads, …) of what is the same for every round."""
        return lanes if self._rounds == 1 else lanes.repeat(self._rounds, 1, 1)

    def _mine(self, found: torch.Tensor, sharing: int) -> torch.Tensor:
        """(groups, heads, sharing, GROUP, n): what each row found with its own prompt."""
        found = found.view(self._rounds, self._groups, self._heads, sharing, GROUP, -1)
        if self._rounds == 1:
            return found[0]
        number = self._round.view(1, self._groups, 1, 1, GROUP, 1)
        return found.gather(0, number.expand(1, *found.shape[1:]))[0]

    def _scratch(self, sharing: int) -> _Scratch:
        """Memory of a step, taken once."""
        if sharing not in self._shapes:
            self._shapes[sharing] = _Scratch(self._groups, self._heads, sharing, self._width, self._dtype)
        return self._shapes[sharing]

    def _store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Write this step's keys and values (B, H, D), as integers: whole rows, whatever they mean."""
        new = [part.reshape(self._rows, -1, self._width).view(torch.int64) for part in (key, value)]
        for block, rows, flat in self._writes:
            for whole, part in zip(self._own[block], new, strict=True):
                cells = whole[layer].view(-1, self._width).view(torch.int64)
                cells.index_copy_(0, flat, (part if rows is None else part[rows]).flatten(0, 1))

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        """Store this step's key and value, and attend to all positions up to it: see `BlockCache.attend`."""
        groups, heads, width = self._groups, self._heads, self._width
        self._store(layer, key, value)
        sharing = query.shape[1] // heads
        lanes = sharing * GROUP
        query = F.pad(query, (0, 0, 0, 0, 0, groups * GROUP - self._rows)) if self._rows % GROUP else query
        query = query.view(groups, GROUP, heads, sharing, width)
        scratch = self._scratch(sharing)
        bias = self._bias(window)
        scores, shares = scratch.cells(bias.shape[-1])
        torch.mul(query, scale, out=scratch.columns)
        if self._shared_blocks:
            torch.mul(query, scale, out=scratch.asked)
            asked = self._each_round(scratch.lanes)
        at = 0
        for block in range(self._shared_blocks):
            keys = self._prompts[0][layer, block, : self._rounds].flatten(0, 2)
            found = self._mine(torch.bmm(asked, keys.transpose(1, 2)), sharing)
            here = slice(at, at := at + SHARED)
            torch.add(found, bias[..., here], out=scores[..., here])
        for block in range(self._blocks):
            torch.bmm(self._own[block][0][layer], scratch.column, out=scratch.table)
            here = slice(at, at := at + OWN)
            torch.add(scratch.diagonal, bias[..., here], out=scores[..., here])
        torch.softmax(scores, dim=-1, out=shares)
        out, wide, at = scratch.out.zero_(), scratch.wide, 0
        for block in range(self._shared_blocks):
            values = self._prompts[1][layer, block, : self._rounds].flatten(0, 2)
            share = shares[..., at : (at := at + SHARED)].reshape(-1, lanes, SHARED)
            out += wide.copy_(self._mine(torch.bmm(self._each_round(share), values), sharing))
        for block in range(self._blocks):
            scratch.placed.copy_(shares[..., at : (at := at + OWN)].transpose(-1, -2))
            torch.bmm(scratch.spread, self._own[block][1][layer], out=scratch.part)
            out += wide.copy_(scratch.part.view(out.shape))
        mixed = out.permute(0, 3, 1, 2, 4).to(self._dtype, memory_format=torch.contiguous_format)
        return mixed.view(groups * GROUP, -1)[: self._rows]


class _Scratch:
    """Memory of a step for queries of which `sharing` read one key head, and the views of it that are written."""

    def __init__(self, groups: int, heads: int, sharing: int, width: int, dtype: torch.dtype) -> None:
        """Take it; what must be zero stays so."""
        batch, lanes = groups * heads, sharing * GROUP
        self._shape, self._dtype = (groups, heads, sharing, GROUP), dtype
        self._cells: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.lanes = torch.empty((batch, lanes, width), dtype=dtype)
        self.asked = self.lanes.view(*self._shape, width).permute(0, 3, 1, 2, 4)
        """(groups, GROUP, heads, sharing, width) in the order of lanes."""
        self.column = torch.empty((batch, width, lanes), dtype=dtype)
        self.columns = self.column.view(groups, heads, width, sharing, GROUP).permute(0, 4, 1, 3, 2)
        """The same in the order of columns."""
        self.table = torch.empty((batch, GROUP * OWN, lanes), dtype=dtype)
        table = self.table.view(groups, heads, GROUP, OWN, sharing, GROUP).diagonal(dim1=2, dim2=5)
        self.diagonal = table.permute(0, 1, 3, 4, 2)
        """(groups, heads, sharing, GROUP, OWN): each row's own keys with its own queries."""
        self.spread = torch.zeros((batch, lanes, GROUP * OWN), dtype=dtype)
        self.placed = self.spread.view(*self._shape, GROUP, OWN).diagonal(dim1=3, dim2=4)
        """(groups, heads, sharing, OWN, GROUP): where each row's shares stand among zeros."""
        self.part = torch.empty((batch, lanes, width), dtype=dtype)
        self.wide, self.out = torch.empty((2, *self._shape, width)).unbind()

    def cells(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and shares of so many cells: (groups, heads, sharing, GROUP, count) each."""
        if count not in self._cells:
            self._cells = {count: torch.empty((2, *self._shape, count), dtype=self._dtype).unbind()}
        return self._cells[count]
