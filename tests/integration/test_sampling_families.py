"""Every family, on the path that runs it: what transformers computes, the same in any queue, honest at its limits."""

from __future__ import annotations

import random

import pytest
import torch
from sampling_families import CONTEXT, FAMILIES, FAST, GENERAL, longrope, make, neo
from sampling_support import VOCABULARY, Letters, backend, by_key, requests
from torch.nn.utils import parametrize

from biasaudit.errors import InputError
from biasaudit.records import Completion, Decoding, SampleRequest
from biasaudit.sampling.decoders import select

NEW = 36
HALF = ("gpt2", "gpt-neo", "gpt-j", "gpt-neox", "llama-yarn", "mistral-window", "falcon", "gemma2-window")
GREEDY = Decoding(temperature=0.0, max_new_tokens=NEW)


def prompts(*lengths: int) -> list[str]:
    draw = random.Random(9)
    return ["".join(draw.choices("abcdefgh", k=length)) for length in lengths]


def ask(texts: list[str], decoding: Decoding, completions: int = 1) -> list[SampleRequest]:
    return [
        SampleRequest(prompt_id=f"p{len(text)}", prompt=text, decoding=decoding, index=index)
        for text in texts
        for index in range(completions)
    ]


def often(name: str) -> list[pytest.MarkDecorator]:
    """In bf16, one family of each path runs every time; the others, which share its code, with -m slow."""
    return [] if name in HALF else [pytest.mark.slow]


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request):
    path, build = FAMILIES[request.param]
    return path, build()


def emitted(completion: Completion) -> list[int]:
    return list(completion.token_ids) + ([0] if completion.finish_reason == "eos" else [])


def test_greedy_decoding_equals_generate_and_its_logprobs_a_plain_forward(family):
    path, model = family
    texts = prompts(1, 15, 40, CONTEXT - NEW)
    ours = backend(model, tile=len(texts))
    assert ours.numerics["path"].split("+")[0] == path
    found = {c.prompt_id: c for c in ours.complete(ask(texts, GREEDY))}
    for text in texts:
        completion, start = found[f"p{len(text)}"], Letters().encode(text)
        ids = torch.tensor([start])
        options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": NEW, "pad_token_id": 0}
        want = model.generate(ids, do_sample=False, **options)[0, len(start) :].tolist()
        assert emitted(completion) == want
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *completion.token_ids]])).logits[0].float()
        rows = torch.log_softmax(logits, -1)[len(start) - 1 : -1]
        plain = [float(row[token]) for row, token in zip(rows, completion.token_ids, strict=True)]
        assert completion.logprobs == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float32) for name in FAMILIES),
        *(pytest.param(name, torch.bfloat16, marks=often(name)) for name in {**FAST, **GENERAL}),
    ],
)
def test_queue_order_and_company_change_no_bit(name, dtype):
    path, build = FAMILIES[name]
    ours = backend(build().to(dtype), tile=8)
    assert ours.numerics["path"].split("+")[0] == path
    wanted = requests(6, 2, Decoding(max_new_tokens=8))
    whole = by_key(list(ours.complete(wanted)))
    assert by_key(list(ours.complete(random.Random(3).sample(wanted, len(wanted))))) == whole
    for request in random.Random(6).sample(wanted, 3):
        (alone,) = ours.complete([request])
        assert alone == whole[alone.key]


def test_sampled_logprobs_are_those_of_a_plain_forward_over_the_tokenizers_tokens(family):
    _, model = family
    small = VOCABULARY - 40
    wanted = ask(prompts(3, 50), Decoding(max_new_tokens=10, temperature=1.5), 2)
    texts = {r.prompt_id: r.prompt for r in wanted}
    for completion in backend(model, vocabulary=small, tile=4).complete(wanted):
        start = Letters(small).encode(texts[completion.prompt_id])
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *completion.token_ids]])).logits[0, :, :small].float()
        rows = torch.log_softmax(logits, -1)[len(start) - 1 : -1]
        plain = [float(row[token]) for row, token in zip(rows, completion.token_ids, strict=True)]
        assert max(completion.token_ids, default=0) < small
        assert completion.logprobs == pytest.approx(plain, abs=1e-4)


def test_likelihoods_equal_a_plain_forward(family):
    _, model = family
    ours = backend(model, tile=1)
    for prompt in prompts(2, 37):
        start = Letters().encode(prompt)
        for text, found in zip(["ab", "a longer one"], ours.continuations(prompt, ["ab", "a longer one"]), strict=True):
            ids = Letters().encode(text)
            with torch.no_grad():
                logits = model(torch.tensor([[*start, *ids]])).logits[0].double()
            rows = torch.log_softmax(logits, -1)[len(start) - 1 :]
            want = sum(float(rows[i, token]) for i, token in enumerate(ids))
            assert found.total == pytest.approx(want, abs=1e-4 * len(ids))


