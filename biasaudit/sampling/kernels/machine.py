"""Which processor this is, as far as the libraries' rounding goes."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
"""Lines of Linux's cpuinfo by which MKL and oneDNN (x86) or ARM's libraries choose their code."""


@functools.cache
def model() -> str:
    """Vendor, family and model in one word without blanks, and the size of a core's cache.

    MKL and oneDNN choose code, and the blocks that sums are cut into, by these and not by instruction sets alone.
    """
    known = dict.fromkeys(_KEYS, "")
    for line in _lines(Path("/proc/cpuinfo")):
        name, _, value = (part.strip() for part in line.partition(":"))
        if name in known and not known[name]:
            known[name] = value
    found = [value for value in known.values() if value] or [platform.processor() or platform.machine()]
    caches = _lines(Path("/sys/devices/system/cpu/cpu0/cache/index2/size"))[:1]
    return "-".join("_".join(word.split()) for word in (*found, *caches))


def _lines(path: Path) -> list[str]:
    """Of a file of the system; none where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def on_gpu(index: int) -> tuple[str, ...]:
    """What decides how a GPU rounds: its name and kind, and settings of products as they are now."""
    import torch

    major, minor = torch.cuda.get_device_capability(index)
    products = torch.backends.cuda.matmul
    settings = {
        "tf32": products.allow_tf32,
        "bf16-reduced": products.allow_bf16_reduced_precision_reduction,
        "fp16-reduced": products.allow_fp16_reduced_precision_reduction,
    }
    said = [f"{name}={int(bool(value))}" for name, value in settings.items()]
    names = ("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG")
    said += [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    return (torch.cuda.get_device_name(index), f"sm_{major}{minor}", *said)
