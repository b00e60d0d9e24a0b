"""The end of a queue: the rows that are left are computed, and their completions stay the same."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from sampling_support import backend, requests, sharpened
from transformers import GPT2Config, GPT2LMHeadModel

from biasaudit.records import Completion, Decoding
from biasaudit.sampling import kernels
from biasaudit.sampling.decoders import linear
from biasaudit.sampling.decoders.gpt2 import Gpt2Decoder

DECODINGS = (
    Decoding(),
    Decoding(temperature=0.7),
    Decoding(top_k=20),
    Decoding(top_p=0.9),
    Decoding(min_p=0.05, temperature=1.4),
    Decoding(temperature=0.0),
    Decoding(repetition_penalty=1.3),
)


def wide_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(4)
    return sharpened(
        GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=515, n_positions=160))
    ).bfloat16()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_tile_that_empties_computes_fewer_rows_and_the_same_completions(compiled, monkeypatch):
    tools = shutil.which("c++") and shutil.which("ninja") and torch.cpu._is_amx_tile_supported()
    if compiled and not tools:
        pytest.skip("no C++ compiler or no matrix unit here")
    monkeypatch.setenv(kernels.SWITCH, "1" if compiled else "0")
    monkeypatch.setattr(linear, "_ROWS", 32)
    model = wide_gpt2()
    asked = [
        request
        for request in requests(11, 5, *(dataclasses.replace(one, max_new_tokens=12) for one in DECODINGS))
        if request.decoding.temperature or not request.index
    ]

    def made(narrow) -> tuple[list[Completion], set[int]]:
        counts: set[int] = set()

        def counted(decoder: Gpt2Decoder, rows: int) -> int:
            counts.add(narrow(decoder, rows))
            return decoder._first

        with monkeypatch.context() as patch:
            patch.setattr(Gpt2Decoder, "narrow", counted)
            found = list(backend(model, tile=96, vocabulary=515, threads=2).complete(asked))
        return sorted(found, key=lambda completion: completion.key), counts

    some, fewer = made(Gpt2Decoder.narrow)
    assert min(fewer) < max(fewer) == 96
    whole, all_rows = made(lambda decoder, _rows: len(decoder._output))
    assert all_rows == {96}
    assert some == whole
