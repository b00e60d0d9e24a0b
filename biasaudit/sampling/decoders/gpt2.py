"""The fast path of the GPT-2 family: our own decode loop over the weights of transformers' `GPT2LMHeadModel`.

Same formulas as transformers, without its per-step bookkeeping: fused query-key-value product, a block cache that
is never copied, the vocabulary's logits in fp32 whatever the weights are. Hidden states keep the model's own dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from biasaudit.sampling.decoders.base import (
    Allocate,
    PromptState,
    bucket_length,
    padded,
)
from biasaudit.sampling.decoders.even import even, gelu_tanh
from biasaudit.sampling.decoders.grouped import cache
from biasaudit.sampling.decoders.linear import Head, linear
from biasaudit.sampling.decoders.parts import STEP, Rowwise
from biasaudit.sampling.decoders.past import after, joined, sees
from biasaudit.sampling.decoders.whole import ROWS_TOGETHER, whole_step


def fits(model: Any) -> bool:
    """Whether `model` is a GPT-2 whose every option this path knows."""
    config = getattr(model, "config", None)
    return (
        type(model).__name__ == "GPT2LMHeadModel"
        and not getattr(config, "add_cross_attention", False)
        and all(type(b.attn.c_attn).__name__ == "Conv1D" for b in model.transformer.h)
    )


@dataclass(frozen=True, slots=True)
class _Layer:
    """The products of one block in a step."""

    project: Rowwise
    """(B, C) to (B, 3C): queries, keys and values."""
    merge: Rowwise
    inner: Rowwise
    """(B, C) to (B, 4C), activated."""
    outer: Rowwise


class Gpt2Decoder:
    """GPT-2 over a tile of rows."""

    path = "gpt2"

    def __init__(self, model: Any, *, vocabulary: int, allocate: Allocate) -> None:
        """Read the weights in place.

        Args:
            model: a `GPT2LMHeadModel` in evaluation mode.
            vocabulary: tokens that may be chosen, at most the model's.
            allocate: makes the cache's tensors.
        """
        core, config = model.transformer, model.config
        self.context = int(config.n_positions)
        self.vocabulary = vocabulary
        self.device, self.dtype = core.wte.weight.device, core.wte.weight.dtype
        self._core, self._blocks = core, list(core.h)
        self._heads, self._width = int(config.n_head), int(config.n_embd)
        self._head = Head(model.lm_head.weight[:vocabulary])
        self._tanh = config.activation_function in ("gelu_new", "gelu_pytorch_tanh")
        scale = (self._width // self._heads) ** -0.5 if config.scale_attn_weights else 1.0
        by_layer = bool(config.scale_attn_by_inverse_layer_idx)
        self._scales = [scale / (i + 1) if by_layer else scale for i in range(len(self._blocks))]
        self._allocate = allocate
        self._rows = 0
        self._whole = whole_step(core, config, self._scales, allocate)

    def length_class(self, _tokens: int) -> int:
        """All rows share a tile: the block cache makes their lengths irrelevant."""
        return self.context

    def open(self, tile: int, _length: int) -> None:
        """Forget all rows and prepare `tile` of them."""
        self._output = self._allocate((tile, self._width), self.dtype, self.device)
        self._first = tile
        if self._whole:
            self._logits = self._whole.open(tile, self.vocabulary)
            return
        self._cache = cache(
            getattr(self, "_cache", None),
            layers=len(self._blocks),
            rows=tile,
            heads=self._heads,
            width=self._width // self._heads,
            dtype=self.dtype,
            device=self.device,
            allocate=self._allocate,
        )
        if tile != self._rows:
            self._rows = 0  # memory may run out in between
            self._logits = self._head.room(tile, self._allocate)
            self._layers = [self._layer(block, tile) for block in self._blocks]
            self._rows = tile

    def _layer(self, block: Any, rows: int) -> _Layer:
        """The products of a block for a step."""

        def made(conv: Any, *, gelu: bool = False) -> Rowwise:
            return linear(conv.weight.t(), conv.bias, rows=rows, gelu=gelu)

        fc = made(block.mlp.c_fc, gelu=self._tanh)
        act = even(block.mlp.act)
        inner = fc if self._tanh else lambda x: act(fc(x))
        return _Layer(made(block.attn.c_attn), made(block.attn.c_proj), inner, made(block.mlp.c_proj))

    def prefill(self, prompts: Sequence[Sequence[int]]) -> list[PromptState]:
        """Run prompts of one bucket at its fixed shape."""
        length = bucket_length(max(map(len, prompts)), self.context)
        hidden, keys, values = self._forward(padded(prompts, length, self.device))
        states = []
        for row, prompt in enumerate(prompts):
            size = len(prompt)
            memory = (keys[:, row, :, :size].clone(), values[:, row, :, :size].clone())
            states.append(PromptState(size, hidden[row, size - 1].clone(), memory))
        return states

    def admit(self, row: int, state: PromptState, tokens: int) -> None:
        """Copy the prompt's keys and values into `row`."""
        self._output[row] = state.output
        if self._whole:
            self._whole.admit(row, state, tokens)
            return
        self._cache.reserve(tokens)
        self._cache.place(row, *state.memory)

    def narrow(self, rows: int) -> int:
        """See `Narrows`."""
        each = ROWS_TOGETHER if self._whole else STEP
        if self.device.type == "cpu":
            self._first = min(-(-rows // each) * each, len(self._output))
            self._first = self._first if self._whole else self._cache.narrow(self._first)
        return self._first

    def move(self, row: int, to: int) -> None:
        """See `Narrows`."""
        self._output[to] = self._output[row]
        (self._whole or self._cache).move(row, to)

    def logits(self) -> torch.Tensor:
        """fp32 (B, V)."""
        return self._head(self._output[: self._first], self._logits)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int) -> None:
        """Feed one token a row."""
        if self._whole:
            self._output[: self._first] = self._whole.step(tokens, positions)
            return
        self._cache.aim(positions, longest)
        x = self._core.wte.weight[tokens] + self._core.wpe.weight[positions]  # (B, C)
        heads = (x.shape[0], self._heads, -1)
        for place, (layer, block) in enumerate(zip(self._layers, self._blocks, strict=True)):
            q, k, v = layer.project(_norm(x, block.ln_1)).chunk(3, dim=1)
            mixed = self._cache.attend(place, q.view(heads), k.view(heads), v.view(heads), self._scales[place])
            x = x + layer.merge(mixed)
            x = x + layer.outer(layer.inner(_norm(x, block.ln_2)))
        self._output[: len(x)] = _norm(x, self._core.ln_f)

    def all_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """fp32 (T, V): the logits after every token of one padded sequence."""
        hidden, _, _ = self._forward(ids[None])
        return self.head(hidden[0])

    def read(self, prompt: Sequence[int]) -> PromptState:
        """Run one prompt alone at its bucket's shape."""
        size = len(prompt)
        row = padded([prompt], bucket_length(size, self.context), self.device)[:1]
        hidden, keys, values = self._forward(row)
        return PromptState(size, hidden[0, size - 1], (keys[:, 0, :, :size].clone(), values[:, 0, :, :size].clone()))

    def extend(self, state: PromptState, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states (R, T, C) after every token of padded ids (R, T) that follow one prompt."""
        return self._forward(ids, state)[0]

    def head(self, outputs: torch.Tensor) -> torch.Tensor:
        """fp32 (N, V) of hidden states (N, C)."""
        return F.linear(outputs.float(), self._head.weight)

    def _forward(
        self, ids: torch.Tensor, past: PromptState | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states (P, T, C), keys and values (layers, P, H, T, D) of padded ids (P, T), after `past` if any."""
        rows, length = ids.shape
        positions = after(past, length, self.device)
        mask = sees(past, length, self.device)
        x = self._core.wte.weight[ids] + self._core.wpe.weight[positions]
        x = x.reshape(-1, self._width)
        keys, values = [], []
        for layer, block in enumerate(self._blocks):
            qkv = self._project(x, block).view(rows, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            k, v = joined(past, layer, qkv[1], qkv[2])
            mixed = F.scaled_dot_product_attention(
                qkv[0], k, v, attn_mask=mask, is_causal=mask is None, scale=self._scales[layer]
            )
            keys.append(qkv[1])
            values.append(qkv[2])
            x = self._finish(x, mixed.transpose(1, 2).reshape(-1, self._width), block)
        x = _norm(x, self._core.ln_f).view(rows, length, -1)
        return x, torch.stack(keys), torch.stack(values)

    def _project(self, x: torch.Tensor, block: Any) -> torch.Tensor:
        """(N, 3C): queries, keys and values."""
        return _conv(_norm(x, block.ln_1), block.attn.c_attn)

    def _finish(self, x: torch.Tensor, mixed: torch.Tensor, block: Any) -> torch.Tensor:
        """The rest of a block after attention: projection, feed-forward, both residuals."""
        x = x + _conv(mixed, block.attn.c_proj)
        inner = _conv(_norm(x, block.ln_2), block.mlp.c_fc)
        inner = gelu_tanh(inner) if self._tanh else even(block.mlp.act)(inner)
        return x + _conv(inner, block.mlp.c_proj)


def _conv(x: torch.Tensor, layer: Any) -> torch.Tensor:
    """Conv1D of transformers: a linear layer with weights (in, out)."""
    return torch.addmm(layer.bias, x, layer.weight)


def _norm(x: torch.Tensor, layer: Any) -> torch.Tensor:
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
