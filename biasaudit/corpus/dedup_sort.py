"""Rows of 64-bit numbers in a file, sorted within a stated memory: equal keys come next to one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]

_FEWEST = 64
"""Rows that are sorted at once however small the budget."""
_MOST_BITS = 8
"""At most 256 parts at a time, so that a block leaves more than crumbs in each."""


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """Members of runs of equal keys, each with two others of its run; runs of one member do not appear."""

    number: Int64s
    first: Int64s
    """First of the run in the order of the sort."""
    previous: Int64s
    """Neighbour in the order of the sort."""


def blocks(path: Path, width: int, rows: int) -> Iterator[UInt64s]:
    """The rows of a file of little-endian numbers, `rows` at a time, each block of shape (≤ rows, width)."""
    with path.open("rb") as file:
        while (block := np.fromfile(file, "<u8", rows * width)).size:
            yield block.reshape(-1, width)


def in_order(path: Path, width: int, budget: int) -> Iterator[UInt64s]:
    """All rows of a file, sorted by all columns but the last; rows with equal keys keep their order. Uses it up.

    A file that is too large for the budget is cut by the first bits in which its keys differ, and the parts follow one
    another. Keys that are all equal need no sorting, so that no crowd of equal ones is too large.

    Args:
        path: rows of `width` little-endian 64-bit numbers. Parts of it are written beside it; all are deleted.
        width: numbers of a row.
        budget: bytes of memory.

    Yields:
        Arrays of shape (rows, width).
    """
    limit = max(_FEWEST, budget // (8 * (2 * width + 4)))
    rows = path.stat().st_size // (8 * width)
    if rows <= limit:
        table = np.fromfile(path, "<u8").reshape(-1, width)
        path.unlink()
        if len(table):
            yield table[np.lexsort(table.T[-2::-1])]
        return
    differ = _differing_bits(path, width, limit)
    if not differ:
        yield from blocks(path, width, limit)
        path.unlink()
        return
    bits = min(_MOST_BITS, differ, (rows // limit).bit_length() + 1)
    for part in _scattered(path, width, limit, differ - bits, bits):
        yield from in_order(part, width, budget)


def _differing_bits(path: Path, width: int, limit: int) -> int:
    """How many low bits of the first column are not the same in all rows."""
    ends = [(int(block[:, 0].min()), int(block[:, 0].max())) for block in blocks(path, width, limit)]
    return (min(low for low, _ in ends) ^ max(high for _, high in ends)).bit_length()


def _scattered(path: Path, width: int, limit: int, shift: int, bits: int) -> list[Path]:
    """Files of the rows whose first column has the same `bits` bits above `shift`, in rising order of these bits."""
    parts: dict[int, Path] = {}
    for block in blocks(path, width, limit):
        part = (block[:, 0] >> np.uint64(shift)) & np.uint64((1 << bits) - 1)
        block = block[np.argsort(part, kind="stable")]
        present, counts = np.unique(part, return_counts=True)
        for name, piece in zip(present.tolist(), np.split(block, np.cumsum(counts)[:-1]), strict=True):
            target = parts.setdefault(name, path.with_name(f"{path.name}-{name:02x}"))
            with target.open("ab") as file:
                piece.tofile(file)
    path.unlink()
    return [parts[name] for name in sorted(parts)]


def linked(pieces: Iterator[UInt64s], mask: int = 2**64 - 1) -> Iterator[Linked]:
    """Runs of rows with equal keys (all columns but the last, the first one under `mask`), across pieces."""
    key: UInt64s | None = None
    first = last = -1
    for rows in pieces:
        keys, number = rows[:, :-1].copy(), rows[:, -1].astype(np.int64)
        keys[:, 0] &= np.uint64(mask)
        same = np.empty(len(rows), bool)
        same[0] = key is not None and bool((keys[0] == key).all())
        same[1:] = (keys[1:] == keys[:-1]).all(axis=1)
        begins = np.maximum.accumulate(np.where(same, -1, np.arange(len(rows))))
        firsts = np.where(begins < 0, first, number[begins])
        previous = np.concatenate([[last], number[:-1]])
        key, first, last = keys[-1], int(firsts[-1]), int(number[-1])
        yield Linked(number[same], firsts[same], previous[same])
