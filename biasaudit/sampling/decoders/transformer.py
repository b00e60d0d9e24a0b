"""One fast path for many families: a loop over a pre-norm transformer that a `Stack` describes.

Families of transformers differ in how they embed, normalise, project and rotate, and in what their layers see; the loop
around these does not. A `Stack` holds the differences as data and small functions over the model's own weights, so the
loop, its cache and its fixed shapes (CONTRACT §1) are written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from biasaudit.sampling.decoders.base import Allocate, PromptState, bucket_length, padded
from biasaudit.sampling.decoders.even import gelu_tanh
from biasaudit.sampling.decoders.grouped import cache
from biasaudit.sampling.decoders.linear import Head, linear
from biasaudit.sampling.decoders.parts import STEP
from biasaudit.sampling.decoders.past import after, joined, sees

Map = Callable[[torch.Tensor], torch.Tensor]


class Make(Protocol):
    """What a linear layer of the model becomes: itself in prefill, one for a fixed number of rows in a step."""

    def __call__(self, layer: torch.nn.Linear, /, *, gelu: bool = False) -> Map:
        """The layer, followed by GELU in its tanh form when `gelu`."""
        ...


_ANGLES = 512
"""Positions whose angles are computed together. Fixed: a cosine's last bit may depend on the length of its tensor."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, for N tokens of width C; a head has width D."""

    before: Map
    """(N, C): the norm before attention."""
    project: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    """(N, C) to queries (N, H·G, D), keys and values (N, H, D), before rotation."""
    merge: Map
    """(N, H·G·D) to (N, C)."""
    between: Map | None
    """(N, C): the norm before the feed-forward part; None where both parts share one."""
    feed: Map
    """(N, C): the feed-forward part."""
    window: int | None = None
    """How many positions a token sees, its own included; None for all."""
    rotates: bool = True


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotary positions over the first R of each head's D components."""

    angles: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    """int64 (n,) positions to cosines and sines, (n, R/2) each, in the model's dtype."""
    interleaved: bool
    """Whether pairs are neighbours (0, 1), (2, 3) …, or stand half of R apart."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A model as the loop sees it."""

    path: str
    """Name in the numerics fingerprint."""
    context: int
    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """int64 ids (N,) at int64 positions (N,), to (N, C)."""
    layers: Callable[[Make], list[Layer]]
    norm: Map
    head: torch.nn.Linear
    heads: int
    """H·G: query heads."""
    key_heads: int
    """H."""
    width: int
    """D."""
    scale: float
    """Factor of the attention scores."""
    parallel: bool = False
    """Whether attention and feed-forward part both read the layer's input, instead of one after the other."""
    rotary: Rotary | None = None


class _Turns:
    """Cosines and sines of positions, kept once computed."""

    def __init__(self, rotary: Rotary, context: int, device: torch.device) -> None:
        self._rotary, self._context, self._device = rotary, context, device
        self._cosines: list[torch.Tensor] = []
        self._sines: list[torch.Tensor] = []
        self._known = 0
        if device.type == "cuda":  # a recorded step reads these at the addresses that they had: they must not move
            self.reserve(context)

    def reserve(self, tokens: int) -> None:
        """Make positions below `tokens` known."""
        if tokens <= self._known:
            return
        for start in range(self._known, tokens, _ANGLES):
            self._known = min(start + _ANGLES, self._context)
            cosines, sines = self._rotary.angles(torch.arange(start, self._known, device=self._device))
            self._cosines.append(cosines)
            self._sines.append(sines)
        self._cosines, self._sines = [torch.cat(self._cosines)], [torch.cat(self._sines)]

    def at(self, positions: torch.Tensor) -> Map:
        """The rotation of (N, H, D) at int64 (N,) positions."""
        cosine, sine = self._cosines[0][positions, None], self._sines[0][positions, None]
        return lambda x: _rotated(x, cosine, sine, interleaved=self._rotary.interleaved)


