"""What must hold of a foreign model folder before anything of it is allocated (RELIABILITY C2 and C3).

Reads config.json and the headers of safetensors files, and nothing else: no tensor, no pickle, no code.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from biasaudit.errors import ModelError

MAX_CONFIG_BYTES = 1 << 20
MAX_HEADER_BYTES = 100 << 20
# parameter -> the name that its checkpoints still have (GPT-NeoX, Pythia); transformers renames it while it reads
STORED_AS = {"lm_head.weight": "embed_out.weight"}
MAX_PARAMETERS = 10**13
MAX_LAYERS = 1_000
MAX_WIDTH = 2**20
MAX_EXPERTS = 2**16
MAX_POSITIONS = 2**24
MAX_VOCABULARY = 2**24
UNSAID_CONTEXT = 2_048
"""Context of models that have no positions and so name no length (BLOOM, Mamba): what most of them were trained at."""

_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_BOUNDS = {
    **dict.fromkeys(("n_layer", "num_layers", "num_hidden_layers", "n_head", "num_attention_heads"), MAX_LAYERS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), MAX_EXPERTS),
    **dict.fromkeys(("n_embd", "hidden_size", "n_inner", "intermediate_size"), MAX_WIDTH),
    **dict.fromkeys(("n_positions", "n_ctx", "max_position_embeddings"), MAX_POSITIONS),
    "vocab_size": MAX_VOCABULARY,
}
_CODE = frozenset(
    {
        "auto_map",
        "custom_pipelines",
        "trust_remote_code",
        "attn_implementation",
        "experts_implementation",
        "kernel_config",
    }
)
"""Keys through which a configuration could have modules or kernels fetched and run."""
_HARMLESS_PRIVATE = frozenset({"_name_or_path", "_num_labels", "_attn_implementation_autoset", "_flash_attn_2_enabled"})
"""Private keys that old files of transformers carry; they are dropped, not read."""
SPOKEN_PRIVATE = frozenset({"_remove_final_layer_norm", "_sliding_window_pattern"})
"""Private keys by which a configuration (OPT, Gemma 3) says what is computed; a whole number or a truth value each."""
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Where a tensor lies in its file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as plain values, refused when it asks for code or absurd sizes.

    Raises:
        ModelError: missing, unreadable, asks for remote code, or a size is out of bounds.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: no config.json, so this is no model folder of transformers.")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{path}: larger than 1 MiB; this is no model configuration.")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({type(error).__name__}).") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise ModelError(f"{path}: no model_type, so the architecture is unknown.")
    raw = dict(_decoded(raw))
    _refuse_code(path, raw)
    for key in _HARMLESS_PRIVATE:
        raw.pop(key, None)
    for key, limit in _BOUNDS.items():
        given = raw.get(key)
        # Gemma 3n has a width for every layer.
        for value in given if isinstance(given, list) and key == "intermediate_size" else [given]:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limit):
                shown = str(value)[:20] if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
                raise ModelError(f"{path}: {key} is {shown}; expected a whole number from 1 to {limit}.")
    return raw


def _spoken(key: str, value: Any) -> bool:
    """Whether this is a private key that means something and can name no code."""
    return key in SPOKEN_PRIVATE and isinstance(value, int)


def _decoded(value: Any) -> Any:
    """Numbers for which JSON has no word: transformers writes `{"__float__": "Infinity"}`."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"__float__"} and value["__float__"] in _FLOATS:
        return _FLOATS[value["__float__"]]
    return {key: _decoded(item) for key, item in value.items()}


def _refuse_code(path: Path, value: Any) -> None:
    """No key at any depth may name code (`auto_map`) or reach into transformers' private settings."""
    if isinstance(value, list):
        for item in value:
            _refuse_code(path, item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in _CODE:
            raise ModelError(f"{path}: '{key}' asks for code from elsewhere; only transformers' own classes load.")
        if key == "quantization_config" and item is not None:
            raise ModelError(f"{path}: quantised weights cannot be audited here. Use the model's full weights.")
        if key.startswith("_") and key not in _HARMLESS_PRIVATE and not _spoken(key, item):
            raise ModelError(f"{path}: private key '{key}' is refused. Remove it if you trust the folder's origin.")
        _refuse_code(path, item)


def read_headers(folder: Path) -> dict[str, TensorHeader]:
    """Headers of every tensor in the folder's safetensors files.

    Raises:
        ModelError: no safetensors, a broken header, overlapping or missing bytes, a name twice.
    """
    files = _weight_files(folder)
    tensors: dict[str, TensorHeader] = {}
    for file in files:
        for name, header in _file_headers(folder, file).items():
            if name in tensors:
                raise ModelError(f"{folder / file}: tensor {name} is also in another file.")
            tensors[name] = header
    if not tensors:
        raise ModelError(f"{folder}: its weights hold no tensor.")
    return tensors


def _weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files, through the index when the weights are sharded."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{index}: not an index of weights ({type(error).__name__}).") from error
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
                raise ModelError(f"{index}: names {str(name)[:80]!r}, which is no file of the folder.")
        return names
    if any((folder / name).is_file() for name in ("pytorch_model.bin", "pytorch_model.bin.index.json")):
        raise ModelError(f"{folder}: weights only as pickle (pytorch_model.bin), which can run code. Save safetensors.")
    raise ModelError(f"{folder}: no weights here (model.safetensors). Is the download or the training complete?")


def _file_headers(folder: Path, file: str) -> dict[str, TensorHeader]:
    """Headers of one file, its bytes covered exactly once."""
    path = folder / file
    size = path.stat().st_size
    with path.open("rb") as handle:
        prefix = handle.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise ModelError(f"{path}: not a safetensors file, or cut short.")
        try:
            raw = json.loads(handle.read(length))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path}: its header is not JSON; the file is damaged.") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path}: its header is no JSON object; the file is damaged.")
    raw.pop("__metadata__", None)
    headers = {str(name): _tensor_header(path, file, name, entry, 8 + length) for name, entry in raw.items()}
    end = 8 + length
    for header in sorted(headers.values(), key=lambda h: (h.start, h.length)):
        if header.start != end:
            raise ModelError(f"{path}: tensors overlap or leave holes; the file is damaged.")
        end = header.start + header.length
    if end != size:
        raise ModelError(f"{path}: {size} bytes, and its header promises {end}; the file is cut short or damaged.")
    return headers


def _tensor_header(path: Path, file: str, name: str, entry: Any, base: int) -> TensorHeader:
    """One checked entry of a safetensors header."""
    try:
        dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (*shape, start, end))
        fits = whole and end - start == math.prod(shape) * _SIZES[dtype]
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise ModelError(f"{path}: tensor {str(name)[:80]!r} has a type, shape or place that contradict one another.")
    return TensorHeader(file, dtype, shape, base + start, end - start)


def check_sizes(folder: Path, config: Any, class_name: str, tensors: Mapping[str, TensorHeader]) -> int:
    """Number of parameters, when the configuration promises exactly the tensors that are there.

    The promised shapes come from building the model on torch's `meta` device, which allocates nothing.

    Raises:
        ModelError: a tensor is missing or of another shape, or there are absurdly many.
    """
    path = folder / "config.json"
    layers = int(getattr(config.get_text_config(), "num_hidden_layers", 0) or 0)
    if not 0 < layers <= MAX_LAYERS:
        raise ModelError(f"{path}: {layers} layers; expected 1 to {MAX_LAYERS}.")
    if layers > len(tensors):
        raise ModelError(f"{path}: {layers} layers, but the weights hold only {len(tensors)} tensors.")
    try:
        with torch.device("meta"):
            model = getattr(transformers, class_name)(config)
    except Exception as error:  # the configuration is foreign: whatever its class raises is the user's to see
        raise ModelError(f"{path}: no model can be built from it: {str(error).splitlines()[0]}") from error
    parameters = dict(model.named_parameters())
    wrong = _mismatch(model, parameters, tensors)
    if wrong:  # files may have other names, and a tensor an expert: the inverse of what transformers does on loading
        wrong = _mismatch(model, _as_saved(model, parameters), tensors)
    if wrong:
        raise ModelError(f"{folder}: {wrong}. Configuration and weights belong to different models.")
    count: int = sum(parameter.numel() for parameter in parameters.values())
    if count > MAX_PARAMETERS:
        raise ModelError(f"{folder}: {count} parameters; the limit is {MAX_PARAMETERS}.")
    return count


def _as_saved(model: Any, parameters: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Parameters (on `meta`) by the names and in the pieces that a saved file has."""
    from transformers.core_model_loading import revert_weight_conversion

    try:
        found: Mapping[str, torch.Tensor] = revert_weight_conversion(model, dict(parameters))
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError):  # not for a conversion without values
        return parameters
    return found


def _mismatch(model: Any, promised: Mapping[str, torch.Tensor], tensors: Mapping[str, TensorHeader]) -> str:
    """The first promised tensor that is not there or of another shape; empty when all fit."""
    prefix = model.base_model_prefix + "."
    found = {name.removeprefix(prefix): header.shape for name, header in tensors.items()}
    tied = {name.removeprefix(prefix) for name in (getattr(model, "all_tied_weights_keys", None) or {})}
    for name, parameter in promised.items():
        shape = found.get(name.removeprefix(prefix), found.get(STORED_AS.get(name, "")))
        if shape is None and name.removeprefix(prefix) in tied:
            continue
        if shape != tuple(parameter.shape):
            there = "is missing" if shape is None else f"has shape {list(shape)}"
            return f"tensor {name} {there}, and config.json promises {list(parameter.shape)}"
    return ""


def context_length(config: Any) -> int:
    """Positions that the model was built for; `UNSAID_CONTEXT` where it has no positions, and so no such limit."""
    text = config.get_text_config()
    for key in ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(text, key, None)
        if isinstance(value, int) and value > 0:
            return min(value, MAX_POSITIONS)
    return UNSAID_CONTEXT


def stored_dtype(tensors: Mapping[str, TensorHeader]) -> str:
    """Precision of most of the stored numbers."""
    sums: dict[str, int] = {}
    for header in tensors.values():
        sums[header.dtype] = sums.get(header.dtype, 0) + header.length
    most = max(sums, key=lambda name: sums[name])
    return _NAMES.get(most, most)


def hub_folder(name: str) -> Path:
    """Folder of a model of the Hugging Face hub that the user named: from the cache, or downloaded.

    Only configuration, tokenizer and safetensors are fetched.

    Raises:
        ModelError: it is not in the cache and cannot be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*.json", "vocab.json"]
    wanted += ["merges.txt", "special_tokens_map.json"]
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name}: no such folder or file. Give a model folder, a ckpt.pt, a hub name or embedded:NAME."
        )
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name}: not a folder here, not in the hub's cache, and the hub does not give it "
            f"({type(error).__name__}). Check the name or the network, or give a folder or embedded:NAME."
        ) from error
