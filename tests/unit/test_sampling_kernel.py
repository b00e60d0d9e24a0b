"""The compiled kernel, where it can be built: the same best tokens as torch, and the same choice given the same logits."""

from __future__ import annotations

import shutil

import pytest
import torch

from biasaudit.records import Decoding
from biasaudit.sampling import kernels, noise, truncate
from biasaudit.sampling.choose import Chooser
from biasaudit.sampling.decoders.base import allocate_zeros
from biasaudit.sampling.decoders.blocks import BLOCK, BlockCache

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
