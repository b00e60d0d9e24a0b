"""GPT-2's way to write bytes as text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache


@cache
def _byte_of() -> Mapping[str, int]:
    """GPT-2's printable stand-in of every byte, as character -> byte (Radford et al. 2019, their encoder)."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in kept]
    table = {chr(b): b for b in kept}
    table.update({chr(256 + i): b for i, b in enumerate(others)})
    return table


def to_bytes(token: str) -> bytes:
    """Bytes of a token as `vocab.json` writes it; KeyError for a character that stands for no byte."""
    return bytes(map(_byte_of().__getitem__, token))


def alphabet() -> list[str]:
    """The stand-ins of all bytes, in the order of their ids in GPT-2's vocabulary."""
    return list(_byte_of())
