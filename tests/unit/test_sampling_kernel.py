"""The compiled kernel, where it can be built: the same best tokens as torch, and the same choice given the same logits."""

from __future__ import annotations

import shutil

import pytest
import torch
import transformers

from biasaudit.records import Decoding
from biasaudit.sampling import kernels, noise, truncate
from biasaudit.sampling.choose import Chooser
from biasaudit.sampling.decoders.base import PromptState, allocate_zeros
from biasaudit.sampling.decoders.blocks import BLOCK, BlockCache
from biasaudit.sampling.decoders.gpt2 import Gpt2Decoder

CPU = torch.device("cpu")
DECODINGS = (
    Decoding(),
    Decoding(temperature=0.7),
    Decoding(top_k=20),
    Decoding(top_p=0.9),
    Decoding(min_p=0.05, temperature=1.4),
    Decoding(temperature=0.0),
    Decoding(repetition_penalty=1.3),
)


@pytest.fixture(scope="module")
def kernel():
    if shutil.which("c++") is None or shutil.which("ninja") is None:
        pytest.skip("no C++ compiler here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(kernels.SWITCH, "1")
        found = kernels.step(CPU)
    assert found is not None
    return found


def some_logits(rows: int = 32, vocabulary: int = 2000, spread: float = 2.0) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(8)) * spread


@pytest.mark.parametrize("vocabulary", [65, 1000, 2048])
@pytest.mark.parametrize("k", [1, 7, 64])
def test_the_kernel_finds_the_same_best_tokens_ties_included(kernel, vocabulary, k):
    fine = some_logits(vocabulary=vocabulary)
    for logits in (fine, fine.bfloat16().float(), fine.round(), fine * 0, fine * 1e-30):
        values, ids, top, _, _ = kernel.survey(logits, k)
        want_values, want_ids = truncate.best(logits, k)
        assert torch.equal(ids, want_ids)
        assert torch.equal(values, want_values)
        assert torch.equal(top, logits.amax(1, keepdim=True))


def test_the_kernel_sums_what_is_not_among_the_best(kernel):
    for logits in (some_logits(), some_logits().round(), some_logits(spread=30.0)):
        _, ids, top, total, rest = kernel.survey(logits, 100)
        weights = (logits - top).double().exp()
        assert torch.allclose(total.double(), weights.sum(1, keepdim=True), rtol=1e-6)
        left = torch.nn.functional.pad(weights.scatter(1, ids, 0.0), (0, -logits.shape[1] % 64))
        assert torch.allclose(rest, left.unflatten(1, (-1, 64)).sum(2), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_kernel_reports_logits_that_are_not_numbers(kernel, bad):
    logits = some_logits(3)
    logits[1, 77] = bad
    total = kernel.survey(logits, 10)[3]
    assert torch.isfinite(total).flatten().tolist() == [True, False, True]


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
def test_the_same_logits_give_the_same_tokens_with_and_without_the_kernel(monkeypatch, spread):
    logits = some_logits(64, 3000, spread)
    chosen = {}
    for switch in ("0", "1"):
        monkeypatch.setenv(kernels.SWITCH, switch)
        chooser = Chooser(64, 3000, best=128)
        for row in range(64):
            chooser.admit(row, DECODINGS[row % len(DECODINGS)], [row])
        answers = []
        for turn in range(10):
            keys = noise.position_keys(torch.arange(64) * 7919, torch.full((64,), turn))
            answers.append(chooser.choose(logits, keys))
        chosen[switch] = answers
    for (tokens, logprobs), (want_tokens, want_logprobs) in zip(chosen["1"], chosen["0"], strict=True):
        assert torch.equal(tokens, want_tokens)
        assert torch.allclose(logprobs, want_logprobs, atol=1e-5)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("width", "shared", "window"), [(64, 1, None), (16, 4, None), (32, 2, 20), (80, 1, None)])
