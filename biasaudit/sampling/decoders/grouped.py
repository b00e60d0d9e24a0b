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

_SPARE = 8
"""So many slots are added at a time."""


def cache(
    old: BlockCache | GroupCache | None = None,
    *,
    layers: int,
    rows: int,
    heads: int,
    width: int,
    dtype: torch.dtype,
    device: torch.device,
    allocate: Allocate,
) -> BlockCache | GroupCache:
    """The cache that suits the processor: the `old` one, emptied, where it is of this shape."""
    if isinstance(old, GroupCache) and old.shape == (layers, rows, heads, width, dtype):
        old.forget()
        return old
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
        self.shape = (layers, rows, heads, width, dtype)
        self._layers, self._rows, self._heads, self._width = layers, rows, heads, width
        self._groups = -(-rows // GROUP)
        self._dtype, self._device, self._allocate = dtype, device, allocate
        self._own: list[tuple[torch.Tensor, torch.Tensor]] = []
        """A block: keys and values (layers, groups · heads, GROUP · OWN, width) each."""
        self._prompts = (self._shared(0, self._groups), self._shared(0, self._groups))
        """Keys and values (layers, blocks, slots, heads, SHARED, width): a slot holds one prompt for one group. The
        first slots are the groups' own; a further prompt of a group stands behind them."""
        row = torch.arange(rows)
        self._cell = ((row // GROUP * heads)[:, None] + torch.arange(heads)) * GROUP + (row % GROUP)[:, None]
        self._shapes: dict[int, _Scratch] = {}
        self._begin()

    def _begin(self) -> None:
        """No row holds a prompt."""
        self._groups_of: list[int] = list(range(self._groups))
        """Each slot's group."""
        self._held: list[torch.Tensor | None] = [None for _ in range(self._groups * GROUP)]
        """Each row's prompt, by the tensor of its keys."""
        self._slots = [row // GROUP for row in range(self._groups * GROUP)]
        """Each row's slot."""
        self._start = torch.zeros(self._groups * GROUP, dtype=torch.int64)
        self._coming: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Prompts of rows that began after the last step."""
        self._meet()

    def forget(self) -> None:
        """Be as new, without the cost of fresh memory."""
        for part in (*self._prompts, *(part for pair in self._own for part in pair)):
            part.zero_()  # what is not a number would stay so, times no share at all
        self._begin()

    def _shared(self, blocks: int, slots: int) -> torch.Tensor:
        shape = (self._layers, blocks, slots, self._heads, SHARED, self._width)
        return self._allocate(shape, self._dtype, self._device)

    def reserve(self, tokens: int) -> None:
        """Nothing to do: blocks are added as rows grow, and what is stored never moves."""

    def place(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Give `row` a prompt: keys and values, (layers, heads, length, width) each."""
        self._held[row] = None
        self._start[row] = keys.shape[2]
        self._coming[row] = keys, values

    def _settle(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Find a slot for the prompt of `row`, and copy it there unless the group has it already."""
        group, length = row // GROUP, keys.shape[2]
        beside = range(group * GROUP, group * GROUP + GROUP)
        slot = next((self._slots[other] for other in beside if self._held[other] is keys), None)
        known = slot is not None
        if slot is None:
            slot = self._free_slot(group)
        self._held[row], self._slots[row] = keys, slot
        if known:
            return
        _, blocks, slots, *_ = self._prompts[0].shape
        if slot >= slots or length > blocks * SHARED:
            enough = slots if slot < slots else min(slot + _SPARE, len(self._held))
            grown = max(blocks, -(-length // SHARED)), enough
            both = self._shared(*grown), self._shared(*grown)
            for new, old in zip(both, self._prompts, strict=True):
                new[:, :blocks, :slots] = old
            self._prompts = both
        for block, start in enumerate(range(0, length, SHARED)):
            for whole, part in zip(self._prompts, (keys, values), strict=True):
                piece = part[:, :, start : start + SHARED]
                whole[:, block, slot, :, : piece.shape[2]] = piece

    def _free_slot(self, group: int) -> int:
        """A slot for one more prompt of a group: its own, or one behind those of all groups."""
        used = {slot for slot, held in zip(self._slots, self._held, strict=True) if held is not None}
        if group not in used:
            return group
        slot = next(slot for slot in range(self._groups, self._groups + len(used) + 1) if slot not in used)
        self._groups_of[slot : slot + 1] = [group]
        return slot

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
        if self._coming:
            for row in (positions < self._start[: self._rows]).nonzero().flatten().tolist():
                self._held[row] = None  # it is finished, and nobody came after it
            # All at once: rows that go together do not stand in the way of those that come.
            for row, prompt in self._coming.items():
                self._settle(row, *prompt)
            self._coming = {}
            self._meet()
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

    def _meet(self) -> None:
        """Find out which slots are in use, and which rows look into one that is not their group's own."""
        rows = [row for row, held in enumerate(self._held) if held is not None]
        self._in_use = max((self._slots[row] for row in rows), default=0) + 1
        self._in_use = max(self._in_use, self._groups)
        self._further = torch.tensor(self._groups_of[self._groups : self._in_use], dtype=torch.int64)
        self._shared_blocks = -(-max((int(self._start[row]) for row in rows), default=0) // SHARED)
        away = torch.tensor([row for row in rows if self._slots[row] >= self._groups], dtype=torch.int64)
        slots = torch.tensor([self._slots[row] for row in away.tolist()], dtype=torch.int64)
        self._moved = torch.stack((slots, away // GROUP, away % GROUP))

    def _each_slot(self, lanes: torch.Tensor) -> torch.Tensor:
        """(slots · heads, …) of (groups · heads, …): what every slot's group has."""
        if not len(self._further):
            return lanes
        each = lanes.reshape(self._groups, -1)
        return torch.cat((each, each[self._further])).view(-1, *lanes.shape[1:])

    def _mine(self, found: torch.Tensor, sharing: int) -> torch.Tensor:
        """(groups, heads, sharing, GROUP, n): what each row found with its own prompt."""
        found = found.view(self._in_use, self._heads, sharing, GROUP, -1)
        slots, groups, lanes = self._moved
        if len(slots):
            found[groups, :, :, lanes] = found[slots, :, :, lanes]
        return found[: self._groups]

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
            asked = self._each_slot(scratch.lanes)
        at = 0
        for block in range(self._shared_blocks):
            keys = self._prompts[0][layer, block, : self._in_use].flatten(0, 1)
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
            values = self._prompts[1][layer, block, : self._in_use].flatten(0, 1)
            share = shares[..., at : (at := at + SHARED)].reshape(-1, lanes, SHARED)
            out += wide.copy_(self._mine(torch.bmm(self._each_slot(share), values), sharing))
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
            scores, shares = torch.empty((2, *self._shape, count), dtype=self._dtype)
            self._cells = {count: (scores, shares)}
        return self._cells[count]
