"""Precision follows the hardware (CONTRACT §4): bf16 where it is fast, fp16 on older GPUs, fp32 on other CPUs."""

from __future__ import annotations

import pytest
import torch

from biasaudit.errors import UsageError
from biasaudit.lm import device as devices

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("abilities", "dtype"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, abilities: dict[str, bool], dtype: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert devices.pick_dtype("auto", CPU) == dtype


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((8, 9), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_a_gpu_computes_in_bf16_from_ampere_on_and_in_fp16_before(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert devices.pick_dtype("auto", GPU) == dtype
    assert devices.pick_dtype("fp32", GPU) == "float32"


def test_free_memory_of_a_cpu_is_what_the_system_says_is_available() -> None:
    free = devices.free_bytes(CPU)
    assert free is None or 2**20 < free < 2**50


def test_a_gpu_that_is_not_there_is_refused_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="GPUs are cuda:0 to cuda:1"):
        devices.pick_device("cuda:2")


@pytest.mark.parametrize("device", ["meta", "mps", "xpu:0"])
def test_a_device_of_another_kind_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        devices.pick_device(device)
