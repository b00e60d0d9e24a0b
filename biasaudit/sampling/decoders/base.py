"""What the engine asks of a way to run a model, and the fixed shapes that all of them keep.

Bit-identity (CONTRACT §1) rests on shapes: matrix products round differently at other shapes, so every product here has
a shape that follows from the row's own prompt, or from the tile, and never from the neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

PREFILL_TOKENS = 256
"""Tokens that one prefill batch holds: at bucket length T it has PREFILL_TOKENS / T rows, at least one."""

SHORTEST_BUCKET = 16

Allocate = Callable[[Sequence[int], torch.dtype, torch.device], torch.Tensor]
"""Makes a zeroed tensor; the seam through which a test runs out of memory."""


def allocate_zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The allocator of every day."""
    return torch.zeros(tuple(shape), dtype=dtype, device=device)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that memory is exhausted."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    said = ("can't allocate memory", "not enough memory", "out of memory", "status_alloc_failed")
    return any(words in text for words in said)


@dataclass(frozen=True, slots=True)
class PromptState:
    """A prompt after prefill, as its completions share it."""

    length: int
    output: torch.Tensor
    """What `Decoder.logits` reads after the last token: (C,) hidden state, or (V,) logits on the general path."""
    memory: tuple[torch.Tensor, ...]
    """Keys and values, or whatever else the decoder keeps of a prompt."""

    @property
    def bytes(self) -> int:
        """Memory that this state holds."""
        return sum(t.numel() * t.element_size() for t in (self.output, *self.memory))


class Decoder(Protocol):
    """Runs one model over a tile of rows, one token a step."""

    path: str
    """Name in the numerics fingerprint."""
    context: int
    """Most tokens of prompt and completion together."""
    vocabulary: int
    device: torch.device
    dtype: torch.dtype

    def length_class(self, tokens: int, /) -> int:
        """Rows of one class may share a tile; `tokens` is the longest that the row may become."""
        ...

    def open(self, tile: int, length: int, /) -> None:
        """Forget all rows and prepare `tile` of them, for rows of class `length`."""
        ...

    def prefill(self, prompts: Sequence[Sequence[int]], /) -> list[PromptState]:
        """Run prompts of one bucket, at most `prefill_rows` of them, at the bucket's fixed shape."""
        ...

    def admit(self, row: int, state: PromptState, tokens: int, /) -> None:
        """Put a prompt into `row`, with room for `tokens` in all."""
        ...

    def logits(self) -> torch.Tensor:
        """fp32 (B, V): the next token of every row."""
        ...

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int, /) -> None:
        """Feed one token a row: int64 (B,) tokens at int64 (B,) positions, the largest of which is `longest`."""
        ...

    def all_logits(self, ids: torch.Tensor, /) -> torch.Tensor:
        """fp32 (T, V): the logits after every token of one padded sequence, int64 (T,)."""
        ...


@runtime_checkable
class Narrows(Protocol):
    """A decoder whose rows have the same bits however many are computed: the end of a queue need not fill a tile."""

    def narrow(self, rows: int, /) -> int:
        """Leave out all but the first `rows` rows, or a few more, until asked again; returns how many are computed.

        `logits` and `step` speak of these alone; what the others hold stays as it is.
        """
        ...

    def move(self, row: int, to: int, /) -> None:
        """Let a row go on in the place of a finished one."""
        ...


@runtime_checkable
class SharesPrompts(Protocol):
    """A decoder that runs many continuations over one prompt's keys and values; `likelihoods` asks for it.

    Outputs are what `PromptState.output` holds: hidden states, or the logits themselves, in the last dimension.
    """

    def read(self, prompt: Sequence[int], /) -> PromptState:
        """Run one prompt alone at its bucket's shape (1, T)."""
        ...

    def extend(self, state: PromptState, ids: torch.Tensor, /) -> torch.Tensor:
        """Outputs (R, T, ·) after every token of padded ids, int64 (R, T), each row following the same prompt.

        Prompt and padded row fit into the context together.
        """
        ...

    def head(self, outputs: torch.Tensor, /) -> torch.Tensor:
        """fp32 (N, V): the logits that outputs (N, ·) mean."""
        ...


def bucket_length(tokens: int, context: int) -> int:
    """The padded length of a sequence: the next power of two, at least 16, at most the context."""
    length = SHORTEST_BUCKET
    while length < tokens:
        length *= 2
    return min(length, context)


def prefill_rows(length: int) -> int:
    """Rows of a prefill batch at bucket `length`."""
    return max(1, PREFILL_TOKENS // length)


def padded(prompts: Sequence[Sequence[int]], length: int, device: torch.device) -> torch.Tensor:
    """int64 (prefill_rows, length): prompts at the top left, id 0 elsewhere.

    Padding stands on the right, where a causal model's real positions never look.
    """
    ids = torch.zeros((prefill_rows(length), length), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt, dtype=torch.int64)
    return ids.to(device)


def context_length(config: Any) -> int:
    """Most positions that a transformers configuration allows; 2048 when it names none."""
    config = getattr(config, "get_text_config", lambda: config)()  # of a model that also sees or hears
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return 2048
