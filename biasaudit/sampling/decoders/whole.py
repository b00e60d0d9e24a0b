"""GPT-2's decode step as one call of the compiled kernel, over prompts that their completions share.

A prompt's keys and values stay where prefill left them, and every row that continues the prompt reads them there: next
to nothing is copied when a row starts, and neighbours that share a prompt find its cells in the processor's cache. A
row has memory of its own only for what it adds.
"""

from __future__ import annotations

from typing import Any

import torch

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate, PromptState

CELLS = 16
"""The cells of a row come in multiples of these."""

ROWS_TOGETHER = 32
"""Rows of a product's block: fewer cost no less."""

_LINE = 16
"""fp32 values in a line of memory: where every row of the logits begins one, they are written past the caches."""


class WholeStep:
    """The weights of a GPT-2, packed once, and the keys and values of a tile."""

    def __init__(self, kernel: Any, core: Any, *, heads: int, scales: list[float], allocate: Allocate) -> None:
        """Pack the weights.

        Args:
            kernel: the compiled functions.
            core: the model's `transformer`.
            heads: H.
            scales: factor of the attention scores, one a layer.
            allocate: makes the cache's tensors.
        """
        self._kernel, self._heads, self._scales, self._allocate = kernel, heads, scales, allocate
        self._embeddings = [core.wte.weight.detach(), core.wpe.weight.detach()]
        self._epsilon = float(core.ln_f.eps)
        norms = [(block.ln_1, block.ln_2) for block in core.h]
        products = [(b.attn.c_attn, b.attn.c_proj, b.mlp.c_fc, b.mlp.c_proj) for b in core.h]
        self._weights: list[torch.Tensor] = []
        for (first, second), (project, merge, inner, outer) in zip(norms, products, strict=True):
            self._weights += [*_floats(first), *self._packed(project), *self._packed(merge)]
            self._weights += [*_floats(second), *self._packed(inner), *self._packed(outer)]
        self._weights += _floats(core.ln_f)
        self._layers = len(norms)
        self._width = int(core.wte.weight.shape[1])

    def _packed(self, conv: Any) -> list[torch.Tensor]:
        """Weight and bias of a Conv1D, whose weights are (in, out)."""
        return [self._kernel.pack(conv.weight.detach().t().contiguous()), conv.bias.detach().float()]

    def open(self, tile: int, vocabulary: int) -> torch.Tensor:
        """Forget all rows and prepare `tile` of them; returns room for their logits, fp32 (B, V)."""
        self._tile, self._cells = tile, 0
        self._keys = self._values = self._zeros(0)
        self._prompts = torch.zeros((tile, 3), dtype=torch.int64)
        self._held: list[tuple[torch.Tensor, ...]] = [()] * tile
        rows = -(-tile // ROWS_TOGETHER) * ROWS_TOGETHER
        self._work = self._allocate((10, rows, self._width), torch.bfloat16, torch.device("cpu"))
        lines = -(-vocabulary // _LINE)
        return self._allocate((tile, lines * _LINE), torch.float32, torch.device("cpu"))[:, :vocabulary]

    def _zeros(self, cells: int) -> torch.Tensor:
        shape = (self._layers, self._tile, self._heads, cells, self._width // self._heads)
        return self._allocate(shape, torch.bfloat16, torch.device("cpu"))

    def admit(self, row: int, state: PromptState, tokens: int) -> None:
        """Let `row` continue a prompt, up to `tokens` in all."""
        cells = -(-(tokens - state.length) // CELLS) * CELLS
        if cells > self._cells:
            keys, values = self._zeros(cells), self._zeros(cells)
            keys[:, :, :, : self._cells] = self._keys
            values[:, :, :, : self._cells] = self._values
            self._keys, self._values, self._cells = keys, values, cells
        memory = tuple(part.contiguous() for part in state.memory)
        self._held[row] = memory
        self._prompts[row] = torch.tensor([memory[0].data_ptr(), memory[1].data_ptr(), state.length])

    def move(self, row: int, to: int) -> None:
        """Let a row go on in another's place."""
        for part in (self._keys, self._values):
            part[:, to] = part[:, row]
        self._held[to], self._prompts[to] = self._held[row], self._prompts[row]

    def step(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(n, C) after the last norm, of int64 tokens (n,) at int64 positions (n,), the tile's first n rows."""
        states: torch.Tensor = self._kernel.gpt2_step(
            tokens,
            positions,
            self._embeddings,
            self._weights,
            self._prompts,
            self._keys,
            self._values,
            self._work,
            self._scales,
            self._epsilon,
        )
        return states


def whole_step(core: Any, config: Any, scales: list[float], allocate: Allocate) -> WholeStep | None:
    """The compiled step of a GPT-2's `transformer`, or None where it is not asked for or does not fit."""
    weight, heads = core.wte.weight, int(config.n_head)
    kernel = kernels.gpt2(weight.device, weight.dtype, weight.shape[1], heads)
    plain = config.activation_function in ("gelu_new", "gelu_pytorch_tanh") and config.n_inner in (
        None,
        4 * weight.shape[1],
    )
    if kernel is None or not plain:
        return None
    return WholeStep(kernel, core, heads=heads, scales=scales, allocate=allocate)


def _floats(norm: Any) -> list[torch.Tensor]:
    return [norm.weight.detach().float(), norm.bias.detach().float()]
