"""What the numerics name, what is read once, and that the host asks a GPU for nothing but the tokens."""

from __future__ import annotations

import threading

import pytest
import torch
from sampling_support import backend, gpt2, requests

from biasaudit.errors import BiasAuditError
from biasaudit.records import Decoding
from biasaudit.sampling import kernels, noise
from biasaudit.sampling.choose import Chooser
from biasaudit.sampling.decoders.base import allocate_zeros
from biasaudit.sampling.decoders.linear import Head, packs
from biasaudit.sampling.engine import fetched, sent
from biasaudit.sampling.kernels import machine

DECODINGS = (
    Decoding(),
    Decoding(temperature=0.7),
    Decoding(top_k=5),
    Decoding(top_p=0.9),
    Decoding(min_p=0.05),
    Decoding(temperature=0.0),
    Decoding(repetition_penalty=1.3),
)


def test_the_model_of_the_processor_is_part_of_the_numerics() -> None:
    assert machine.model()
    assert " " not in machine.model()
    assert machine.model() in backend(gpt2(), threads=1).numerics["processor"].split()


def test_whether_the_kernel_runs_is_asked_once_for_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def allocate(*given: object) -> torch.Tensor:
        seen.append(kernels.asked())
        return allocate_zeros(*given)  # type: ignore[arg-type]

    monkeypatch.setenv(kernels.SWITCH, "0")
    ours = backend(gpt2(), threads=1, allocate=allocate)
    before, _ = ours.numerics, seen.clear()
    monkeypatch.setenv(kernels.SWITCH, "1")
    assert list(ours.complete(requests(2, 2)))
    assert seen
    assert not any(seen)
    assert ours.numerics == before
    assert kernels.asked(), "outside, the environment is what it is"


def test_products_of_two_threads_leave_the_setting_of_the_process_as_it_was() -> None:
    if not packs():
        pytest.skip("this processor does not multiply bf16")
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    head, states = Head(torch.randn(500, 64).bfloat16()), torch.randn(8, 64).bfloat16()
    want = head(states, head.room(8, allocate_zeros)).clone()
    wrong: list[int] = []

    def work() -> None:
        out = head.room(8, allocate_zeros)
        wrong.extend(number for number in range(200) if not torch.equal(head(states, out), want))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert setting.fp32_precision == before


def choosers(vocabulary: int, best: int) -> list[Chooser]:
    found = [Chooser(56, vocabulary, best=best, asking=asking) for asking in (True, False)]
    for chooser in found:
        for row in range(55):
            chooser.admit(row, DECODINGS[row % len(DECODINGS)], [row])
    return found


@pytest.mark.parametrize(("vocabulary", "best"), [(2000, 16), (2000, 1024), (300, 1024)])
def test_a_choice_that_asks_the_host_for_nothing_is_the_same_choice(vocabulary: int, best: int) -> None:
    logits = torch.randn(56, vocabulary, generator=torch.Generator().manual_seed(8))
    asking, silent = choosers(vocabulary, best)
    for turn in range(20):
        keys = noise.position_keys(torch.arange(56) * 7919, torch.full((56,), turn))
        for one, other in zip(asking.choose(logits, keys), silent.choose(logits, keys), strict=True):
            assert torch.equal(one[:55], other[:55])


def test_a_step_on_a_gpu_waits_for_nothing_inside_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(56, 2000, generator=torch.Generator().manual_seed(8))
    silent = Chooser(56, 2000, best=16, asking=False)
    for row in range(56):
        silent.admit(row, [Decoding(), Decoding(top_k=5), Decoding(temperature=0.0)][row % 3], [])

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the host asked for a value")

    for name in ("__bool__", "item", "tolist", "nonzero", "cpu", "__int__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, refused)
    tokens, _ = silent.choose(logits, noise.position_keys(torch.arange(56), torch.full((56,), 3)))
    monkeypatch.undo()
    assert tokens.shape == (56,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_numbers_are_refused_whoever_looks(bad: float) -> None:
    logits = torch.randn(56, 2000)
    logits[3, 77] = bad
    asking, silent = choosers(2000, 16)
    keys = noise.position_keys(torch.arange(56), torch.full((56,), 3))
    with pytest.raises(BiasAuditError, match="logits are not numbers"):
        asking.choose(logits, keys)
    _, logprobs = silent.choose(logits, keys)
    assert (~torch.isfinite(logprobs)).nonzero().flatten().tolist() == [3]


def test_numbers_come_back_from_a_device_as_they_were() -> None:
    tokens, logprobs = torch.tensor([0, 50256, 2**31]), torch.tensor([-0.1, -1e-7, float("nan")])
    ids, values = fetched(tokens, logprobs)
    stacked = torch.stack((tokens.double(), logprobs.double()))
    assert ids == tokens.tolist() == stacked[0].long().tolist()
    assert values[:2] == logprobs.tolist()[:2] == stacked[1].tolist()[:2]
    assert sent(tokens, torch.device("cpu")) is tokens
