"""The general path: any causal model of transformers, through its own forward, over a preallocated cache.

Each row of the tile stands at its own position, so keys and values are written row by row and hidden by a mask of ours,
one for every kind of layer: those that see the whole text, and those that see a window of it.
The cache has one fixed length, a bucket that follows from the row's own prompt and limit; rows of other buckets wait
for a tile of their own. The vocabulary's logits are computed in fp32 even when the weights are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from biasaudit.sampling.decoders.base import (
    Allocate,
    PromptState,
    bucket_length,
    context_length,
    padded,
)
from biasaudit.sampling.decoders.even import EvenActivations
from biasaudit.sampling.decoders.past import after

_SHORTEST_CLASS = 64


class _RowLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, (B, H, L, D) each, written at every row's own position."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Hold the preallocated tensors."""
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        rows, heads, self.length, _ = keys.shape
        self._starts = torch.arange(rows * heads, device=keys.device).view(rows, heads) * self.length
        self._flat = self._starts.flatten()

    def aim(self, positions: torch.Tensor) -> None:
        """Where the next `update` writes: int64 (B,)."""
        self._flat = (self._starts + positions[:, None]).flatten()

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the tensors are there from the start."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one token a row and return the whole length."""
        for held, new in ((self.keys, key_states), (self.values, value_states)):
            width = held.shape[-1]
            held.view(-1, width).index_copy_(0, self._flat, new.reshape(-1, width))
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - the name is transformers'
        """The whole length, from 0."""
        return self.length, 0

    def get_seq_length(self) -> int:
        """Rows differ; positions are always given, so nobody counts from this."""
        return 0

    def get_max_length(self) -> int:
        """The whole length."""
        return self.length


class _Passes:
    """Forward passes with the vocabulary's logits in fp32; `together` when several texts run in one."""

    def __init__(self, model: Any, vocabulary: int, *, together: bool) -> None:
        self.model, self.vocabulary = model, vocabulary
        self._inside = EvenActivations if together and model.device.type == "cpu" else nullcontext
        embedding = model.get_output_embeddings()
        weight = getattr(embedding, "weight", None)
        half = weight is not None and weight.dtype in (torch.bfloat16, torch.float16)
        self._embedding = embedding if half and type(embedding) is torch.nn.Linear else None
        self._weight = weight.float() if self._embedding is not None and weight is not None else None
        bias = getattr(embedding, "bias", None)
        self._bias = bias.float() if self._embedding is not None and bias is not None else None

    @contextmanager
    def _exact_head(self) -> Iterator[None]:
        """While open, the output layer answers in fp32: half precision cannot tell near logits apart."""
        if self._embedding is None:
            yield
            return

        def exact(_module: Any, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> torch.Tensor:
            assert self._weight is not None
            return F.linear(inputs[0].float(), self._weight, self._bias)

        handle = self._embedding.register_forward_hook(exact)
        try:
            yield
        finally:
            handle.remove()

    def __call__(self, ids: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, Any]:
        """fp32 logits (P, T, V) and the cache."""
        with self._exact_head(), self._inside():
            out = self.model(input_ids=ids, **kwargs)
        return out.logits[..., : self.vocabulary].float(), getattr(out, "past_key_values", None)


def _windows(config: Any) -> dict[str, int | None]:
    """How many positions the layers of each kind see, None for all; the kind is "" where all layers are alike."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if kinds and "sliding_attention" in kinds:
        return {"full_attention": None, "sliding_attention": window}
    return {"": None if kinds or not getattr(config, "use_sliding_window", True) else window}


class GeneralDecoder:
    """A transformers model over a tile of rows, one token a step."""

    path = "general"

    def __init__(self, model: Any, *, vocabulary: int, allocate: Allocate) -> None:
        """Wrap `model`; `decoders.select.choose` proves that the wrapping changes nothing."""
        self.context = context_length(model.config)
        self.vocabulary = vocabulary
        weight = model.get_input_embeddings().weight
        self.device, self.dtype = weight.device, weight.dtype
        self._run = _Passes(model, vocabulary, together=True)
        self._windows = _windows(model.config.get_text_config())
        self._allocate = allocate
        self.open(1, _SHORTEST_CLASS)

    def length_class(self, tokens: int) -> int:
        """The cache length that the row needs."""
        return bucket_length(max(tokens, _SHORTEST_CLASS), self.context)

    def open(self, tile: int, length: int) -> None:
        """Forget all rows and prepare `tile` of them, of at most `length` tokens."""
        self._tile, self._length = tile, length
        self._layers: list[_RowLayer] = []
        self._cells = torch.arange(length, device=self.device)
        self._output = self._allocate((tile, self.vocabulary), torch.float32, self.device)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> list[PromptState]:
        """Run prompts of one bucket at its fixed shape."""
        length = bucket_length(max(map(len, prompts)), self.context)
        logits, cache = self._whole(padded(prompts, length, self.device))
        states = []
        for row, prompt in enumerate(prompts):
            size = len(prompt)
            memory = tuple(part[row, :, :size].clone() for layer in cache.layers for part in (layer.keys, layer.values))
            states.append(PromptState(size, logits[row, size - 1].clone(), memory))
        return states

    def _whole(self, ids: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Logits and keys and values of all of ids (P, T): a cache of the model's own would drop what left a window."""
        return self._run(ids, past_key_values=DynamicCache(), use_cache=True)

    def admit(self, row: int, state: PromptState, _tokens: int) -> None:
        """Copy the prompt's keys and values into `row`."""
        pairs = list(zip(state.memory[::2], state.memory[1::2], strict=True))
        if not self._layers:
            self._layers = [_RowLayer(self._room(keys), self._room(values)) for keys, values in pairs]
        for layer, (keys, values) in zip(self._layers, pairs, strict=True):
            layer.keys[row, :, : state.length] = keys
            layer.values[row, :, : state.length] = values
        self._output[row] = state.output

    def _room(self, part: torch.Tensor) -> torch.Tensor:
        """Zeros (B, H, L, D) for a prompt's (H, T, D)."""
        return self._allocate((self._tile, part.shape[0], self._length, part.shape[2]), part.dtype, part.device)

    def logits(self) -> torch.Tensor:
        """fp32 (B, V)."""
        return self._output

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, _longest: int) -> None:
        """Feed one token a row."""
        for layer in self._layers:
            layer.aim(positions)
        masks = {kind: self._mask(positions[:, None], window) for kind, window in self._windows.items()}
        logits, _ = self._run(
            tokens[:, None],
            position_ids=positions[:, None],
            attention_mask=masks.get("", masks),
            past_key_values=Cache(layers=self._layers),
            use_cache=True,
        )
        self._output = logits[:, -1].contiguous()

    def _mask(self, positions: torch.Tensor, window: int | None) -> torch.Tensor:
        """(B, 1, 1, L): −∞ where rows at positions (B, 1) must not look."""
        hidden = self._cells > positions
        if window is not None:
            hidden |= self._cells <= positions - window
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(hidden, -torch.inf)[:, None, None, :]

    def read(self, prompt: Sequence[int]) -> PromptState:
        """Run one prompt alone at its bucket's shape."""
        size = len(prompt)
        row = padded([prompt], bucket_length(size, self.context), self.device)[:1]
        logits, cache = self._whole(row)
        memory = tuple(part[0, :, :size].clone() for layer in cache.layers for part in (layer.keys, layer.values))
        return PromptState(size, logits[0, size - 1].clone(), memory)

    def extend(self, state: PromptState, ids: torch.Tensor) -> torch.Tensor:
        """fp32 logits (R, T, V) after every token of padded ids (R, T) that follow one prompt."""
        rows, length = ids.shape
        memory = [part.expand(rows, -1, -1, -1) for part in state.memory]
        cache = DynamicCache(zip(memory[::2], memory[1::2], strict=True))
        positions = after(state, length, self.device).expand(rows, -1)
        logits, _ = self._run(ids, position_ids=positions, past_key_values=cache, use_cache=True)
        return logits

    def head(self, outputs: torch.Tensor) -> torch.Tensor:
        """The outputs are the logits."""
        return outputs

    def all_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """fp32 (T, V): the logits after every token of one padded sequence."""
        return self._run(ids[None], use_cache=False)[0][0]


