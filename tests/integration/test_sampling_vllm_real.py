"""vLLM itself beside our engine, where it is installed: the same greedy tokens, stops and log-probabilities."""

from __future__ import annotations

import importlib.util

import pytest

from biasaudit.lm import embedded
from biasaudit.lm.load import reading_room
from biasaudit.pipeline.arms import describe_arm
from biasaudit.pipeline.plan import Machine
from biasaudit.pipeline.sample import open_backend
from biasaudit.records import Arm, Completion, Decoding, SampleRequest
from biasaudit.sampling import backends

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed in this environment"),
]
PROMPTS = ("É verdade que vacinas", "", "Ele disse que", "a " * 120)
DECODINGS = (
    Decoding(temperature=0.0, max_new_tokens=40),
    Decoding(temperature=0.0, max_new_tokens=40, repetition_penalty=1.3),
    Decoding(temperature=0.0, max_new_tokens=250, stop=("\n", ", e")),
)


def asked(decoding: Decoding) -> list[SampleRequest]:
    return [SampleRequest(prompt_id=f"p{k}", prompt=p, decoding=decoding, index=0) for k, p in enumerate(PROMPTS)]


def told(completion: Completion) -> tuple[str, tuple[int, ...], str, str]:
    return completion.prompt_id, completion.token_ids, completion.text, completion.finish_reason


def test_vllm_agrees_with_our_engine() -> None:
    folder = str(embedded.folder("base"))
    known = describe_arm(folder)
    arm = Arm(name="a", spec=folder, role="base", fingerprint=known.fingerprint, tokenizer_fingerprint="t")
    context, tokenizer = reading_room(folder)
    spec = backends.read_spec(f"vllm:{folder},memory=0.2")
    theirs = backends.build(
        "vllm", spec=spec, arm=arm, seed=3, folder=folder, tokenizer=tokenizer, context=context, dtype="fp32"
    )
    ours = open_backend(arm, Machine(dtype="fp32", device="cpu", tile=4, threads=1), seed=3)
    for decoding in DECODINGS:
        got = list(theirs.complete(asked(decoding)))
        own = sorted(ours.complete(asked(decoding)), key=lambda completion: completion.prompt_id)
        assert list(map(told, got)) == list(map(told, own))
        for one, other in zip(got, own, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    sampled = Decoding(temperature=0.7, top_k=50, max_new_tokens=20)
    assert list(theirs.complete(asked(sampled))) == list(theirs.complete(asked(sampled)))
    texts = [" não", "", " uma coisa longa que ninguém disse."]
    for stem in PROMPTS[:3]:
        pairs = zip(theirs.continuations(stem, texts), ours.continuations(stem, texts), strict=True)
        assert all(a.total == pytest.approx(b.total, abs=1e-3) and a.tokens == b.tokens for a, b in pairs)