@pytest.mark.parametrize("name", ["gpt-neo", "gpt-j", "qwen3", "opt", "gemma2-window"])
def test_a_full_context_ends_a_completion_and_refuses_a_prompt(name):
    ours = backend(FAMILIES[name][1](), tile=4)
    found = list(ours.complete(ask(prompts(CONTEXT - 5), Decoding(max_new_tokens=50, top_k=5), 4)))
    assert {c.finish_reason for c in found} == {"length"}
    assert {len(c.token_ids) for c in found} == {5}
    with pytest.raises(
        InputError, match=rf"Prompt p170 \('[a-h]+…'\) has 170 tokens, and the model's context is {CONTEXT}"
    ):
        list(ours.complete(ask(prompts(170), GREEDY)))


def test_prompts_beyond_one_prefill_batch_and_windows_beyond_a_block_equal_generate():
    long = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "window_size": 100, "max_position_embeddings": 700}
    model = make("GPTNeo", vocab_size=VOCABULARY, attention_types=[[["local", "global"], 1]], **long)
    (text,) = prompts(600)
    (completion,) = backend(model, tile=2).complete(ask([text], GREEDY))
    ids = torch.tensor([Letters().encode(text)])
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": NEW, "pad_token_id": 0, "eos_token_id": 0}
    assert emitted(completion) == model.generate(ids, do_sample=False, **options)[0, 600:].tolist()


SLOW_HALF = ["gpt-j", "gpt-neox", "mistral-window", "qwen3"]


@pytest.mark.parametrize(
    "name", ["gpt2", "gpt-neo", "llama-yarn", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_HALF)]
)
def test_bf16_logprobs_stay_near_those_of_transformers_in_bf16(name):
    build = FAST[name][1]
    exact = build()
    model = build().to(torch.bfloat16)
    ours, theirs = [], []
    for completion in backend(model, tile=4).complete(ask(prompts(20), Decoding(max_new_tokens=30), 4)):
        ids = [*Letters().encode(prompts(20)[0]), *completion.token_ids]
        with torch.no_grad():
            want, half = (torch.log_softmax(m(torch.tensor([ids])).logits[0].float(), -1) for m in (exact, model))
        at = torch.arange(19, len(ids) - 1), torch.tensor(completion.token_ids)
        ours += (torch.tensor(completion.logprobs) - want[at]).abs().tolist()
        theirs += (half[at] - want[at]).abs().tolist()
    assert sum(ours) < 1.5 * sum(theirs) + 0.01 * len(ours)


def test_angles_that_change_with_the_length_of_the_text_change_where_transformers_changes_them():
    model = longrope(40)
    (text,) = prompts(20)
    ours = backend(model, tile=2)
    assert ours.numerics["path"].split("+")[0] == "recompute"
    start = Letters().encode(text)
    found = {c.prompt_id: c for c in ours.complete(ask([text], GREEDY))}
    tokens = list(found["p20"].token_ids)
    assert len(tokens) == NEW
    with torch.no_grad():
        rows = [model(torch.tensor([[*start, *tokens[:n]]])).logits[0, -1] for n in range(NEW)]
    assert tokens == [int(row.argmax()) for row in rows]
    (value,) = ours.continuations("b" * 30, ["c" * 9])
    ids = torch.tensor([Letters().encode("b" * 30 + "c" * 9)])
    with torch.no_grad():
        law = torch.log_softmax(model(ids[:, :-1]).logits[0].double(), -1)
    assert value.total == pytest.approx(float(law[29:].gather(1, ids[0, 30:, None]).sum()), abs=1e-4)


class Doubled(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


@pytest.mark.parametrize("name", ["gpt2", "gpt-neo", "llama"])
def test_a_patched_model_is_not_run_by_the_fast_path(name):
    hooked = FAST[name][1]()
    next(
        m for m in hooked.modules() if isinstance(m, torch.nn.LayerNorm) or "Norm" in type(m).__name__
    ).register_forward_hook(lambda _m, _i, out: out * 1.5)
    assert select.choose(hooked, vocabulary=VOCABULARY).path in ("general", "recompute")
    changed = FAST[name][1]()
    parametrize.register_parametrization(
        next(m for m in changed.modules() if hasattr(m, "weight") and m.weight.ndim == 2), "weight", Doubled()
    )
    assert select.choose(changed, vocabulary=VOCABULARY).path in ("general", "recompute")


def test_a_fast_path_that_is_wrong_about_a_model_is_not_used(caplog):
    model = neo()
    model.config.window_size = 200
    assert select.choose(model, vocabulary=VOCABULARY).path == "recompute"
    assert "the neo path does not fit this GPTNeoForCausalLM" in caplog.text
