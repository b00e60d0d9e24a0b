"""Tiny models and a letter tokenizer for the sampling tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from biasaudit.records import Arm, Completion, Decoding, SampleRequest
from biasaudit.sampling.backends.torch import TorchBackend

VOCABULARY = 300
ENDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}


class Letters:
    """One token a byte, shifted by one; id 0 ends a text, ids above 256 are written in brackets."""

    eot_id = 0
    fingerprint = "letters"

    def __init__(self, vocab_size: int = VOCABULARY) -> None:
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        return [1 + byte % (self.vocab_size - 1) for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(i - 1) if 33 <= i <= 127 else f"[{i}]" for i in ids)


def sharpened(model: Any) -> Any:
    """Random weights give near-uniform logits; larger ones make tokens and positions matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model.eval()


def gpt2(*, seed: int = 0, vocabulary: int = VOCABULARY, context: int = 160, **options: Any) -> Any:
    torch.manual_seed(seed)
    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=vocabulary, n_positions=context, **ENDS, **options)
    return sharpened(GPT2LMHeadModel(config))


def neox() -> Any:
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return sharpened(
        GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, max_position_embeddings=160, **sizes, **ENDS))
    )


def llama(**options: Any) -> Any:
    torch.manual_seed(2)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=160, intermediate_size=64, **sizes, **ENDS, **options
    )
    return sharpened(LlamaForCausalLM(config))


def backend(
    model: Any, *, salt: str = "", tile: int = 16, vocabulary: int = VOCABULARY, **options: Any
) -> TorchBackend:
    arm = Arm(name="a", spec="a", role="base", fingerprint="weights", tokenizer_fingerprint="letters", salt=salt)
    return TorchBackend(model, Letters(vocabulary), arm=arm, seed=11, tile=tile, **options)


def requests(prompts: int, completions: int, *decodings: Decoding) -> list[SampleRequest]:
    """Prompts of 1 to 90 letters, so that several buckets and cache blocks are in play."""
    draw = random.Random(5)
    texts = [
        "".join(draw.choices("abcdefgh", k=draw.choice([1, 7, 15, 16, 17, 30, 33, 60, 90]))) for _ in range(prompts)
    ]
    return [
        SampleRequest(prompt_id=f"p{p}", prompt=text, decoding=decoding, index=index)
        for p, text in enumerate(texts)
        for decoding in decodings or (Decoding(max_new_tokens=12),)
        for index in range(completions)
    ]


def by_key(completions: Sequence[Completion]) -> dict[Any, Completion]:
    found = {c.key: c for c in completions}
    assert len(found) == len(completions)
    return found


def windowed() -> Any:
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    limits = {"max_position_embeddings": 160, "sliding_window": 8}
    config = MistralConfig(vocab_size=VOCABULARY, intermediate_size=64, **sizes, **limits, **ENDS)
    return sharpened(MistralForCausalLM(config))