class RecomputeDecoder:
    """The last resort: no cache, the whole text again at every step. Slow, and right for every causal model."""

    path = "recompute"

    def __init__(self, model: Any, *, vocabulary: int, allocate: Allocate) -> None:
        """Wrap `model`."""
        self.context = context_length(model.config)
        self.vocabulary = vocabulary
        weight = model.get_input_embeddings().weight
        self.device, self.dtype = weight.device, weight.dtype
        self._run = _Passes(model, vocabulary, together=False)
        self._allocate = allocate
        self.open(1, _SHORTEST_CLASS)

    def length_class(self, tokens: int) -> int:
        """The padded length that the row needs."""
        return bucket_length(max(tokens, _SHORTEST_CLASS), self.context)

    def open(self, tile: int, length: int) -> None:
        """Forget all rows and prepare `tile` of them, of at most `length` tokens."""
        self._ids = self._allocate((tile, length), torch.int64, self.device)
        self._last = torch.zeros(tile, dtype=torch.int64, device=self.device)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> list[PromptState]:
        """Keep the ids; there is nothing to compute ahead."""
        rows = [torch.tensor(p, dtype=torch.int64, device=self.device) for p in prompts]
        return [PromptState(len(row), row, ()) for row in rows]

    def admit(self, row: int, state: PromptState, _tokens: int) -> None:
        """Put the prompt into `row`."""
        self._ids[row] = 0
        self._ids[row, : state.length] = state.output
        self._last[row] = state.length - 1

    def logits(self) -> torch.Tensor:
        """fp32 (B, V), from a forward over one row at a time: a row's shape is its own.

        Nothing is padded: a model that only this path runs may look at anything, the length of its input included.
        """
        lengths = (self._last + 1).tolist()
        rows = [
            self._run(ids[None, :length], use_cache=False)[0][0, -1]
            for ids, length in zip(self._ids, lengths, strict=True)
        ]
        return torch.stack(rows)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, _longest: int) -> None:
        """Append one token a row."""
        self._ids.scatter_(1, positions[:, None], tokens[:, None])
        self._last = positions

    def all_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """fp32 (T, V): the logits after every token of one padded sequence."""
        return self._run(ids[None], use_cache=False)[0][0]