def test_the_kernel_attends_as_torch_does(monkeypatch, dtype, width, shared, window):
    caches = []
    for switch in ("0", "1"):
        monkeypatch.setenv(kernels.SWITCH, switch)
        caches.append(
            BlockCache(layers=1, rows=5, heads=3, width=width, dtype=dtype, device=CPU, allocate=allocate_zeros)
        )
        caches[-1].reserve(3 * BLOCK)
    make = torch.Generator().manual_seed(1)
    for turn in range(2 * BLOCK + 3):
        positions = torch.tensor([turn, turn // 2, 0, max(0, turn - 3), turn])
        query = torch.randn(5, 3 * shared, width, generator=make).to(dtype)
        key, value = (torch.randn(5, 3, width, generator=make).to(dtype) for _ in range(2))
        out = []
        for cache in caches:
            cache.aim(positions, turn)
            out.append(cache.attend(0, query, key, value, width**-0.5, window))
        assert torch.allclose(out[0].float(), out[1].float(), atol=1e-4 if dtype == torch.float32 else 0.05)


def test_without_being_asked_for_the_kernel_stays_out(monkeypatch):
    monkeypatch.delenv(kernels.SWITCH, raising=False)
    assert kernels.step(CPU) is None
    assert kernels.mark(CPU) == ""


def small_gpt2(width: int = 64, heads: int = 2) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(n_layer=3, n_embd=width, n_head=heads, vocab_size=515, n_positions=128)
    torch.manual_seed(4)
    model = transformers.GPT2LMHeadModel(config).to(torch.bfloat16).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.15 + parameter.data
    return model


def logits_of(decoder: Gpt2Decoder, texts: list[list[int]], steps: int = 20) -> torch.Tensor:
    """Logits after texts whose last tokens are fed one by one, all rows sharing the prompts that they can."""
    states: dict[tuple[int, ...], PromptState] = {}
    decoder.open(len(texts), decoder.context)
    for row, text in enumerate(texts):
        start = tuple(text[:-steps])
        if start not in states:
            states[start] = decoder.prefill([start])[0]
        decoder.admit(row, states[start], len(text))
    for turn in range(-steps, 0):
        positions = torch.tensor([len(text) + turn for text in texts])
        decoder.step(torch.tensor([text[turn] for text in texts]), positions, int(positions.max()))
    return decoder.logits().clone()


def whole_decoder(monkeypatch, model) -> Gpt2Decoder:
    if not torch.cpu._is_amx_tile_supported():
        pytest.skip("no matrix unit here")
    monkeypatch.setenv(kernels.SWITCH, "1")
    decoder = Gpt2Decoder(model, vocabulary=515, allocate=allocate_zeros)
    assert decoder._whole is not None
    return decoder


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("width", "heads"), [(64, 2), (128, 2), (192, 2), (256, 2)])
def test_the_whole_step_computes_what_the_model_does(monkeypatch, width, heads):
    model = small_gpt2(width, heads)
    texts = torch.randint(0, 515, (3, 60), generator=torch.Generator().manual_seed(3)).tolist()
    texts[1] = texts[1][:21]
    texts[2][:40] = texts[0][:40]
    with torch.inference_mode():
        got = logits_of(whole_decoder(monkeypatch, model), texts)
        exact = model.float()
        for found, text in zip(got, texts, strict=True):
            want = exact(input_ids=torch.tensor([text])).logits[0, -1]
            assert (found - want).abs().max() < 0.03 * want.abs().max()


@pytest.mark.usefixtures("kernel")
def test_a_row_of_the_whole_step_depends_on_nothing_but_itself(monkeypatch):
    decoder = whole_decoder(monkeypatch, small_gpt2())
    texts = torch.randint(0, 515, (9, 70), generator=torch.Generator().manual_seed(3)).tolist()
    mine = texts[0][:53]
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode():
            wanted = logits_of(decoder, [mine])[0]
            for rows, place, used in ((2, 1, 1), (33, 32, 2), (40, 17, 3), (64, 5, 1)):
                company = [texts[1 + row % 8][: 21 + 6 * (row % 8)] for row in range(rows)]
                company[place] = mine
                company[place - 1] = mine[:33] + texts[3][:20]  # shares the prompt
                torch.set_num_threads(used)
                assert torch.equal(logits_of(decoder, company)[place], wanted)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("kernel")
def test_idle_rows_of_the_whole_step_do_no_harm(monkeypatch):
    decoder = whole_decoder(monkeypatch, small_gpt2())
    text = torch.randint(0, 515, (40,), generator=torch.Generator().manual_seed(3)).tolist()
    with torch.inference_mode():
        wanted = logits_of(decoder, [text])[0]
        decoder.open(3, decoder.context)
        state = decoder.prefill([text[:20]])[0]
        for row in (0, 1):
            decoder.admit(row, state, 40)
        for place in range(20, 40):
            tokens = torch.tensor([text[place], 0, 0])
            decoder.step(tokens, torch.tensor([place, 0, 0]), place)  # rows 1 and 2 are idle, 1 with a prompt
        assert torch.equal(decoder.logits()[0], wanted)


@pytest.mark.usefixtures("kernel")
def test_the_race_in_the_kernel_is_that_of_torch(kernel):
    table = noise.token_table(3000)
    keys = noise.position_keys(torch.arange(64), torch.arange(64))
    values, ids, top, _, _ = kernel.survey(some_logits(64, 3000), 77)
    winner, score = kernel.race(values, ids, top, keys, table)
    want, place = ((values - top).double() + noise.gumbel(keys[:, None], table[ids])).max(1, keepdim=True)
    assert torch.equal(winner, ids.gather(1, place))
    assert torch.allclose(score, want, rtol=1e-12)


def test_logits_whose_rows_lie_apart_are_the_same(kernel):
    if not torch.cpu._is_amx_tile_supported():
        pytest.skip("no matrix unit here")
    states, weight = some_logits(40, 96).bfloat16(), some_logits(515, 96).bfloat16()
    packed = kernel.pack(weight)
    close, apart = torch.empty(40, 515), torch.zeros(40, 528)[:, :515]
    kernel.head(states, packed, close)
    kernel.head(states, packed, apart)
    assert torch.equal(close, apart)
    assert torch.allclose(close, states.float() @ weight.float().t(), rtol=1e-4, atol=1e-3)
    for one, other in zip(kernel.survey(close, 50), kernel.survey(apart, 50), strict=True):
        assert torch.equal(one, other)
