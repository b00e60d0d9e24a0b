"""`biasaudit doctor`: what this machine can do, and what is missing for what."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biasaudit import __version__
from biasaudit.pipeline.outcome import Outcome

CORE = (
    "torch",
    "transformers",
    "tokenizers",
    "tiktoken",
    "pandas",
    "pyarrow",
    "scipy",
    "jinja2",
    "vl-convert-python",
    "accelerate",
)
EXTRAS = {
    "score": ("lingua", "language identification, vader"),
    "learn": ("sklearn", "learn"),
    "hub": ("datasets", "hf:NAME corpora"),
    "fast": ("gigatoken", "ingest --fast-tokenizer"),
    "search": ("pydivsufsort", "corpus find --nearest, copied spans"),
    "lora": ("peft", "LoRA fine-tuning"),
    "stats": ("statsmodels", "statistical oracles"),
    "api": ("httpx2", "openai: arms"),
    "vllm": ("vllm", "vllm: arms"),
}


def examine(arms: Sequence[str] = ()) -> Outcome:
    """Look at versions, precision, memory, disk, extras and offline tokenizers; say what each lack means.

    Args:
        arms: `NAME=MODEL` words to look at too; nothing is loaded for them and no server is asked.
    """
    from biasaudit.pipeline.elsewhere import examine_arms

    data: dict[str, Any] = {
        "biasaudit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version_of(name) for name in CORE},
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "device": _device(),
        "extras": {name: importlib.util.find_spec(module) is not None for name, (module, _) in EXTRAS.items()},
        "gpt2_tokenizer_offline": bool(os.environ.get("TIKTOKEN_CACHE_DIR")),
        "chromium": shutil.which("chromium") is not None,
        "embedded_arms": _embedded(),
        "arms": examine_arms(arms),
    }
    return Outcome(text="\n".join(_lines(data)), data=data, exit_code=2 if any(a["fault"] for a in data["arms"]) else 0)


def version_of(package: str) -> str | None:
    """The installed version of a package; None when it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _device() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"kind": "unknown", "torch": f"cannot be imported: {str(error).partition(chr(10))[0]}"}
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return {
            "kind": "cuda",
            "name": torch.cuda.get_device_name(),
            "memory_free_gib": round(free / 2**30, 1),
            "memory_gib": round(total / 2**30, 1),
            "half_precision": "bf16" if torch.cuda.is_bf16_supported() else "fp16",
        }
    capability = torch.backends.cpu.get_cpu_capability()
    return {"kind": "cpu", "capability": capability, "threads": torch.get_num_threads(), "half_precision": _cpu_half()}


def _cpu_half() -> str:
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(encoding="utf-8", errors="replace") if flags.is_file() else ""
    return "bf16" if "amx_bf16" in text or "avx512_bf16" in text else "fp32"


def _embedded() -> list[str]:
    from biasaudit.lm import embedded

    return list(embedded.names())


def _lines(data: dict[str, Any]) -> list[str]:
    device = data["device"]
    detail = ", ".join(f"{k} {v}" for k, v in device.items() if k != "kind")
    lines = [
        f"biasaudit {data['biasaudit']}, Python {data['python']}, {data['platform']}",
        "packages: " + ", ".join(f"{k} {v or 'missing'}" for k, v in data["packages"].items()),
        f"machine: {data['cores']} cores, {data['memory_gib']} GiB memory, {data['disk_free_gib']} GiB free on disk",
        f"device: {device['kind']} ({detail})",
        f"embedded arms: {', '.join(data['embedded_arms']) or 'none'}",
    ]
    missing = [name for name, version in data["packages"].items() if version is None]
    if missing:
        lines.append(f"missing: {', '.join(missing)}; biasaudit does not work without: pip install {' '.join(missing)}")
    for name, present in data["extras"].items():
        purpose = EXTRAS[name][1]
        lines.append(
            f"extra [{name}]: " + ("installed" if present else f"absent; pip install 'biasaudit[{name}]' for {purpose}")
        )
    lines += [f"arm {arm['name']}: {arm['fault'] or arm['what']}" for arm in data["arms"]]
    if not data["gpt2_tokenizer_offline"]:
        lines.append(
            "GPT-2's tokenizer: TIKTOKEN_CACHE_DIR is not set, so `gpt2` needs a hub or a folder with vocab.json"
        )
    return lines
