"""GPT-2's way to write bytes as text, and the merges that a table of ranks implies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


@cache
def _char_of() -> Mapping[int, str]:
    return {b: c for c, b in _byte_of().items()}


def to_token(data: bytes) -> str:
    """A token as `vocab.json` writes it."""
    return "".join(map(_char_of().__getitem__, data))


def merges_of(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """The merge that makes each longer token, in rank order: BPE with the lower ranks leaves its two halves."""
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            best = min(
                (ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1)
            )  # fmt: skip
            if best[0] >= rank:
                break
            i = best[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            yield parts[0], parts[1]
