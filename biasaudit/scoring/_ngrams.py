"""Character n-grams of texts as hashed features and their TF-IDF weights, in numpy alone.

Features are the n-grams of 2 to 5 characters of the lower-cased text with its blanks made one, hashed to 24 bits; the
weight of one is (1 + log count) × idf, divided by the length of the text's whole vector. Source: scikit-learn's
TfidfVectorizer (analyzer="char", sublinear_tf=True), whose numbers these are (a test), forty times as fast.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHORTEST, LONGEST = 2, 5
BITS = 24
MOST_CHARACTERS = 10_000
"""Characters that are read of a text; a completion is far shorter, an imported transcript may not be."""
_END = np.uint64(0x1FFFFF)
"""Stands between texts; no character has this code."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Counts:
    """Sparse counts: how often text `rows[k]` holds feature `ids[k]`; sorted by row, then id."""

    rows: Ints
    ids: Ints
    counts: Floats
    texts: int


def normal(text: str) -> str:
    """The text whose n-grams count: NFC, lower case, every run of blanks one blank, one at each end."""
    return f" {' '.join(unicodedata.normalize('NFC', text[:MOST_CHARACTERS]).lower().split())} "


def counts(texts: Sequence[str]) -> Counts:
    """Count the hashed n-grams of every text."""
    coded = [np.frombuffer(normal(t).encode("utf-32-le", "surrogatepass"), dtype="<u4") for t in texts]
    if not coded:
        nothing = np.zeros(0, np.int64)
        return Counts(nothing, nothing, np.zeros(0), 0)
    lengths = np.array([own.size + 1 for own in coded])
    codes = np.full(int(lengths.sum()), _END, np.uint64)
    inside = np.ones(codes.size, bool)
    inside[np.cumsum(lengths) - 1] = False
    codes[inside] = np.concatenate(coded)
    rows = np.repeat(np.arange(len(coded), dtype=np.uint64), lengths)
    found = []
    hashed = codes.copy()
    for n in range(2, LONGEST + 1):
        # One more character on the right: h = mix(h) xor code, the same for equal n-grams wherever they stand.
        hashed = (hashed[:-1] * _MIX) ^ ((hashed[:-1] * _MIX) >> np.uint64(29)) ^ codes[n - 1 :]
        whole = inside[: hashed.size].copy()
        for behind in range(1, n):
            whole &= inside[behind : behind + hashed.size]
        if n >= SHORTEST:
            folded = (hashed[whole] + np.uint64(n)) * _MIX >> np.uint64(64 - BITS)
            found.append(rows[: hashed.size][whole] << np.uint64(BITS) | folded)
    keys, times = np.unique(np.concatenate(found), return_counts=True)
    return Counts(
        (keys >> np.uint64(BITS)).astype(np.int64),
        (keys & np.uint64((1 << BITS) - 1)).astype(np.int64),
        times.astype(np.float64),
        len(coded),
    )


def placed(found: Counts, columns: Ints) -> Counts:
    """The counts with ids turned into places in `columns` (sorted ids); other features are dropped."""
    at = np.minimum(np.searchsorted(columns, found.ids), max(columns.size - 1, 0))
    known = columns[at] == found.ids if columns.size else np.zeros(found.ids.size, bool)
    return Counts(found.rows[known], at[known], found.counts[known], found.texts)


def inverse_frequency(found: Counts, columns: int, fewest: int = 1) -> Floats:
    """Rarity of every column, shape (columns,): log((1 + texts) / (1 + texts with it)) + 1; 0 below `fewest` texts."""
    with_it = np.bincount(found.ids, minlength=columns)
    idf = np.log((1 + found.texts) / (1 + with_it)) + 1
    return np.where(with_it >= fewest, idf, 0.0)


def weights(found: Counts, idf: Floats) -> Floats:
    """TF-IDF weight of every count, each text's vector of length 1; shape of `found.ids`."""
    raw = (1 + np.log(found.counts)) * idf[found.ids]
    length = np.sqrt(np.bincount(found.rows, raw * raw, minlength=found.texts))
    return raw / np.where(length > 0, length, 1.0)[found.rows]
