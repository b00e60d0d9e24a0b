"""Which device and precision this machine offers, and how much memory is free on it (CONTRACT §4)."""

from __future__ import annotations

from pathlib import Path

import torch

from biasaudit.errors import ResourceError, UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def pick_device(device: str = "auto") -> torch.device:
    """The device that `device` names; `auto` is the first GPU, or the CPU without one.

    Raises:
        UsageError: a GPU was asked for and there is none, or the name is no device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device '{device}': expected auto, cpu, cuda or cuda:N.") from None
    if found.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{device}': expected auto, cpu, cuda or cuda:N.")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device '{device}': this machine has no usable CUDA GPU. Use cpu or auto.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device '{device}': this machine's GPUs are cuda:0 to cuda:{torch.cuda.device_count() - 1}.")
    return found


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 in hardware (AMX or AVX512-bf16 on a CPU, compute capability 8 on a GPU)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))


def pick_dtype(dtype: str, device: torch.device) -> str:
    """Name of the precision to compute in: `auto` follows the hardware (CONTRACT §4).

    Raises:
        UsageError: `dtype` is no precision that we know.
    """
    name = _SHORT.get(dtype, dtype)
    if name == "auto":
        if has_fast_bf16(device):
            return "bfloat16"
        return "float16" if device.type == "cuda" else "float32"
    if name not in DTYPES:
        raise UsageError(f"dtype '{dtype}': expected auto, {', '.join(DTYPES)} (or fp32, bf16, fp16).")
    return name


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse before allocating what cannot fit.

    Raises:
        ResourceError: `needed` bytes are more than what is free on `device`.
    """
    free = free_bytes(device)
    if free is not None and needed > free:
        raise ResourceError(
            f"{what} needs about {needed / 2**30:.1f} GiB on {device}, and {free / 2**30:.1f} GiB are free. "
            "Use a smaller model, a shorter precision (dtype bfloat16), or a machine with more memory."
        )
