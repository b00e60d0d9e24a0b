"""Precision follows the hardware (CONTRACT §4): bf16 where it is fast, fp16 on older GPUs, fp32 on other CPUs."""

from __future__ import annotations

import pytest
import torch

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
