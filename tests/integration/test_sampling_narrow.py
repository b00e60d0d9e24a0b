"""The end of a queue: the rows that are left move together and alone are computed; their completions stay the same."""

from __future__ import annotations

import shutil

import pytest
import torch
from sampling_support import backend, requests, sharpened
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from biasaudit.records import Completion, Decoding
from biasaudit.sampling import kernels
from biasaudit.sampling.decoders import linear
from biasaudit.sampling.decoders.gpt2 import Gpt2Decoder
from biasaudit.sampling.decoders.transformer import TransformerDecoder

TILE = 160
"""A whole part of a product and some rows of another."""

DECODINGS = (
    Decoding(max_new_tokens=30),
    Decoding(temperature=0.7, max_new_tokens=5),
    Decoding(top_k=20, max_new_tokens=24),
    Decoding(top_p=0.9, max_new_tokens=40),
    Decoding(min_p=0.05, temperature=1.4, max_new_tokens=12),
    Decoding(temperature=0.0, max_new_tokens=33),
    Decoding(repetition_penalty=1.3, max_new_tokens=50),
)


def gpt2():
    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=128, n_head=2, vocab_size=515, n_positions=160))


def sizes() -> dict[str, int]:
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 256}
    return {"vocab_size": 515, "max_position_embeddings": 160, "intermediate_size": 192, **heads}


def llama():
    return LlamaForCausalLM(LlamaConfig(**sizes()))


def windowed():
    return MistralForCausalLM(MistralConfig(sliding_window=21, **sizes()))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", [gpt2, llama, windowed])
def test_a_tile_that_empties_computes_fewer_rows_and_the_same_completions(family, dtype, compiled, monkeypatch):
    if compiled and not (shutil.which("c++") and shutil.which("ninja")):
        pytest.skip("no C++ compiler here")
    monkeypatch.setenv(kernels.SWITCH, "1" if compiled else "0")
    monkeypatch.setattr(linear, "_ROWS", 96)
    torch.manual_seed(4)
    model = sharpened(family()).to(dtype)
    asked = [request for request in requests(11, 5, *DECODINGS) if request.decoding.temperature or not request.index]
    decoder = Gpt2Decoder if family is gpt2 else TransformerDecoder

    def made(narrow) -> tuple[list[Completion], set[int], int]:
        counts: set[int] = set()
        moves = 0

        def counted(self, rows: int) -> int:
            counts.add(narrow(self, rows))
            return self._first

        def moved(self, row: int, to: int) -> None:
            nonlocal moves
            moves += 1
            move(self, row, to)

        with monkeypatch.context() as patch:
            move = decoder.move
            patch.setattr(decoder, "narrow", counted)
            patch.setattr(decoder, "move", moved)
            found = list(backend(model, tile=TILE, vocabulary=515, threads=2).complete(asked))
        return sorted(found, key=lambda completion: completion.key), counts, moves

    some, fewer, moves = made(decoder.narrow)
    assert min(fewer) <= 32 < max(fewer) == TILE
    assert moves > 20
    whole, all_rows, none = made(lambda self, _rows: len(self._output))
    assert all_rows == {TILE}
    assert not none
    assert len(some) == len(asked)
    assert some == whole
