"""A key-value cache for processors with a matrix unit: sixteen rows attend at a time, a prompt's keys are stored once.

A product with one query wastes fifteen of the sixteen rows that AMX multiplies at a time. So sixteen rows of the tile
stand together. Their own keys are multiplied with all sixteen queries, and of the sixteen results the row's own is
taken; back, a row's shares stand among zeros, which add exactly nothing. Keys of a prompt that several of the rows
continue are stored and read once for all of them.

Products have one shape, or others that were found to give the same bits (`trials`), blocks of positions are added in
order, and cells that a row does not need have a share of exactly 0: a row's bits depend neither on its place nor on its
company (CONTRACT §1).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate
from biasaudit.sampling.decoders.blocks import BlockCache
from biasaudit.sampling.decoders.runs import reaching, writing
from biasaudit.sampling.decoders.scratch import GROUP, OWN, SHARED, Scratch
from biasaudit.sampling.decoders.trials import any_number, cuts


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
        """A block: keys and values (layers, groups · heads, OWN · GROUP, width) each; the cells of a position
        stand together, as the rows of a group mostly go in step."""
        self._prompts = (self._shared(0, self._groups), self._shared(0, self._groups))
        """Keys and values (layers, blocks, slots, heads, SHARED, width): a slot holds one prompt for one group. The
        first slots are the groups' own; a further prompt of a group stands behind them."""
        row = torch.arange(rows)
        self._cell = ((row // GROUP * heads)[:, None] + torch.arange(heads)) * OWN * GROUP + (row % GROUP)[:, None]
        self._scratch = Scratch(self._groups, heads, sharing, width, dtype)
        self._begin()

    def _begin(self) -> None:
        """No row holds a prompt, and threads may be others."""
        _, _, heads, sharing, width, dtype = self.shape
        self._some = any_number(self._groups, heads, sharing, width, dtype)
        """Whether some groups may be multiplied without the others."""
        self._cuts = cuts(self._groups, heads, sharing, width, dtype)
        """To how many first positions a block may be cut."""
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
        own = (self._layers, self._groups, self._heads, OWN, GROUP, self._width)
        for part in (part.view(own) for pair in self._own for part in pair):
            part[:, to // GROUP, :, :, to % GROUP] = part[:, row // GROUP, :, :, row % GROUP]

    def narrow(self, rows: int) -> int:
        """How many rows are computed for the first `rows`: whole groups."""
        return min(-(-rows // GROUP) * GROUP, self._rows) if self._some else self._rows

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
            enough = slots if slot < slots else -(-(slot + 1) // self._groups) * self._groups
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
            shape = (self._layers, self._groups * self._heads, OWN * GROUP, self._width)
            pair = [self._allocate(shape, self._dtype, self._device) for _ in range(2)]
            self._own.append((pair[0], pair[1]))
        self._blocks = blocks
        self._here = F.pad(positions, (0, groups * GROUP - count))
        self._in_step, self._by_row = writing(own, self._cell)
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
        furthest = (begun - 1).view(groups, GROUP).amax(1).tolist()
        self._prompts_of = reaching(furthest, SHARED, self._shared_blocks, some=self._some)
        furthest = F.pad(own, (0, groups * GROUP - count)).view(groups, GROUP).amax(1).tolist()
        self._own_of = [
            [(run, self._cut(max(furthest[run]) - block * OWN)) for run in runs]
            for block, runs in enumerate(reaching(furthest, OWN, blocks, some=self._some))
        ]
        """For each block, runs of groups that look into it, and how many of its positions they need."""
        self._scratch.hide()

    def _cut(self, last: int) -> int:
        """How many positions of a block are multiplied when `last` is the last that is needed."""
        return next((count for count in self._cuts if count > last), OWN)

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
        others = [min(group, groups - 1) for group in self._groups_of[self._groups : self._in_use]]
        empty = 0 if self._some else -len(others) % self._groups
        further = torch.tensor([*others, *[0] * empty], dtype=torch.int64)
        self._further = torch.split(further, self._groups) if others else ()
        """The groups of slots behind their own, of which some are free, for products of as many as were tried."""
        self._shared_blocks = -(-max((int(self._start[row]) for row in rows), default=0) // SHARED)
        away = torch.tensor([row for row in rows if self._slots[row] >= self._groups], dtype=torch.int64)
        slots = torch.tensor([self._slots[row] - self._groups for row in away.tolist()], dtype=torch.int64)
        self._away = torch.stack((slots, away // GROUP, away % GROUP))

    def _with_prompts(
        self, asked: torch.Tensor, which: int, layer: int, block: int
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Each row's queries times a block of its own prompt's keys (0), or its shares times the values (1).

        Args:
            asked: queries (groups, heads, width, sharing · GROUP) or shares (groups, heads, sharing · GROUP, SHARED).
            which: keys or values.
            layer: which layer.
            block: which block of the prompts' cells.

        Yields:
            runs of groups that look into the block, and their products (groups, heads, sharing, GROUP, n).
        """
        held, start = self._prompts[which][layer, block], self._groups

        def product(asked: torch.Tensor, slots: slice) -> torch.Tensor:
            cells, asked = held[slots].flatten(0, 1), asked.flatten(0, 1)
            if which == 1:
                return torch.bmm(asked, cells).view(-1, self._heads, self._sharing, GROUP, self._width)
            found = torch.bmm(cells, asked).view(-1, self._heads, SHARED, self._sharing, GROUP)
            return found.permute(0, 1, 3, 4, 2)

        more = [product(asked[part], slice(start, start := start + len(part))) for part in self._further]
        others = more[0] if len(more) == 1 else torch.cat(more) if more else None
        for run in self._prompts_of[block]:
            found = product(asked[run], run)
            if others is not None:
                slots, where, lane = self._away[:, (self._away[1] >= run.start) & (self._away[1] < run.stop)]
                found[where - run.start, :, :, lane] = others[slots, :, :, lane]
            yield run, found

    def _store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Write this step's keys and values (B, H, D), as integers: whole rows, whatever they mean."""
        new = [part.view(len(part), -1, self._width).view(torch.int64) for part in (key, value)]
        for block, run, position in self._in_step:
            for whole, part in zip(self._own[block], new, strict=True):
                cells = whole[layer].view(torch.int64).view(self._groups, self._heads, OWN, GROUP, -1)
                rows = part[run.start * GROUP : run.stop * GROUP].view(-1, GROUP, *part.shape[1:])
                cells[run, :, position] = rows.transpose(1, 2)
        for block, alone, flat in self._by_row:
            for whole, part in zip(self._own[block], new, strict=True):
                cells = whole[layer].view(torch.int64).flatten(0, 1)
                cells.index_copy_(0, flat, part[alone].flatten(0, 1))

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
        query = F.pad(query, (0, 0, 0, 0, 0, groups * GROUP - rows)) if rows % GROUP else query
        query = query.view(groups, GROUP, heads, self._sharing, self._width)
        scratch = self._scratch
        bias = self._bias(window)
        scores, shares = scratch.cells(bias.shape[-1])
        torch.mul(query, scale, out=scratch.asked)
        at = 0
        for block in range(len(self._prompts_of)):
            here = slice(at, at := at + SHARED)
            for run, found in self._with_prompts(scratch.of_groups, 0, layer, block):
                torch.add(found, bias[run, ..., here], out=scores[run, ..., here])
        for block, runs in enumerate(self._own_of):
            for run, count in runs:
                here, cells = slice(at, at + count), count * GROUP
                items = slice(run.start * heads, run.stop * heads)
                keys = self._own[block][0][layer, items, :cells]
                torch.bmm(keys, scratch.column[items], out=scratch.table[items, :cells])
                torch.add(scratch.diagonal[run, ..., :count], bias[run, ..., here], out=scores[run, ..., here])
            at += OWN
        torch.softmax(scores, dim=-1, out=shares)
        out, wide = scratch.out, scratch.wide
        for number, (run, found) in enumerate(self._with_shares(layer, shares)):
            if number:
                out[run].add_(wide[run].copy_(found))
            else:
                out.copy_(found)  # a first block is everybody's
        mixed = out.permute(0, 3, 1, 2, 4).to(self._dtype, memory_format=torch.contiguous_format)
        return mixed.view(groups * GROUP, -1)[:rows]

    def _with_shares(self, layer: int, shares: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Each row's shares (groups, heads, sharing, GROUP, cells) of its values, block by block.

        Yields:
            runs of groups that look into a block, and their products (groups, heads, sharing, GROUP, width).
        """
        scratch, heads, at = self._scratch, self._heads, 0
        for block in range(len(self._prompts_of)):
            share = shares[..., at : (at := at + SHARED)].reshape(self._computed, heads, -1, SHARED)
            yield from self._with_prompts(share, 1, layer, block)
        for block, runs in enumerate(self._own_of):
            for run, count in runs:
                here, cells = slice(at, at + count), count * GROUP
                items = slice(run.start * heads, run.stop * heads)
                scratch.placed[run, ..., :count, :].copy_(shares[run, ..., here].transpose(-1, -2))
                values = self._own[block][1][layer, items, :cells]
                torch.bmm(scratch.spread[items, :, :cells], values, out=scratch.part[items])
                yield run, scratch.part.view(scratch.out.shape)[run]
            at += OWN
