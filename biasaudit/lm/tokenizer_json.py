"""Any tokenizer of the tokenizers library, as its tokenizer.json says it: for text alone, and for text after text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from biasaudit.errors import ModelError
from biasaudit.lm.tokenizer_bpe import read_json
from biasaudit.lm.tokenizer_engines import EOT

Ways = tuple[Callable[[str], list[int]], Callable[[list[int]], str]]
"""Text to ids, and ids to text."""

_PARTS = ("normalizer", "normalizers", "pre_tokenizer", "pretokenizers", "decoder", "decoders")


def as_text(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which takes names of special tokens for ordinary text and neither pads nor cuts."""
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def after(spec: Any) -> Ways | None:
    """How a tokenizer reads and writes text that continues other text; None where that is as always.

    Args:
        spec: its tokenizer.json.
    """
    inner = _within(spec)
    if inner == spec:
        return None
    backend = cache(lambda: as_text(Tokenizer.from_str(json.dumps(inner))))
    return (
        lambda text: list(backend().encode(text, add_special_tokens=False).ids),
        lambda ids: str(backend().decode(ids, skip_special_tokens=False)),
    )


def _within(part: Any, *, decodes: bool = False) -> Any:
    """A tokenizer.json, or a part of it, without what happens only at the start of a text.

    SentencePiece's tokenizers put a blank before every text and take it away again: by a normalizer `Prepend`, by
    `Metaspace`, or by `ByteLevel` with a prefix; and back by `Metaspace` or a decoder `Strip`.
    """
    if isinstance(part, list):
        return [_within(item, decodes=decodes) for item in part if not _prepends(item)]
    if not isinstance(part, dict):
        return part
    found = {
        key: _within(value, decodes=decodes or key == "decoder") if key in _PARTS else value
        for key, value in part.items()
    }
    if _prepends(found.get("normalizer")):
        found["normalizer"] = None
    kind = part.get("type")
    if kind == "Metaspace":
        found.update({"prepend_scheme": "never"} if "prepend_scheme" in part else {"add_prefix_space": False})
    elif kind == "ByteLevel" and not decodes:
        found["add_prefix_space"] = False
    elif kind == "Strip" and decodes and part.get("content") == " ":
        found["start"] = 0
    return found


def _prepends(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "Prepend"


def end_of_text(folder: Path, backend: Tokenizer) -> int:
    """Id of the end-of-text token that a folder's settings name.

    Raises:
        ModelError: they name none.
    """
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            settings = read_json(folder / name)
            token = settings.get("eos_token") if isinstance(settings, dict) else None
            token = token.get("content") if isinstance(token, dict) else token
            found = backend.token_to_id(token) if isinstance(token, str) else None
            if found is not None:
                return int(found)
    found = backend.token_to_id(EOT)
    if found is None:
        raise ModelError(f"{folder}: the tokenizer names no end-of-text token (eos_token in tokenizer_config.json).")
    return int(found)
