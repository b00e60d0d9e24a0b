"""Bit-identity under one numerics fingerprint: whatever the queue, a completion is the same to the last bit."""

from __future__ import annotations

import random

import pytest
import torch
from sampling_support import backend, by_key, gpt2, llama, neox, requests

from biasaudit.records import Decoding

MODELS = {
    "gpt2-fp32": gpt2,
    "gpt2-bf16": lambda: gpt2().to(torch.bfloat16),
    "neox-fp32": neox,
    "llama-bf16": lambda: llama().to(torch.bfloat16),
}

DECODINGS = (
    Decoding(max_new_tokens=12),
    Decoding(max_new_tokens=9, top_k=5),
    Decoding(max_new_tokens=14, top_p=0.8, temperature=0.7),
    Decoding(max_new_tokens=12, temperature=0.0),
    Decoding(max_new_tokens=12, repetition_penalty=1.2, stop=("a",)),
)


@pytest.fixture(scope="module", params=list(MODELS))
def model(request):
    return MODELS[request.param]()


def test_queue_order_length_and_company_change_no_bit(model):
    wanted = requests(7, 3)
    whole = by_key(list(backend(model).complete(wanted)))
    shuffled = random.Random(3).sample(wanted, len(wanted))
    assert by_key(list(backend(model).complete(iter(shuffled)))) == whole
    company = random.Random(4).sample([*wanted, *requests(3, 2, *DECODINGS[1:])], len(wanted) + 24)
    mixed = by_key(list(backend(model).complete(company)))
    assert {key: mixed[key] for key in whole} == whole
    for request in random.Random(6).sample(wanted, 4):
        (alone,) = backend(model).complete([request])
        assert alone == whole[alone.key]


def test_every_decoding_is_the_same_alone_and_in_company(model):
    wanted = requests(4, 2, *DECODINGS)
    mixed = by_key(list(backend(model).complete(wanted)))
    for decoding in DECODINGS:
        for completion in backend(model).complete([r for r in wanted if r.decoding == decoding]):
            assert completion == mixed[completion.key]


def test_a_second_pass_of_one_backend_repeats_the_first(model):
    ours = backend(model)
    wanted = requests(5, 4)
    first = by_key(list(ours.complete(wanted)))
    abandoned = ours.complete(requests(9, 9))
    next(abandoned)
    abandoned.close()
    assert by_key(list(ours.complete(wanted[::-1]))) == first


def test_more_completions_later_are_those_of_one_go():
    few, more = requests(4, 3), requests(4, 9)
    whole = by_key(list(backend(gpt2()).complete(more)))
    early = by_key(list(backend(gpt2()).complete(few)))
    assert {key: whole[key] for key in early} == early


def test_every_place_of_the_tile_gives_the_same_bits():
    for dtype in (torch.float32, torch.bfloat16):
        request = requests(1, 1)[0]
        ours = backend(gpt2().to(dtype), tile=32)
        found = {(c.token_ids, c.logprobs) for c in ours.complete([request] * 64)}
        assert len(found) == 1


@pytest.mark.parametrize("setting", ["MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA"])
def test_a_setting_that_changes_rounding_changes_the_numerics(setting, monkeypatch):
    monkeypatch.delenv(setting, raising=False)
    ours = backend(gpt2())
    plain = ours.numerics_id
    monkeypatch.setenv(setting, "AVX2")
    assert ours.numerics_id != plain
    assert f"{setting}=AVX2" in ours.numerics["processor"]
