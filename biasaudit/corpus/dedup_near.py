"""Near copies: signatures that agree in a band are compared, and what is near becomes one group.

Candidates are texts whose signatures agree in all values of one of 21 bands of 6 (locality-sensitive hashing; Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", §3.4). A pair of similarity 0.8 is found with probability
1 − (1 − 0.8⁶)²¹ = 0.998, one of 0.5 with 0.28. Every candidate is then judged by its whole signature.

Within a band, a text is compared with the first of its bucket and with its neighbour when the bucket is sorted by the
next band too: similar texts of a crowd that shares boilerplate stand side by side, and the work stays linear.

What is near is joined into groups, and a group keeps its first text (as Lee et al., "Deduplicating training data makes
language models better", 2022, do). The other rule, to drop only what is near a *kept* text, drops a little less but
lets a text into validation that is near a dropped copy of training text, or near a kept one it was never compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.dedup_sort import Int64s, UInt64s, in_order, linked
from biasaudit.corpus.sketch import NO_SIGNATURE, PERMUTATIONS, UInt32s

NEAR = 0.8
"""Estimated Jaccard similarity of word triples from which two texts are copies."""
BANDS = 21
ROWS = 6
"""Values of a band."""

_ROW_BYTES = 4 * PERMUTATIONS
_TOGETHER = 32
"""Signatures read at once when some of them are needed."""
_BUCKET = (1 << 64) - (1 << 24)
"""Bits of a key that name the bucket; the others are of the next band."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


def group(keeper: Int64s, signatures: Path, budget: int, scratch: Path) -> None:
    """Point near copies among the texts that keep themselves to the first of their group, in place.

    Args:
        keeper: `keeper[i] == i` for texts still kept, shape (texts,).
        signatures: a row of PERMUTATIONS little-endian 32-bit numbers for every text.
        budget: bytes of memory besides `keeper`.
        scratch: folder for 16 × BANDS bytes a text.
    """
    for keys in _band_files(keeper, signatures, budget, scratch):
        for found in linked(in_order(keys, 2, budget // 2), _BUCKET):
            for other in (found.first, found.previous):
                _compare(keeper, signatures, found.number, other, budget // 4)


def _band_files(keeper: Int64s, signatures: Path, budget: int, scratch: Path) -> list[Path]:
    """A file of (key, number) for every band."""
    paths = [scratch / f"band-{band:02}" for band in range(BANDS)]
    rows = min(16_384, max(64, budget // (6 * _ROW_BYTES)))
    for path in paths:
        path.write_bytes(b"")
    for start in range(0, len(keeper), rows):
        number = np.arange(start, min(start + rows, len(keeper)))
        table = np.fromfile(signatures, "<u4", len(number) * PERMUTATIONS, offset=start * _ROW_BYTES)
        table = table.reshape(-1, PERMUTATIONS)
        compared = (keeper[number] == number) & (table[:, 0] != NO_SIGNATURE)
        bands = _bands(table[compared])
        for path, band, following in zip(paths, bands, np.roll(bands, -1, axis=0), strict=True):
            key = (band & np.uint64(_BUCKET)) | (following >> np.uint64(40))
            with path.open("ab") as file:
                np.column_stack([key, number[compared].astype(np.uint64)]).tofile(file)
    return paths


def _bands(table: UInt32s) -> UInt64s:
    """A hash of every band of every signature, shape (BANDS, signatures)."""
    values = table[:, : BANDS * ROWS].reshape(-1, BANDS, ROWS)
    key = np.zeros((len(table), BANDS), np.uint64)
    for row in range(ROWS):
        key = (key ^ values[:, :, row]) * _MIX
        key ^= key >> np.uint64(32)
    return np.ascontiguousarray(key.T)


def _compare(keeper: Int64s, signatures: Path, one: Int64s, other: Int64s, budget: int) -> None:
    """Join the groups of all pairs that are near."""
    step = max(16, budget // (5 * _ROW_BYTES))
    for start in range(0, len(one), step):
        left, right = one[start : start + step], other[start : start + step]
        open_pairs = _roots(keeper, left) != _roots(keeper, right)
        left, right = left[open_pairs], right[open_pairs]
        if left.size:
            near = _similarity(signatures, left, right) >= NEAR
            _unite(keeper, left[near], right[near])


def _similarity(signatures: Path, one: Int64s, other: Int64s) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarity of every pair."""
    numbers, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    table = np.concatenate(list(_rows(signatures, numbers)))
    return np.asarray((table[place[: len(one)]] == table[place[len(one) :]]).mean(axis=1))


def _rows(signatures: Path, numbers: Int64s) -> Iterator[UInt32s]:
    """The signatures of rising `numbers`; neighbours in the file are read together."""
    cuts = np.flatnonzero(np.diff(numbers // _TOGETHER)) + 1
    with signatures.open("rb", buffering=0) as file:
        for wanted in np.split(numbers, cuts):
            first = int(wanted[0])
            file.seek(first * _ROW_BYTES)
            raw = file.read((int(wanted[-1]) + 1 - first) * _ROW_BYTES)
            yield np.frombuffer(raw, "<u4").reshape(-1, PERMUTATIONS)[wanted - first]


def _unite(keeper: Int64s, one: Int64s, other: Int64s) -> None:
    """Join the groups of every pair; the smallest number stands for a group."""
    while True:
        left, right = _roots(keeper, one), _roots(keeper, other)
        apart = left != right
        if not apart.any():
            return
        low, high = np.minimum(left, right)[apart], np.maximum(left, right)[apart]
        np.minimum.at(keeper, high, low)
        shorten(keeper, np.unique(high))
        one, other = one[apart], other[apart]


def _roots(keeper: Int64s, numbers: Int64s) -> Int64s:
    root = keeper[numbers]
    while (further := keeper[root]).size and (further != root).any():
        root = further
    return root


def shorten(keeper: Int64s, numbers: Int64s) -> None:
    """Point `numbers` straight to the first of their group; every step doubles the stride."""
    while ((further := keeper[keeper[numbers]]) != keeper[numbers]).any():
        keeper[numbers] = further
