"""Likelihoods over a shared prompt: equal to the model's own forward, and the same whatever stands beside them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from sampling_support import VOCABULARY, Letters, backend, gpt2, llama, neox, windowed

from biasaudit.errors import InputError
from biasaudit.sampling.decoders import select
from biasaudit.sampling.decoders.base import Decoder, SharesPrompts, allocate_zeros
from biasaudit.sampling.decoders.general import GeneralDecoder, RecomputeDecoder
from biasaudit.sampling.likelihoods import continuation_logprobs, next_token_logprobs

FAMILIES = {
    "gpt2": gpt2,
    "gpt2-scaled": lambda: gpt2(scale_attn_by_inverse_layer_idx=True, activation_function="relu"),
    "neox": neox,
    "llama": llama,
    "mistral-window": windowed,
    "general": neox,
}


def decoder_of(family: str, model: Any, vocabulary: int = VOCABULARY) -> Decoder:
    """The path that runs `model`; the general one where the family says so."""
    if family == "general":
        return GeneralDecoder(model, vocabulary=vocabulary, allocate=allocate_zeros)
    return select.choose(model, vocabulary=vocabulary)


def texts(count: int, *, longest: int = 40) -> list[list[int]]:
    draw = random.Random(3)
    return [[draw.randrange(1, VOCABULARY) for _ in range(draw.randrange(0, longest))] for _ in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("start", [1, 17, 118])
def test_every_token_has_the_logprob_of_a_plain_forward(family, start):
    model = FAMILIES[family]()
    decoder = decoder_of(family, model)
    prompt = ([7, 250, 31] * 40)[:start]
    continuations = [*texts(12), [5] * (161 - start)]
    for ids, found in zip(continuations, continuation_logprobs(decoder, prompt, continuations), strict=True):
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([[*prompt, *ids][:160]])).logits[0].double(), -1)
        want = [float(rows[start - 1 + i, token]) for i, token in enumerate(ids)]
        assert found.dtype == torch.float64
        assert found.tolist() == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_never_depends_on_the_continuations_beside_it(family, dtype):
    decoder = decoder_of(family, FAMILIES[family]().to(dtype))
    prompt = [7, 8, 9, 10, 11]
    continuations = texts(30)
    together = continuation_logprobs(decoder, prompt, continuations)
    order = list(range(30))
    random.Random(1).shuffle(order)
    shuffled = continuation_logprobs(decoder, prompt, [continuations[i] for i in order])
    for place, i in enumerate(order):
        assert torch.equal(shuffled[place], together[i])
        assert torch.equal(continuation_logprobs(decoder, prompt, [continuations[i]])[0], together[i])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_law_of_the_next_token_is_that_of_a_plain_forward(family):
    model = FAMILIES[family]()
    decoder = decoder_of(family, model, VOCABULARY - 3)
    for prompt in ([4], [4] * 60):
        with torch.no_grad():
            logits = model(torch.tensor([prompt])).logits[0, -1, : VOCABULARY - 3]
        found = next_token_logprobs(decoder, prompt)
        torch.testing.assert_close(found, torch.log_softmax(logits.double(), 0), atol=1e-4, rtol=0)
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_a_path_without_a_cache_gives_the_same_numbers_from_one_forward_each():
    model = gpt2()
    slow = RecomputeDecoder(model, vocabulary=VOCABULARY, allocate=allocate_zeros)
    fast = select.choose(model, vocabulary=VOCABULARY)
    assert isinstance(fast, SharesPrompts)
    assert not isinstance(slow, SharesPrompts)
    continuations = texts(12)
    pairs = [continuation_logprobs(decoder, [7, 8], continuations) for decoder in (slow, fast)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    torch.testing.assert_close(*(next_token_logprobs(d, [7, 8]) for d in (slow, fast)), atol=1e-4, rtol=0)


def test_a_padded_row_ends_with_the_context():
    ours = backend(gpt2())
    (found,) = ours.continuations("a" * 150, ["b" * 11])
    assert found.tokens == 11
    start, ids = Letters().encode("a" * 150), Letters().encode("b" * 11)
    with torch.no_grad():
        rows = torch.log_softmax(gpt2()(torch.tensor([[*start, *ids[:-1]]])).logits[0].double(), -1)
    assert found.total == pytest.approx(sum(float(rows[149 + i, t]) for i, t in enumerate(ids)), abs=1e-4)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 400])
def test_bits_per_byte_read_every_token_once_with_at_least_half_a_context(length):
    model, text = gpt2(), "".join(random.Random(7).choices("abcdefgh", k=length))
    ids, nats = [0, *Letters().encode(text)], 0.0
    for at in range(1, len(ids)):
        # Tokens 1 to 160 stand in the first window, later ones in windows that end 80 tokens further each.
        end = 161 if at < 161 else min(161 + 80 * ((at - 161) // 80 + 1), len(ids))
        with torch.no_grad():
            law = torch.log_softmax(model(torch.tensor([ids[max(0, end - 161) : at]])).logits[0, -1].double(), 0)
        nats -= float(law[ids[at]])
    assert backend(model).bits_per_byte(text) == pytest.approx(nats / math.log(2) / length, abs=1e-4)


def test_an_empty_text_has_no_bits_per_byte():
    with pytest.raises(InputError, match="empty text"):
        backend(gpt2()).bits_per_byte("")
