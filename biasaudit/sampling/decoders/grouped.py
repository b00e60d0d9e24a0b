"""A key-value cache for processors with a matrix unit: sixteen rows attend at a time, a prompt's keys are stored once.

A product with one query wastes fifteen of the sixteen rows that AMX multiplies at a time. So sixteen rows of the tile
stand together. Their own keys are multiplied with all sixteen queries, and of the sixteen results the row's own is
taken; back, a row's shares stand among zeros, which add exactly nothing. Keys of a prompt that several of the rows
continue are stored and read once for all of them.

Every product has one fixed shape, blocks of positions are added in order, and blocks that a row does not need have a
share of exactly 0: a row's bits depend neither on its place nor on its company (CONTRACT §1).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate
from biasaudit.sampling.decoders.blocks import BlockCache
from biasaudit.sampling.decoders.parts import Rowwise, cancelling, sizes
from biasaudit.sampling.decoders.scratch import GROUP, OWN, Scratch

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
    sharing: int = 1,
    width: int,
    dtype: torch.dtype,
    device: torch.device,
    allocate: Allocate,
) -> BlockCache | GroupCache:
    """The cache that suits the processor: the `old` one, emptied, where it is of this shape.

    Args:
        old: an earlier one.
        layers: of the model.
        rows: the tile.
        heads: H, of keys.
        sharing: G, query heads that read one key head.
        width: D.
        dtype: of keys and values.
        device: where they are.
        allocate: makes them.
    """
    if isinstance(old, GroupCache) and old.shape == (layers, rows, heads, sharing, width, dtype):
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
    return made(
        layers=layers,
        rows=rows,
        heads=heads,
        sharing=sharing,
        width=width,
        dtype=dtype,
        device=device,
        allocate=allocate,
    )


class GroupCache:
    """Keys and values of a tile; the interface of `BlockCache`."""

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        heads: int,
        sharing: int = 1,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        allocate: Allocate,
    ) -> None:
        """An empty cache; memory is taken block by block, as rows grow."""
        self.shape = (layers, rows, heads, sharing, width, dtype)
        self._layers, self._rows, self._heads, self._sharing, self._width = layers, rows, heads, sharing, width
        self._groups = -(-rows // GROUP)
        self._computed = self._groups
        """How many of them the last step computed."""
        self._dtype, self._device, self._allocate = dtype, device, allocate
        self._own: list[tuple[torch.Tensor, torch.Tensor]] = []
        """A block: keys and values (layers, groups · heads, GROUP · OWN, width) each."""
        self._prompts = (self._shared(0, self._groups), self._shared(0, self._groups))
        """Keys and values (layers, blocks, slots, heads, SHARED, width): a slot holds one prompt for one group. The
        first slots are the groups' own; a further prompt of a group stands behind them."""
        row = torch.arange(rows)
        self._cell = ((row // GROUP * heads)[:, None] + torch.arange(heads)) * GROUP + (row % GROUP)[:, None]
        self._scratch = Scratch(self._groups, heads, sharing, width, dtype)
        found = sizes(("groups", *self.shape[2:]), self._trial, self._groups * GROUP, self._groups * GROUP)
        self._some = len(found) == self._groups
        """Whether any number of groups comes out as all of them do."""
        self._begin()

    def _begin(self) -> None:
        """No row holds a prompt."""
        self._groups_of: list[int] = list(range(self._groups))
        """Each slot's group."""
        self._held: list[tuple[torch.Tensor, torch.Tensor] | None] = [None for _ in range(self._groups * GROUP)]
        """Each row's prompt: keys and values."""
        self._slots = [row // GROUP for row in range(self._groups * GROUP)]
        """Each row's slot."""
        self._start = torch.zeros(self._groups * GROUP, dtype=torch.int64)
        self._coming: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Prompts of rows that began, or moved, after the last step."""
        self._meet(self._groups)

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

    def move(self, row: int, to: int) -> None:
        """Let `row` go on in the place of `to`, a finished one."""
        prompt = self._coming.pop(row, None) or self._held[row]
        assert prompt is not None
        self.place(to, *prompt)
        self._held[row] = None
        own = (self._layers, self._groups, self._heads, GROUP, OWN, self._width)
        for part in (part.view(own) for pair in self._own for part in pair):
            part[:, to // GROUP, :, to % GROUP] = part[:, row // GROUP, :, row % GROUP]

    def narrow(self, rows: int) -> int:
        """How many rows are computed for the first `rows`: whole groups."""
        return min(-(-rows // GROUP) * GROUP, self._rows) if self._some else self._rows

    def _trial(self) -> tuple[Rowwise, torch.Tensor]:
        """The four products, of as many groups as there are rows / GROUP."""
        lanes, width = self._sharing * GROUP, self._width
        batch = self._groups * self._heads
        shapes = (
            (lanes, width, SHARED),
            (GROUP * OWN, width, lanes),
            (lanes, SHARED, width),
            (lanes, GROUP * OWN, width),
        )
        pairs = [cancelling(*shape, batch, dtype=self._dtype) for shape in shapes]
        asked, keys = pairs[0]
        pairs[0] = asked, keys.transpose(1, 2).contiguous().transpose(1, 2)

        def run(rows: torch.Tensor) -> torch.Tensor:
            here = slice(int(rows[0]) // GROUP * self._heads, (int(rows[-1]) // GROUP + 1) * self._heads)
            return torch.cat([torch.bmm(left[here], right[here]).flatten(1) for left, right in pairs], 1).view(
                len(rows), -1
            )

        return run, torch.arange(self._groups * GROUP)

    def _settle(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Find a slot for the prompt of `row`, and copy it there unless the group has it already."""
        group, length = row // GROUP, keys.shape[2]
        beside = [(self._held[other], self._slots[other]) for other in range(group * GROUP, group * GROUP + GROUP)]
        slot = next((slot for held, slot in beside if held is not None and held[0] is keys), None)
        known = slot is not None
        if slot is None:
            slot = self._free_slot(group)
        self._held[row], self._slots[row] = (keys, values), slot
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
        """Prepare a step of the first B rows: each writes at its position (int64 (B,)) and reads up to it."""
        count, groups = len(positions), -(-len(positions) // GROUP)
        own = (positions - self._start[:count]).clamp_(min=0)
        blocks = int(own.max()) // OWN + 1
        while len(self._own) < blocks:
            shape = (self._layers, self._groups * self._heads, GROUP * OWN, self._width)
            pair = [self._allocate(shape, self._dtype, self._device) for _ in range(2)]
            self._own.append((pair[0], pair[1]))
        self._blocks = blocks
        self._here = F.pad(positions, (0, groups * GROUP - count))
        block = own // OWN
        flat = self._cell[:count] * OWN + (own % OWN)[:, None]
        self._writes = []
        """Which rows write into a block, None for all, and where."""
        for number in sorted(set(block.tolist())):
            rows = (block == number).nonzero().squeeze(1)
            every = len(rows) == count
            self._writes.append((number, None if every else rows, (flat if every else flat[rows]).flatten()))
        if self._coming or groups != self._computed:
            finished = (positions < self._start[:count]).nonzero().flatten().tolist()
            for row in (*finished, *range(count, len(self._held))):
                self._held[row] = None  # and nobody came after it
            # All at once: rows that go together do not stand in the way of those that come.
            for row, prompt in self._coming.items():
                if row < count:
                    self._settle(row, *prompt)
            self._coming = {}
            self._meet(groups)
        self._biases: dict[int | None, torch.Tensor] = {}
        begun = torch.where(self._here < self._start[: len(self._here)], 0, self._start[: len(self._here)])
        self._prompts_of = self._runs(begun - 1, SHARED, self._shared_blocks)
        self._own_of = self._runs(F.pad(own, (0, groups * GROUP - count)), OWN, blocks)
        self._scratch.hide()

    def _runs(self, last: torch.Tensor, block: int, blocks: int) -> list[list[slice]]:
        """For each block of cells, runs of groups in which a row looks into it, if only by its `last` cell (rows,).

        The first block is everybody's, so that rows in between completions, too, see something.
        """
        groups = len(last) // GROUP
        furthest = (last.view(groups, GROUP).amax(1) // block).tolist()
        found: list[list[slice]] = [[slice(0, groups)]] if blocks else []
        for number in range(1, blocks):
            ends = [group for group in range(groups + 1) if _reaches(furthest, group, number)]
            found.append([slice(*ends[at : at + 2]) for at in range(0, len(ends), 2)] if self._some else found[0])
        return found

    def _bias(self, window: int | None) -> torch.Tensor:
        """(groups, 1, 1, GROUP, cells): −∞ where a row must not look."""
        if window not in self._biases:
            start, here = self._start[: len(self._here), None], self._here[:, None]
            cells = torch.arange(self._shared_blocks * SHARED)
            at = torch.cat((torch.where(cells < start, cells, here + 1), start + torch.arange(self._blocks * OWN)), 1)
            hidden = at > here
            if window is not None:
                hidden |= at <= here - window
            bias = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
            self._biases[window] = bias.view(self._computed, 1, 1, GROUP, -1)
        return self._biases[window]

    def _meet(self, groups: int) -> None:
        """Find out which slots `groups` groups use, and which rows look into one that is not their group's own."""
        if groups != self._scratch.groups:
            self._scratch = Scratch(groups, self._heads, self._sharing, self._width, self._dtype)
        self._computed = groups
        rows = [row for row, held in enumerate(self._held) if held is not None]
        self._in_use = max((self._slots[row] + 1 for row in rows), default=0)
        others = self._groups_of[self._groups : self._in_use]
        self._further = torch.tensor([min(group, groups - 1) for group in others], dtype=torch.int64)
        """The groups of slots behind their own; some are free."""
        self._shared_blocks = -(-max((int(self._start[row]) for row in rows), default=0) // SHARED)
        away = torch.tensor([row for row in rows if self._slots[row] >= self._groups], dtype=torch.int64)
        slots = torch.tensor([self._slots[row] - self._groups for row in away.tolist()], dtype=torch.int64)
        self._away = torch.stack((slots, away // GROUP, away % GROUP))

    def _with_prompts(
        self, lanes: torch.Tensor, which: int, layer: int, block: int
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Each row's lane times a block of its own prompt's keys (0) or values (1).

        Args:
            lanes: (groups, heads, sharing · GROUP, ·).
            which: keys or values.
            layer: which layer.
            block: which block of the prompts' cells.

        Yields:
            runs of groups that look into the block, and their products (groups, heads, sharing, GROUP, n).
        """
        held = self._prompts[which][layer, block]
        shape = (-1, self._heads, self._sharing, GROUP, SHARED if which == 0 else self._width)

        def product(lanes: torch.Tensor, slots: slice) -> torch.Tensor:
            cells = held[slots].flatten(0, 1)
            return torch.bmm(lanes.flatten(0, 1), cells.transpose(1, 2) if which == 0 else cells).view(shape)

        more = product(lanes[self._further], slice(self._groups, self._in_use)) if len(self._further) else None
        for run in self._prompts_of[block]:
            found = product(lanes[run], run)
            if more is not None:
                slots, where, lane = self._away[:, (self._away[1] >= run.start) & (self._away[1] < run.stop)]
                found[where - run.start, :, :, lane] = more[slots, :, :, lane]
            yield run, found

    def _store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Write this step's keys and values (B, H, D), as integers: whole rows, whatever they mean."""
        new = [part.reshape(len(part), -1, self._width).view(torch.int64) for part in (key, value)]
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
        groups, heads, rows = self._computed, self._heads, len(query)
        self._store(layer, key, value)
        lanes = self._sharing * GROUP
        query = F.pad(query, (0, 0, 0, 0, 0, groups * GROUP - rows)) if rows % GROUP else query
        query = query.view(groups, GROUP, heads, self._sharing, self._width)
        scratch = self._scratch
        bias = self._bias(window)
        scores, shares = scratch.cells(bias.shape[-1])
        torch.mul(query, scale, out=scratch.columns)
        if self._shared_blocks:
            torch.mul(query, scale, out=scratch.asked)
        at = 0
        for block in range(len(self._prompts_of)):
            here = slice(at, at := at + SHARED)
            for run, found in self._with_prompts(scratch.of_groups, 0, layer, block):
                torch.add(found, bias[run, ..., here], out=scores[run, ..., here])
        for block, runs in enumerate(self._own_of):
            here = slice(at, at := at + OWN)
            for run in runs:
                items = slice(run.start * heads, run.stop * heads)
                torch.bmm(self._own[block][0][layer, items], scratch.column[items], out=scratch.table[items])
                torch.add(scratch.diagonal[run], bias[run, ..., here], out=scores[run, ..., here])
        torch.softmax(scores, dim=-1, out=shares)
        out, wide, at = scratch.out.zero_(), scratch.wide, 0
        for block in range(len(self._prompts_of)):
            share = shares[..., at : (at := at + SHARED)].reshape(groups, heads, lanes, SHARED)
            for run, found in self._with_prompts(share, 1, layer, block):
                out[run].add_(wide[run].copy_(found))
        for block, runs in enumerate(self._own_of):
            here = slice(at, at := at + OWN)
            for run in runs:
                items = slice(run.start * heads, run.stop * heads)
                scratch.placed[run].copy_(shares[run, ..., here].transpose(-1, -2))
                torch.bmm(scratch.spread[items], self._own[block][1][layer, items], out=scratch.part[items])
                out[run].add_(wide[run].copy_(scratch.part.view(out.shape)[run]))
        mixed = out.permute(0, 3, 1, 2, 4).to(self._dtype, memory_format=torch.contiguous_format)
        return mixed.view(groups * GROUP, -1)[:rows]


def _reaches(furthest: list[int], group: int, block: int) -> bool:
    """Whether at `group` a run of groups begins or ends whose rows reach a block."""
    before = group > 0 and furthest[group - 1] >= block
    return before != (group < len(furthest) and furthest[group] >= block)
