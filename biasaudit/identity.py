"""Names that follow from content: canonical JSON, hashes, ids of prompts and decodings, safe file names.

An id never depends on where a thing stands (order in a battery, name of a file), only on what it is;
so adding prompts, reformatting YAML or moving a folder changes no id (CONTRACT §1).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ID_HEX = 32
"""Hex digits of an id: 128 bits, so that collisions never matter at 10^10 items."""


def plain(value: Any) -> Any:
    """Return `value` as plain JSON types: dataclasses and mappings to dicts, tuples and sets to lists.

    NaN and infinities become None: JSON has no word for them, and None is never mistaken for a number.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no blanks: equal values give equal bytes."""
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def content_hash(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def prompt_id(text: str, language: str) -> str:
    """Id of a rendered prompt: hash of its NFC bytes and its language, and of nothing else (CONTRACT §1)."""
    normal = unicodedata.normalize("NFC", text)
    return content_hash(["prompt", normal, language])[:ID_HEX]


def decoding_id(
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    repetition_penalty: float,
    max_new_tokens: int,
    stop: tuple[str, ...],
) -> str:
    """Id of a decoding: hash of temperature, truncation, penalty, length and stop strings (CONTRACT §1)."""
    parts = [
        float(temperature), int(top_k), float(top_p), float(min_p),
        float(repetition_penalty), int(max_new_tokens), list(stop),
    ]  # fmt: skip
    return content_hash(["decoding", parts])[:ID_HEX]


def key64(*parts: object) -> int:
    """A 64-bit unsigned key derived from `parts`; the seed material of counter-based noise."""
    digest = hashlib.sha256(canonical_json(list(parts))).digest()
    return int.from_bytes(digest[:8], "little")


def safe_name(name: str) -> str:
    """A file name for any `name`: a readable slug and 8 hex digits of its hash, so that no two names collide."""
    ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else digest