class TransformerDecoder:
    """A described transformer over a tile of rows."""

    def __init__(self, stack: Stack, *, vocabulary: int, allocate: Allocate) -> None:
        """Read the weights in place.

        Args:
            stack: describes the model, which is in evaluation mode.
            vocabulary: tokens that may be chosen, at most the model's.
            allocate: makes the cache's tensors.
        """
        weight = stack.head.weight
        self.path, self.context, self.vocabulary = stack.path, stack.context, vocabulary
        self.device, self.dtype = weight.device, weight.dtype
        self._stack, self._allocate = stack, allocate
        self._head = Head(weight[:vocabulary], None if stack.head.bias is None else stack.head.bias[:vocabulary])
        self._layers = stack.layers(_as_it_is)
        self._turns = _Turns(stack.rotary, stack.context, self.device) if stack.rotary else None
        self._rows = 0

    def length_class(self, _tokens: int) -> int:
        """All rows share a tile: the block cache makes their lengths irrelevant."""
        return self.context

    def open(self, tile: int, _length: int) -> None:
        """Forget all rows and prepare `tile` of them."""
        self._cache = cache(
            getattr(self, "_cache", None),
            layers=len(self._layers),
            rows=tile,
            heads=self._stack.key_heads,
            sharing=self._stack.heads // self._stack.key_heads,
            width=self._stack.width,
            dtype=self.dtype,
            device=self.device,
            allocate=self._allocate,
        )
        self._output = self._allocate((tile, self._head.weight.shape[1]), self.dtype, self.device)
        self._first = tile
        if tile != self._rows:
            self._rows = 0  # memory may run out in between
            self._logits = self._head.room(tile, self._allocate)

            def made(layer: torch.nn.Linear, *, gelu: bool = False) -> Map:
                return linear(layer.weight, layer.bias, rows=tile, gelu=gelu)

            self._step_layers = self._stack.layers(made)
            self._rows = tile

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
        if self._turns:
            self._turns.reserve(tokens)
        self._cache.reserve(tokens)
        self._cache.place(row, *state.memory)
        self._output[row] = state.output

    def narrow(self, rows: int) -> int:
        """See `Narrows`."""
        if self.device.type == "cpu":
            self._first = self._cache.narrow(min(-(-rows // STEP) * STEP, len(self._output)))
        return self._first

    def move(self, row: int, to: int) -> None:
        """See `Narrows`."""
        self._output[to] = self._output[row]
        self._cache.move(row, to)

    def logits(self) -> torch.Tensor:
        """fp32 (B, V)."""
        return self._head(self._output[: self._first], self._logits)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int) -> None:
        """Feed one token a row."""
        self._cache.aim(positions, longest)
        scale = self._stack.scale

        def attend(place: int, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: Any) -> torch.Tensor:
            return self._cache.attend(place, query, key, value, scale, layer.window)

        self._output[: len(tokens)] = self._loop(self._step_layers, tokens, positions, attend)

    def all_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """fp32 (T, V): the logits after every token of one padded sequence."""
        return self.head(self._forward(ids[None])[0][0])

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
        return F.linear(outputs.float(), self._head.weight, self._head.bias)

    def _forward(
        self, ids: torch.Tensor, past: PromptState | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states (P, T, C), keys and values (layers, P, H, T, D) of padded ids (P, T), after `past` if any."""
        rows, length = ids.shape
        keys, values = [], []
        positions = after(past, length, self.device)
        masks = {layer.window: _mask(positions, layer.window, past) for layer in self._layers}
        if self._turns:
            self._turns.reserve(length + (past.length if past else 0))

        def attend(
            place: int, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
        ) -> torch.Tensor:
            query, key, value = (x.view(rows, length, *x.shape[1:]).transpose(1, 2) for x in (query, key, value))
            keys.append(key)
            values.append(value)
            key, value = joined(past, place, key, value)
            mask = masks[layer.window]
            mixed = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=mask is None,
                scale=self._stack.scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )
            return mixed.transpose(1, 2).reshape(rows * length, -1)

        hidden = self._loop(self._layers, ids.flatten(), positions.repeat(rows), attend)
        return hidden.view(rows, length, -1), torch.stack(keys), torch.stack(values)

    def _loop(
        self,
        layers: list[Layer],
        ids: torch.Tensor,
        positions: torch.Tensor,
        attend: Callable[[int, Layer, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Hidden states (N, C) after the last norm, of ids (N,) at positions (N,)."""
        turn = self._turns.at(positions) if self._turns else None
        x = self._stack.embed(ids, positions)
        for place, layer in enumerate(layers):
            inner = layer.before(x)
            query, key, value = layer.project(inner)
            if turn and layer.rotates:
                query, key = turn(query), turn(key)
            mixed = layer.merge(attend(place, layer, query, key, value))
            if not self._stack.parallel:
                x = x + mixed
            if layer.between:
                inner = layer.between(x)
            x = x + layer.feed(inner)
            if self._stack.parallel:
                x = x + mixed
        return self._stack.norm(x)


def _as_it_is(layer: torch.nn.Linear, *, gelu: bool = False) -> Map:
    return (lambda x: gelu_tanh(layer(x))) if gelu else layer


def _mask(positions: torch.Tensor, window: int | None, past: PromptState | None) -> torch.Tensor | None:
    """(T, cells) bool, true where a token at one of `positions` looks; None where plain causality will do."""
    mask = sees(past, len(positions), positions.device)
    if window is None:
        return mask
    back = positions[:, None] - torch.arange(int(positions[-1]) + 1, device=positions.device)
    return (back < window) & (back >= 0 if mask is None else mask)


def _rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, *, interleaved: bool) -> torch.Tensor:
    """(N, H, D) with its first R components rotated by angles (N, 1, R/2)."""
    size = 2 * cosine.shape[-1]
    turning, rest = x[..., :size], x[..., size:]
    if interleaved:
        a, b = turning[..., ::2], turning[..., 1::2]
        turned = torch.stack((a * cosine - b * sine, b * cosine + a * sine), dim=-1).flatten(-2)
    else:
        a, b = turning.chunk(2, dim=-1)
        turned = torch.cat((a * cosine - b * sine, b * cosine + a * sine), dim=-1)
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned
