"""From what a user writes (`gpt2`, a folder, `ckpt.pt`, `embedded:NAME`) to a model that can be audited.

A folder of weights is foreign data: only transformers' own classes, chosen by `model_type`, only safetensors, no
remote code, and every size is checked against the tensors' headers before anything is allocated.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from biasaudit import identity
from biasaudit.errors import ModelError, ResourceError
from biasaudit.lm import device as devices
from biasaudit.lm import safety
from biasaudit.lm.tokenizer import TextTokenizer, load_tokenizer

WORKING_MEMORY = 1.25
"""Weights and what loading them needs beside them, as a multiple of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model before its weights are in memory."""

    spec: str
    kind: str
    """`folder`, `hub`, `embedded` or `nanogpt`."""
    folder: Path
    model_type: str
    parameters: int
    context_length: int
    vocab_size: int
    dtype: str
    """Precision in which the weights are stored."""
    bytes_needed: Mapping[str, int]
    """Bytes of memory for the weights, by precision."""
    fingerprint: str
    """Hash of the weights and of what the configuration means; names and dates of files are not in it."""
    tokenizer_fingerprint: str
    language: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory, ready to be read from (evaluation mode)."""

    model: Any
    tokenizer: TextTokenizer
    info: ModelInfo


def describe(
    spec: str, *, cache: Path | None = None, tokenizer: str | None = None, accepted: Collection[str] = ()
) -> ModelInfo:
    """Say what `spec` names, without loading weights into memory.

    Args:
        spec: a folder in Hugging Face's layout, a hub name, `embedded:NAME`, or a nanoGPT `ckpt.pt`.
        cache: where an imported nanoGPT checkpoint is kept; beside the checkpoint by default.
        tokenizer: tokenizer of a nanoGPT checkpoint (a folder, or `gpt2`); by default what lies beside it, else `gpt2`.
        accepted: fingerprints of models that were described before; weights and configuration of these are not held
            against one another again, which spares building the model. `load` does it always.

    Returns:
        Sizes, precision, fingerprints and the card.

    Raises:
        ModelError: missing, damaged, refused, or of contradictory sizes.
    """
    kind, folder = _resolve(spec, cache, tokenizer)
    return _describe(spec, kind, folder, accepted)[0]


def reading_room(spec: str) -> tuple[int, TextTokenizer]:
    """Context length and tokenizer of what `spec` names, without reading its weights.

    Raises:
        ModelError: as in `describe`.
    """
    folder = _resolve(spec, None, None)[1]
    return safety.context_length(_configuration(folder)[0]), load_tokenizer(folder)


def load(
    spec: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    cache: Path | None = None,
    tokenizer: str | None = None,
) -> LoadedModel:
    """Load the model that `spec` names, in evaluation mode.

    Args:
        spec: as in `describe`.
        dtype: `auto` (CONTRACT §4), `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        cache: as in `describe`.
        tokenizer: as in `describe`.

    Returns:
        The model, its tokenizer and what is known of it.

    Raises:
        ModelError: as in `describe`, or weights that hold NaN or infinities.
        ResourceError: not enough memory.
        UsageError: a device or precision that does not exist.
    """
    place = devices.pick_device(device)
    precision = devices.pick_dtype(dtype, place)
    kind, folder = _resolve(spec, cache, tokenizer)
    info, text_tokenizer = _describe(spec, kind, folder)
    devices.require_memory(int(info.bytes_needed[precision] * WORKING_MEMORY), place, f"{spec} in {precision}")
    try:
        model = _load_weights(spec, folder, precision).to(place)
    except torch.OutOfMemoryError as error:  # others of a GPU may have taken what was free a moment ago
        raise ResourceError(f"{spec}: {place} has not enough memory left for its weights in {precision}.") from error
    model.eval()
    return LoadedModel(model=model, tokenizer=text_tokenizer, info=info)


def _load_weights(spec: str, folder: Path, precision: str) -> Any:
    """The model through transformers' in-tree class, every weight present and finite."""
    config, class_name = _configuration(folder)
    model_class = getattr(transformers, class_name)
    try:
        model, report = model_class.from_pretrained(
            str(folder),
            config=config,
            dtype=devices.DTYPES[precision],
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            generation_config=transformers.GenerationConfig(),  # the folder's own is not read: it decides nothing here
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{spec}: transformers cannot load it: {str(error).splitlines()[0]}") from error
    wrong = sorted(report["missing_keys"]) + [str(m) for m in report["mismatched_keys"]]
    if wrong:
        raise ModelError(f"{spec}: weights are missing or of another shape: {', '.join(wrong[:3])}. Save it again.")
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{spec}: {name} holds NaN or infinite numbers in {precision}; the weights are damaged.")
    return model


def _resolve(spec: str, cache: Path | None, tokenizer: str | None) -> tuple[str, Path]:
    """Kind and folder of `spec`; a nanoGPT checkpoint is imported on the way."""
    if spec.startswith("embedded:"):
        from biasaudit.lm import embedded

        return "embedded", embedded.folder(spec.removeprefix("embedded:"))
    path = Path(spec)
    if path.is_dir():
        return "folder", path
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt") and path.is_file():
        from biasaudit.lm.nanogpt import import_checkpoint

        return "nanogpt", import_checkpoint(path, cache=cache, tokenizer=tokenizer)
    if path.exists():
        raise ModelError(f"{spec}: expected a model folder, a nanoGPT ckpt.pt, a hub name or embedded:NAME.")
    return "hub", safety.hub_folder(spec)


@functools.cache
def _offered() -> frozenset[str]:
    """What transformers offers. To ask it for a class imports the class, which takes two seconds."""
    return frozenset(dir(transformers))


def _configuration(folder: Path) -> tuple[Any, str]:
    """The checked configuration and the name of transformers' in-tree class for it."""
    raw = safety.read_config(folder)
    model_type = raw["model_type"]
    class_name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    if class_name is None or class_name not in _offered():
        raise ModelError(
            f"{folder / 'config.json'}: model_type '{model_type}' is not a causal language model of transformers "
            f"{transformers.__version__}."
        )
    settings = {key: value for key, value in raw.items() if key not in ("model_type", "architectures", "dtype")}
    settings.pop("torch_dtype", None)
    settings.pop("transformers_version", None)
    try:
        config = transformers.AutoConfig.for_model(model_type, **settings)
    except Exception as error:  # the configuration is foreign: whatever its class raises is the user's to see
        raise ModelError(f"{folder / 'config.json'}: refused by transformers: {str(error).splitlines()[0]}") from error
    return config, class_name


def _describe(spec: str, kind: str, folder: Path, accepted: Collection[str] = ()) -> tuple[ModelInfo, TextTokenizer]:
    """Everything that files tell, checked against one another."""
    if (folder / "training").is_dir() and not (folder / "card.json").is_file():
        raise ModelError(f"{folder}: its training has not finished. Run the same finetune command again to finish it.")
    config, class_name = _configuration(folder)
    tensors = safety.read_headers(folder)
    fingerprint = _weights_fingerprint(folder, config, tensors) if accepted else ""
    if fingerprint in accepted:
        parameters = sum(math.prod(header.shape) for header in tensors.values())
    else:
        parameters = safety.check_sizes(folder, config, class_name, tensors)
    tokenizer = load_tokenizer(folder)
    rows = int(config.get_text_config().vocab_size)
    if tokenizer.vocab_size > rows:
        raise ModelError(
            f"{spec}: its tokenizer has {tokenizer.vocab_size} tokens and the model only {rows}. "
            "Put the tokenizer that the model was trained with into the folder."
        )
    card = _card(folder)
    info = ModelInfo(
        spec=spec,
        kind=kind,
        folder=folder,
        model_type=config.model_type,
        parameters=parameters,
        context_length=safety.context_length(config),
        vocab_size=rows,
        dtype=safety.stored_dtype(tensors),
        bytes_needed={name: parameters * size for name, size in devices.BYTES.items()},
        fingerprint=fingerprint or _weights_fingerprint(folder, config, tensors),
        tokenizer_fingerprint=tokenizer.fingerprint,
        language=str(card.get("language") or ""),
        card=card,
    )
    return info, tokenizer


def _card(folder: Path) -> dict[str, Any]:
    """The folder's card.json, empty when it has none."""
    path = folder / "card.json"
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON. Delete it, or save the model again.") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path}: expected a JSON object.")
    return card


_COSMETIC = frozenset(
    {
        "transformers_version",
        "_name_or_path",
        "architectures",
        "dtype",
        "torch_dtype",
        "use_cache",
        "task_specific_params",
    }
)


_SAID_ALONE = frozenset({"_remove_final_layer_norm"})
"""Private keys whose meaning no other key repeats (Gemma's pattern is in its `layer_types`)."""


def _weights_fingerprint(folder: Path, config: Any, tensors: Mapping[str, safety.TensorHeader]) -> str:
    """Hash over every tensor (name, type, shape, bytes) in name order, and the configuration without cosmetics."""
    said = {k: v for k, v in config.to_dict().items() if not k.startswith("_") or k in _SAID_ALONE}
    essentials = {k: v for k, v in said.items() if k not in _COSMETIC}
    digest = hashlib.sha256(identity.canonical_json(essentials))
    for name in sorted(tensors):
        header = tensors[name]
        digest.update(identity.canonical_json([name, header.dtype, list(header.shape)]))
        with (folder / header.file).open("rb") as handle:
            handle.seek(header.start)
            left = header.length
            while left:
                block = handle.read(min(left, 1 << 20))
                if not block:
                    raise ModelError(f"{folder / header.file}: ends before tensor {name} does; the file is cut short.")
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()
