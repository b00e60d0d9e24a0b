"""A preallocated key-value cache in blocks of positions, and attention whose result never depends on its length.

Rows of one tile stand at different positions, and the longest decides how much cache a step must read. Products over
the whole length would round differently for every length; so they run block by block at one fixed shape, and partial
results are added in order. Positions after a row's own get a share of exactly 0, which changes no bit of any sum.
"""

from __future__ import annotations

import torch

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate
from biasaudit.sampling.decoders.parts import Rowwise, cancelling, fewest

BLOCK = 32
"""Positions in a block: smaller wastes less on short rows, larger has fewer partial sums."""


class BlockCache:
    """Keys and values of a tile: (layers, blocks, rows, heads, BLOCK, width) each."""

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
        """An empty cache; `reserve` makes room."""
        self._shape = (layers, rows, heads, width)
        self._sharing = sharing
        self._dtype, self._device, self._allocate = dtype, device, allocate
        self._keys = self._zeros(0)
        self._values = self._zeros(0)
        self._rows = torch.arange(rows, device=device)
        self._cells = torch.arange(heads, device=device) * BLOCK
        self._flat = self._rows
        self._positions, self._blocks = self._rows, 0
        self._kernel = kernels.attention(device, dtype, width)
        self._biases: dict[int | None, torch.Tensor] = {}

    def _zeros(self, blocks: int) -> torch.Tensor:
        layers, rows, heads, width = self._shape
        return self._allocate((layers, blocks, rows, heads, BLOCK, width), self._dtype, self._device)

    def reserve(self, tokens: int) -> None:
        """Make room for rows of `tokens` tokens; what is stored stays."""
        blocks = -(-tokens // BLOCK)
        held = self._keys.shape[1]
        if blocks <= held:
            return
        keys, values = self._zeros(blocks), self._zeros(blocks)
        keys[:, :held] = self._keys
        values[:, :held] = self._values
        self._keys, self._values = keys, values

    def place(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Copy a prompt's keys and values, (layers, heads, length, width) each, to the start of `row`."""
        for block, start in enumerate(range(0, keys.shape[2], BLOCK)):
            piece = keys[:, :, start : start + BLOCK]
            self._keys[:, block, row, :, : piece.shape[2]] = piece
            self._values[:, block, row, :, : piece.shape[2]] = values[:, :, start : start + BLOCK]

    def move(self, row: int, to: int) -> None:
        """Let `row` go on in the place of `to`, a finished one."""
        for part in (self._keys, self._values):
            part[:, :, to] = part[:, :, row]

    def narrow(self, rows: int) -> int:
        """How many rows are computed for the first `rows`: those whose products come out alike."""
        whole = self._shape[1]
        if rows >= whole or self._kernel is not None:
            return min(rows, whole)
        return fewest(("blocks", *self._shape[2:], self._sharing, self._dtype), self._trial, whole, rows)

    def _trial(self) -> tuple[Rowwise, torch.Tensor]:
        """Both products with a block of every row's cells."""
        _, rows, heads, width = self._shape
        cells, asked = cancelling(BLOCK, width, self._sharing, rows, heads, dtype=self._dtype)
        asked = asked.transpose(-1, -2).contiguous().transpose(-1, -2)
        shares, values = cancelling(self._sharing, BLOCK, width, rows, heads, dtype=self._dtype)

        def run(rows: torch.Tensor) -> torch.Tensor:
            here = slice(int(rows[0]), int(rows[-1]) + 1)
            found = torch.matmul(cells[here], asked[here]), torch.matmul(shares[here], values[here])
            return torch.cat([part.flatten(1) for part in found], 1)

        return run, torch.arange(rows)

    def aim(self, positions: torch.Tensor, longest: int) -> None:
        """Prepare a step of the first B rows: each writes at its position (int64 (B,)) and reads up to it."""
        _, rows, heads, _ = self._shape
        self._positions, self._blocks, self._biases = positions, longest // BLOCK + 1, {}
        start = ((positions // BLOCK) * rows + self._rows[: len(positions)]) * (heads * BLOCK) + positions % BLOCK
        self._flat = (start[:, None] + self._cells).flatten()

    def _bias(self, window: int | None) -> torch.Tensor:
        """(B, 1, 1, cells): −∞ where a row must not look, made once a step for every window in use."""
        if window not in self._biases:
            cells = torch.arange(self._blocks * BLOCK, device=self._device)
            here = self._positions.view(-1, 1, 1, 1)
            hidden = cells > here
            if window is not None:
                hidden |= cells <= here - window
            bias = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
            self._biases[window] = bias.masked_fill_(hidden, -torch.inf)
        return self._biases[window]

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        """Store this step's key and value, and attend to all positions up to it.

        Args:
            layer: which layer.
            query: (B, H·G, D): G query heads share one key head.
            key: (B, H, D).
            value: (B, H, D).
            scale: factor of the scores.
            window: how many positions a row sees, its own included; None for all.

        Returns:
            (B, H·G·D).
        """
        _, _, heads, width = self._shape
        rows, blocks = len(query), self._blocks
        keys, values = self._keys[layer], self._values[layer]
        if self._kernel is not None:
            mixed: torch.Tensor = self._kernel.attend(
                keys, values, self._positions, query, key, value, scale, window or 0
            )
            return mixed
        keys.view(-1, width).index_copy_(0, self._flat, key.reshape(-1, width))
        values.view(-1, width).index_copy_(0, self._flat, value.reshape(-1, width))
        asked = query.mul(scale).reshape(1, rows, heads, -1, width).transpose(-1, -2)
        # Keys on the left: rows of memory are read as they lie, a third faster than as columns.
        scores = self._by_block(keys, asked.expand(blocks, *asked.shape[1:])).permute(1, 2, 4, 0, 3)
        shares = torch.softmax(scores.reshape(rows, heads, -1, blocks * BLOCK) + self._bias(window), dim=-1)
        shares = shares.view(rows, heads, -1, blocks, BLOCK).permute(3, 0, 1, 2, 4)
        parts = self._by_block(values, shares, first=False)
        out = parts[0].float()
        for block in range(1, blocks):
            out += parts[block]
        return out.to(self._dtype).reshape(rows, -1)

    def _by_block(self, cells: torch.Tensor, others: torch.Tensor, *, first: bool = True) -> torch.Tensor:
        """Products (blocks, B, H, ·, ·) of every row's cells, the first factor or the second, with `others`."""
        product = torch.matmul if first else lambda cells, others: torch.matmul(others, cells)
        if self._device.type != "cpu":
            return product(cells[: len(others)], others)
        # The cells of some rows lie together only within a block.
        return torch.stack([product(cells[block, : len(part)], part) for block, part in enumerate(others)])
