"""The torch backend end to end on tiny random models: right against transformers, honest at every limit."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from sampling_support import VOCABULARY, Letters, backend, by_key, gpt2, llama, neox, requests, windowed
from scipy import stats

from biasaudit.errors import InputError, ModelError, ResourceError, UnknownNameError, UsageError
from biasaudit.records import Arm, Decoding, SampleRequest
from biasaudit.sampling import backends
from biasaudit.sampling.backends.torch import TorchBackend
from biasaudit.sampling.backoff import Backoff

FAMILIES = {
    "gpt2": gpt2,
    "gpt2-scaled": lambda: gpt2(scale_attn_by_inverse_layer_idx=True, activation_function="relu"),
    "neox": neox,
    "llama": llama,
    "mistral-window": windowed,
}
PATHS = {"gpt2": "gpt2", "gpt2-scaled": "gpt2", "neox": "neox", "llama": "llama", "mistral-window": "llama"}


def ask(prompt: str, decoding: Decoding, index: int = 0) -> SampleRequest:
    return SampleRequest(prompt_id=prompt[:5], prompt=prompt, decoding=decoding, index=index)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_decoding_equals_generate_token_for_token(family):
    model = FAMILIES[family]()
    ours = backend(model)
    assert ours.numerics["path"].split("+")[0] == PATHS[family]
    greedy = Decoding(temperature=0.0, max_new_tokens=24)
    for completion in ours.complete(requests(6, 1, greedy)):
        prompt = next(r.prompt for r in requests(6, 1, greedy) if r.prompt_id == completion.prompt_id)
        ids = torch.tensor([Letters().encode(prompt)])
        want = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0
        )
        emitted = list(completion.token_ids) + ([0] if completion.finish_reason == "eos" else [])
        assert emitted == want[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_equal_a_plain_forward(family):
    model = FAMILIES[family]()
    wanted = requests(5, 3, Decoding(max_new_tokens=20, temperature=0.8, top_k=50))
    prompts = {r.prompt_id: r.prompt for r in wanted}
    for completion in backend(model).complete(wanted):
        start = Letters().encode(prompts[completion.prompt_id])
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *completion.token_ids]])).logits[0].float()
        rows = torch.log_softmax(logits, -1)[len(start) - 1 : -1]
        want = [float(row[token]) for row, token in zip(rows, completion.token_ids, strict=True)]
        assert completion.logprobs == pytest.approx(want, abs=1e-4)


def test_repetition_penalty_is_that_of_transformers():
    model = gpt2()
    greedy = Decoding(temperature=0.0, max_new_tokens=24, repetition_penalty=1.4)
    for completion in backend(model).complete(requests(4, 1, greedy)):
        prompt = next(r.prompt for r in requests(4, 1, greedy) if r.prompt_id == completion.prompt_id)
        ids = torch.tensor([Letters().encode(prompt)])
        options = {"max_new_tokens": 24, "do_sample": False, "pad_token_id": 0, "repetition_penalty": 1.4}
        want = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        assert list(completion.token_ids) == [t for t in want[0, ids.shape[1] :].tolist() if t]


def test_sequences_over_a_tree_of_three_tokens_have_the_models_probabilities():
    model = gpt2(vocabulary=4)
    wanted = [ask("a", Decoding(max_new_tokens=3), index) for index in range(3_000)]
    found = Counter(c.token_ids for c in backend(model, tile=256, vocabulary=4, best=2).complete(wanted))
    start = Letters(4).encode("a")
    law = {}
    for path in itertools.chain.from_iterable(itertools.product(range(1, 4), repeat=n) for n in range(4)):
        with torch.no_grad():
            rows = torch.softmax(model(torch.tensor([[*start, *path]])).logits[0].double(), -1)[len(start) - 1 :]
        reach = float(np.prod([float(row[t]) for row, t in zip(rows, path, strict=False)]))
        law[path] = reach * (float(rows[-1][0]) if len(path) < 3 else 1.0)
    assert sum(law.values()) == pytest.approx(1.0)
    pairs = [(found.get(path, 0), p * 3_000) for path, p in law.items() if p * 3_000 >= 5]
    spare = (3_000 - sum(n for n, _ in pairs), 3_000 - sum(e for _, e in pairs))
    counts, expected = zip(*([*pairs, spare] if spare[1] > 1 else pairs), strict=True)
    scale = sum(counts) / sum(expected)
    assert stats.chisquare(counts, [e * scale for e in expected]).pvalue > 1e-3


def test_equal_arms_are_coupled_and_a_salt_uncouples_them():
    wanted = requests(4, 8)
    first = by_key(list(backend(gpt2()).complete(wanted)))
    again = by_key(list(backend(gpt2()).complete(wanted)))
    assert first == again
    salted = list(backend(gpt2(), salt="other").complete(wanted))
    same = [c.token_ids == first[(*c.key[:4], "", c.index)].token_ids for c in salted]
    assert sum(same) < len(same) / 2


def test_an_end_of_text_token_ends_the_completion_and_is_not_in_it():
    found = list(backend(gpt2(vocabulary=4), vocabulary=4).complete(requests(2, 20, Decoding(max_new_tokens=50))))
    ended = [c for c in found if c.finish_reason == "eos"]
    assert ended
    assert all(0 not in c.token_ids and len(c.logprobs) == len(c.token_ids) for c in found)
    assert all(len(c.token_ids) == 50 for c in found if c.finish_reason == "length")


def test_a_stop_string_cuts_the_text_and_keeps_the_tokens_up_to_it():
    plain = {(c.prompt_id, c.index): c for c in backend(gpt2()).complete(requests(3, 10))}
    stopping = Decoding(max_new_tokens=20, stop=("[", "z"))
    found = list(backend(gpt2()).complete(requests(3, 10, stopping)))
    assert {c.finish_reason for c in found} >= {"stop"}
    for completion in found:
        whole = plain[(completion.prompt_id, completion.index)]
        assert completion.token_ids == whole.token_ids[: len(completion.token_ids)]
        if completion.finish_reason == "stop":
            assert "[" not in completion.text
            assert "z" not in completion.text
            assert Letters().decode(completion.token_ids).startswith(completion.text)


def test_overflow_of_the_context_finishes_with_length():
    found = list(backend(gpt2(context=32)).complete([ask("a" * 20, Decoding(max_new_tokens=50), i) for i in range(4)]))
    assert all(c.finish_reason in ("length", "eos") for c in found)
    assert max(len(c.token_ids) for c in found) == 12


def test_a_prompt_longer_than_the_context_is_named():
    with pytest.raises(InputError, match=r"Prompt aaaaa \('a+…'\) has 200 tokens, and the model's context is 160"):
        list(backend(gpt2()).complete([ask("a" * 200, Decoding())]))


def test_an_empty_prompt_starts_from_the_end_of_text_token():
    (completion,) = backend(gpt2()).complete([ask("", Decoding(temperature=0.0, max_new_tokens=4))])
    want = gpt2().generate(
        torch.tensor([[0]]), attention_mask=torch.ones(1, 1), max_new_tokens=4, do_sample=False, pad_token_id=0
    )
    assert list(completion.token_ids) == [t for t in want[0, 1:].tolist() if t]


def test_no_new_tokens_give_an_empty_completion():
    (completion,) = backend(gpt2()).complete([ask("ab", Decoding(max_new_tokens=0))])
    assert (completion.text, completion.token_ids, completion.finish_reason) == ("", (), "length")


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"temperature": 1e-40}, {"top_p": 0.0}, {"min_p": 2.0}, {"stop": ("",)}, {"top_k": -1}],
)
def test_a_decoding_that_cannot_work_is_refused(wrong):
    with pytest.raises(UsageError, match="expected temperature"):
        list(backend(gpt2()).complete([ask("ab", Decoding(**wrong))]))


def test_a_tokenizer_larger_than_the_model_is_refused():
    with pytest.raises(ModelError, match="its tokenizer has 400 tokens, its model only 300"):
        backend(gpt2(), vocabulary=400)


def test_padded_vocabularies_are_never_chosen():
    model = gpt2(vocabulary=VOCABULARY)
    found = list(backend(model, vocabulary=100).complete(requests(2, 20)))
    assert max(max(c.token_ids, default=0) for c in found) < 100


class Scarce:
    """An allocator that refuses large tensors, or every tensor from the nth call on."""

    def __init__(self, rows: int) -> None:
        self.rows, self.refused = rows, 0

    def __call__(self, shape, dtype, device):
        if max(shape[:1] if len(shape) == 2 else shape[2:3], default=0) > self.rows:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory, says the test")
        return torch.zeros(tuple(shape), dtype=dtype, device=device)


def test_out_of_memory_halves_the_tile_and_loses_nothing():
    scarce = Scarce(4)
    ours = backend(gpt2(), tile=16, allocate=scarce)
    wanted = requests(5, 6)
    found = list(ours.complete(wanted))
    assert scarce.refused == 2 * Backoff.PATIENCE
    assert ours.numerics["tile"] == 4
    assert {c.numerics for c in found} == {ours.numerics_id} == set(ours.numerics_seen)
    assert by_key(found) == by_key(list(backend(gpt2(), tile=4).complete(wanted)))


def test_memory_that_runs_out_later_restarts_only_what_is_in_flight():
    class Later(Scarce):
        def __call__(self, shape, dtype, device):
            if len(shape) != 6 or shape[1] < 2:
                return torch.zeros(tuple(shape), dtype=dtype, device=device)
            return super().__call__(shape, dtype, device)

    ours = backend(gpt2(), tile=8, allocate=Later(4))
    wanted = [ask("ab", Decoding(max_new_tokens=9), i) for i in range(20)]
    wanted += [ask("c" * 90, Decoding(max_new_tokens=9), i) for i in range(5)]
    found = list(ours.complete(wanted))
    assert len(by_key(found)) == 25
    assert len(ours.numerics_seen) == 2


def test_no_memory_at_all_is_said_in_words():
    ours = backend(gpt2(), tile=2)
    ours._decoder._allocate = Scarce(0)
    with pytest.raises(ResourceError, match="not enough memory to run even one"):
        list(ours.complete(requests(1, 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_equal_a_plain_forward(family):
    model = FAMILIES[family]()
    ours = backend(model)
    texts = [" não é", " x", "", " a longer continuation of it, beyond the bucket"]
    for prompt in ("A verdade", "", "b" * 40):
        start = Letters().encode(prompt) or [0]
        for text, found in zip(texts, ours.continuations(prompt, texts), strict=True):
            ids = Letters().encode(text)
            with torch.no_grad():
                rows = torch.log_softmax(model(torch.tensor([[*start, *ids]])).logits[0].float(), -1)[len(start) - 1 :]
            want = sum(float(rows[i, token]) for i, token in enumerate(ids))
            assert found.total == pytest.approx(want, abs=1e-5 * max(1, len(ids)))
            assert (found.tokens, found.bytes) == (len(ids), len(text.encode()))


def test_a_continuation_beyond_the_context_is_refused():
    with pytest.raises(InputError, match="the model's context is 160"):
        backend(gpt2()).continuations("a" * 150, ["b" * 20])


def test_requests_are_read_only_as_they_are_needed():
    read = []

    def endless():
        for index in itertools.count():
            read.append(index)
            yield ask("ab", Decoding(max_new_tokens=3), index)

    stream = backend(gpt2(), tile=4).complete(endless())
    for _ in range(30):
        next(stream)
    stream.close()
    assert len(read) < 80


def test_backends_are_listed_without_importing_and_built_by_name():
    assert "torch" in backends.names()
    arm = Arm(name="a", spec="a", role="base", fingerprint="w", tokenizer_fingerprint="letters")
    built = backends.build("torch", model=gpt2(), tokenizer=Letters(), arm=arm, seed=1)
    assert isinstance(built, TorchBackend)
    with pytest.raises(UnknownNameError, match="Did you mean 'torch'"):
        backends.build("torhc")
