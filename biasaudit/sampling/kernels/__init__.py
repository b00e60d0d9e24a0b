"""The optional compiled kernel: attention, the choice's survey of the logits, and the vocabulary's product, in C++.

Nothing needs it. It is built where `BIASAUDIT_COMPILED=1` asks for it and a C++ compiler is there, kept in the user's
cache folder, and compared with torch's own operators whenever it is loaded. Asking is explicit because the kernel
rounds otherwise than torch does: completions under it have numerics of their own (`mark`).
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from biasaudit.sampling.kernels import machine

_LOG = logging.getLogger(__name__)

SWITCH = "BIASAUDIT_COMPILED"
"""Environment variable: 1 asks for the kernel."""

_SETTINGS = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "OMP_DYNAMIC",
)
"""Environment variables that MKL, oneDNN and OpenMP read once, at their start."""

_SOURCES = tuple(Path(__file__).with_name(name) for name in ("step.cpp", "gpt2.cpp"))
_HEADERS = tuple(Path(__file__).with_name(name) for name in ("lanes.h", "matrix.h"))
_FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
_WIDTHS = (16, 32, 64, 80, 96, 128, 256)
_WHOLE_WIDTHS = (32, 64, 96, 128)
_TILE = 32


_HELD: ContextVar[bool | None] = ContextVar("compiled", default=None)


def asked() -> bool:
    """Whether the kernel is asked for: as `held` says, else by the environment as it is now."""
    known = _HELD.get()
    return os.environ.get(SWITCH, "0") not in ("", "0") if known is None else known


@contextmanager
def held(answer: bool) -> Iterator[None]:
    """While open, whether the kernel is asked for stays `answer`: what began with one arithmetic ends with it."""
    token = _HELD.set(answer)
    try:
        yield
    finally:
        _HELD.reset(token)


def step(device: torch.device) -> Any | None:
    """The kernel's functions (see step.cpp), or None where it is not asked for or cannot be had."""
    if device.type != "cpu" or not asked():
        return None
    return _loaded()


def attention(device: torch.device, dtype: torch.dtype, width: int) -> Any | None:
    """As `step`, where it has attention for heads of `width` in `dtype`."""
    known = width in _WIDTHS and dtype in (torch.bfloat16, torch.float32)
    return step(device) if known else None


def head(device: torch.device, weight: torch.Tensor) -> Any | None:
    """As `step`, where it multiplies `weight` (V, C): bf16, on a processor with a matrix unit for it."""
    return _matrix(device, weight.dtype) if weight.shape[1] % _TILE == 0 else None


def gpt2(device: torch.device, dtype: torch.dtype, width: int, heads: int) -> Any | None:
    """As `step`, where it has the whole step of a GPT-2 of this width and so many heads."""
    return _matrix(device, dtype) if width % _TILE == 0 and width // heads in _WHOLE_WIDTHS else None


def _matrix(device: torch.device, dtype: torch.dtype) -> Any | None:
    """As `step`, for products of bf16 on a processor with a matrix unit."""
    return step(device) if dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported() else None


def mark(device: torch.device) -> str:
    """What the path of the numerics fingerprint ends with: nothing, or the kernel and its build."""
    return "" if step(device) is None else f"+compiled-{_build_key()[:8]}"


@functools.cache
def _build_key() -> str:
    """Hash of everything that the kernel's bits depend on, but for the processor, which numerics name themselves."""
    compiler = os.environ.get("CXX", "c++")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    texts = [path.read_text(encoding="utf-8") for path in (*_SOURCES, *_HEADERS)]
    parts = (*texts, *_FLAGS, version, str(torch.__version__), *processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def processor() -> tuple[str, ...]:
    """What decides how a CPU rounds: instructions torch was told to use, those of matrices in bf16, and its model."""
    names = ("avx512_bf16", "amx_tile")
    found = [name for name in names if getattr(torch.cpu, f"_is_{name}_supported", bool)()]
    return (torch.backends.cpu.get_cpu_capability(), *found, machine.model())


def settings() -> tuple[str, ...]:
    """What else decides how a CPU rounds, as NAME=value: of the variables in `_SETTINGS` those that are set.

    With MKL_CBWR=COMPATIBLE or ONEDNN_MAX_CPU_ISA=AVX2 one product has other bits, on the same processor.
    """
    return tuple(f"{name}={os.environ[name]}" for name in _SETTINGS if os.environ.get(name))


@functools.cache
def _loaded() -> Any | None:
    """Build or find the library, load it, and compare it with torch."""
    try:
        _load(_cache() / f"step-{_build_key()[:32]}.so")
        kernel = torch.ops.biasaudit_step
        with torch.inference_mode():
            wrong = _differences(kernel)
    except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
        _LOG.warning("The compiled kernel cannot be had, so torch's own operators run: %s", str(error).split("\n")[0])
        return None
    if wrong:
        _LOG.warning("The compiled kernel computes %s wrongly here, so torch's own operators run.", wrong)
        return None
    return kernel


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "biasaudit" / "kernels"


def _load(library: Path) -> None:
    """Load `library`, built first where it is missing; whole or not there, whoever builds beside us."""
    if library.exists():
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
        return
    from torch.utils.cpp_extension import load

    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        _LOG.info("building the compiled kernel, once")
        load(
            name="biasaudit_step",
            sources=[str(path) for path in _SOURCES],
            extra_cflags=list(_FLAGS),
            build_directory=folder,
            is_python_module=False,
        )
        (Path(folder) / "biasaudit_step.so").replace(library)


def _differences(kernel: Any) -> str:
    """The first function whose answer is not torch's; empty when all agree."""
    make = torch.Generator().manual_seed(7)
    logits = (torch.randn(3, 1100, generator=make) * 3).bfloat16().float()
    values, ids, top, total, rest = kernel.survey(logits, 100)
    order = torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :100].sort(1).values
    weights = (logits - logits.amax(1, keepdim=True)).double().exp()
    if not (
        torch.equal(ids, order)
        and torch.equal(values, logits.gather(1, order))
        and torch.equal(top, logits.amax(1, keepdim=True))
        and torch.allclose(total.double(), weights.sum(1, keepdim=True), rtol=1e-5)
        and torch.allclose(rest.sum(1), weights.scatter(1, order, 0.0).sum(1), rtol=1e-5)
    ):
        return "the survey of logits"
    keys, memory = (torch.randn(2, 3, 2, 32, 64, generator=make) for _ in range(2))
    asked, key, value = (torch.randn(3, heads, 64, generator=make) for heads in (4, 2, 2))
    positions = torch.tensor([0, 33, 63])
    got = kernel.attend(keys, memory, positions, asked, key, value, 0.125, 0)
    keys, memory = (x.permute(1, 2, 0, 3, 4).flatten(2, 3).repeat_interleave(2, 1) for x in (keys, memory))
    seen = (torch.arange(64) <= positions[:, None])[:, None, None]
    wanted = torch.nn.functional.scaled_dot_product_attention(asked[:, :, None], keys, memory, attn_mask=seen)
    if not torch.allclose(got, wanted.flatten(1), atol=1e-4):
        return "attention"
    weight, states = torch.randn(70, 64, generator=make).bfloat16(), torch.randn(5, 64, generator=make).bfloat16()
    if torch.cpu._is_amx_tile_supported():
        out = torch.empty(5, 70)
        kernel.head(states, kernel.pack(weight), out)
        if not torch.allclose(out, states.float() @ weight.float().t(), atol=1e-3):
            return "the vocabulary's product"
    return ""
