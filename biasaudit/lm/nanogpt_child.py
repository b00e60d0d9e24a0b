"""The isolated half of the nanoGPT importer: runs as a script of its own, opens the pickle, writes safetensors.

Started by `lm.nanogpt` with the path of a checkpoint and of the file to write. It imports nothing of ours, limits its
own memory and time before it opens anything, and never unpickles with `weights_only` off. One JSON object goes to
stdout: `{"model_args": …}` or `{"error": …}`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SPARE = 300 << 20
"""Bytes of memory beside twice the file."""
BOUNDS = {"n_layer": 1_000, "n_head": 1_000, "n_embd": 2**20, "block_size": 2**24, "vocab_size": 2**24}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
"""nanoGPT's nn.Linear weights; GPT-2's Conv1D in transformers holds them the other way round."""


class Refused(Exception):  # noqa: N818 (a verdict on the file, not a fault of ours)
    """The checkpoint is not what it should be; the text is for the user."""


def limit(size: int) -> None:
    """Bound memory, time and written bytes by the size of the file."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * size + SPARE,) * 2)
    seconds = 20 + size // (20 << 20)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + (1 << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def checked_args(raw: Any) -> dict[str, int | bool]:
    """The architecture, every size a whole number within bounds."""
    if not isinstance(raw, Mapping):
        raise Refused("it has no model_args, so its architecture is unknown")
    args: dict[str, int | bool] = {}
    for name, top in BOUNDS.items():
        value = raw.get(name)
        if type(value) is not int or not 0 < value <= top:
            raise Refused(f"model_args.{name} is {str(value)[:20]!r}; expected a whole number from 1 to {top}")
        args[name] = value
    if args["n_embd"] % args["n_head"]:
        raise Refused("n_embd is no multiple of n_head")
    args["bias"] = raw.get("bias", True) is not False
    return args


def expected(args: Mapping[str, int | bool]) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of nanoGPT's GPT with these sizes, without the head."""
    wide = int(args["n_embd"])
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (int(args["vocab_size"]), wide),
        "transformer.wpe.weight": (int(args["block_size"]), wide),
        "transformer.ln_f.weight": (wide,),
        "transformer.ln_f.bias": (wide,),
    }
    for i in range(int(args["n_layer"])):
        layer = {
            "ln_1.weight": (wide,), "ln_1.bias": (wide,), "ln_2.weight": (wide,), "ln_2.bias": (wide,),
            "attn.c_attn.weight": (3 * wide, wide), "attn.c_attn.bias": (3 * wide,),
            "attn.c_proj.weight": (wide, wide), "attn.c_proj.bias": (wide,),
            "mlp.c_fc.weight": (4 * wide, wide), "mlp.c_fc.bias": (4 * wide,),
            "mlp.c_proj.weight": (wide, 4 * wide), "mlp.c_proj.bias": (wide,),
        }  # fmt: skip
        shapes.update({f"transformer.h.{i}.{name}": shape for name, shape in layer.items()})
    return shapes


def checked_tensor(name: str, tensor: Any, shape: tuple[int, ...], size: int) -> torch.Tensor:
    """A dense, finite tensor of the shape that the architecture promises, and no view that is larger than the file."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
        raise Refused(f"{name} is no dense tensor")
    if tuple(tensor.shape) != shape:
        raise Refused(f"{name} has shape {list(tensor.shape)}, and model_args promises {list(shape)}")
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        raise Refused(f"{name} holds {tensor.dtype}, not floating-point numbers")
    if not tensor.is_contiguous() or tensor.numel() * tensor.element_size() > size:
        raise Refused(f"{name} is a view that is larger than the file")
    if not bool(torch.isfinite(tensor).all()):
        raise Refused(f"{name} holds NaN or infinite numbers")
    return tensor.float() if tensor.dtype is torch.float64 else tensor


def convert(checkpoint: Any, size: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors in transformers' GPT-2 layout, and what the checkpoint says of itself."""
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        raise Refused("it is no checkpoint of nanoGPT (no 'model' in it)")
    args = checked_args(checkpoint.get("model_args"))
    state: dict[str, Any] = {}
    for name, tensor in checkpoint["model"].items():
        short = str(name)
        for prefix in ("_orig_mod.", "module.", "_orig_mod."):
            short = short.removeprefix(prefix)
        if short in state:
            raise Refused(f"two tensors are called {short[:80]}")
        if not short.endswith((".attn.bias", ".attn.masked_bias")):  # old versions kept the causal mask
            state[short] = tensor
    shapes = expected(args)
    if len(state) > len(shapes) + 1:
        raise Refused(f"it has {len(state)} tensors, and model_args promises {len(shapes) + 1}")
    wanted = {name for name in shapes if args["bias"] or not name.endswith(".bias")}
    if absent := sorted(wanted - set(state)):
        raise Refused(f"{absent[0]} is missing")
    if strange := sorted(set(state) - wanted - {"lm_head.weight"}):
        raise Refused(f"{strange[0][:80]} is no tensor of nanoGPT's GPT with these model_args")
    result: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if name not in wanted:
            result[name] = torch.zeros(shape, dtype=result["transformer.wte.weight"].dtype)
            continue
        tensor = checked_tensor(name, state[name], shape, size)
        result[name] = tensor.t().contiguous() if name.endswith(TRANSPOSED) else tensor.clone()
    head = state.get("lm_head.weight")
    tied = head is None
    if head is not None:
        head = checked_tensor("lm_head.weight", head, shapes["transformer.wte.weight"], size)
        tied = head.data_ptr() == state["transformer.wte.weight"].data_ptr() or torch.equal(
            head, state["transformer.wte.weight"]
        )
        if not tied:
            result["lm_head.weight"] = head.clone()
    said = {key: checkpoint.get(key) for key in ("iter_num",) if type(checkpoint.get(key)) is int}
    return result, {"model_args": args, "tied": tied, **said}


def main(source: str, target: str) -> dict[str, Any]:
    """Open `source`, write `target`, and say what was found."""
    size = Path(source).stat().st_size
    limit(size)
    try:
        checkpoint = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
        tensors, said = convert(checkpoint, size)
        save_file(tensors, target, metadata={"format": "pt"})
    except Refused as refusal:
        return {"error": str(refusal)}
    except MemoryError:
        return {"error": "it needs more memory than a checkpoint of its size may"}
    except Exception as error:  # noqa: BLE001 (a hostile file can raise anything; the parent gets one line)
        first = (str(error).splitlines() or [""])[0]
        return {"error": f"torch refuses it ({type(error).__name__}: {first[:160]})"}
    return said


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2])))
