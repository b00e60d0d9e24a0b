"""Which documents are held out. Always whole documents, and after duplicates are removed.

sequential  the last part of the corpus in the order given, 10:1 as in the study
hash        by a hash of the text, so that a document keeps its side whatever is added around it
channel     whole channels (files, where there are no channels), by a hash of their name
date        the newest documents; documents without a date train
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.errors import CorpusError, UnknownNameError

NAMES = ("sequential", "hash", "channel", "date")
DEFAULT_SHARE = 1 / 11
"""Held-out share of the study's 10:1 split."""


Sides = npt.NDArray[np.bool_]
_Int64s = npt.NDArray[np.int64]
_UInt64s = npt.NDArray[np.uint64]


def name_hash(name: str) -> int:
    """The 64-bit hash by which `channel` orders channels, and which says nothing about their names."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def sides(
    split: str, *, share: float, digests: _UInt64s, channels: _Int64s, channel_hashes: _UInt64s, dates: pa.StringArray
) -> Sides:
    """Say of every document whether it is held out, shape (documents,).

    The documents are those that are kept once duplicates, and near duplicates if wanted, are gone: whatever the
    split, no side then holds a copy of a text of the other.

    Args:
        split: one of `NAMES`.
        share: wanted share of held-out documents, strictly between 0 and 1.
        digests: `sketch.digests` of the documents' texts, shape (documents, 2).
        channels: code of every document's channel or source, shape (documents,).
        channel_hashes: `name_hash` of the name behind every code, shape (codes,).
        dates: `dates.iso_dates` of every document; null when unknown.

    Raises:
        CorpusError: a side would stay empty, or the split needs dates or channels that are not there.
        UnknownNameError: no such split.
    """
    if split not in NAMES:
        raise UnknownNameError("split", split, NAMES)
    count = len(channels)
    if count < 2:
        raise CorpusError(f"{count} document(s) after cleaning: at least two are needed to hold one out.")
    if split == "sequential":
        held = np.zeros(count, bool)
        held[min(count - 1, max(1, round(count * (1 - share)))) :] = True
        return held
    if split == "hash":
        held = digests[:, 0].byteswap() < np.uint64(share * 2.0**64)
    elif split == "channel":
        held = _channel_sides(channels, channel_hashes, share)
    else:
        held = _date_sides(dates, share)
    if held.all() or not held.any():
        empty = "training" if held.all() else "validation"
        raise CorpusError(f"--split {split}: the {empty} side is empty with {count} documents. Use --split sequential.")
    return held


def _channel_sides(channels: _Int64s, hashes: _UInt64s, share: float) -> Sides:
    """Hold out channels in the order of their hash until the share of documents is reached."""
    count = len(channels)
    sizes = np.bincount(channels, minlength=len(hashes))
    present = np.flatnonzero(sizes)
    if len(present) < 2:
        raise CorpusError("--split channel: there is one channel only. Use --split sequential or hash.")
    chosen = np.zeros(len(sizes), bool)
    held = 0
    for code in present[np.argsort(hashes[present])].tolist():
        size = int(sizes[code])
        if held + size <= max(1, 1.5 * share * count) and int(chosen.sum()) < len(present) - 1:
            chosen[code] = True
            held += size
        if held >= share * count:
            break
    if not held:
        chosen[present[np.lexsort((hashes[present], sizes[present]))[0]]] = True
    return chosen[channels]


def _date_sides(dates: pa.StringArray, share: float) -> Sides:
    dates = pc.if_else(pc.equal(dates, ""), None, dates)
    known = len(dates) - dates.null_count
    if not known:
        raise CorpusError("--split date: no document has a date. Map a column with --map COLUMN=date.")
    order = pc.array_sort_indices(dates)
    cut = dates[order[min(known - 1, round(known * (1 - share)))].as_py()]
    return np.asarray(pc.fill_null(pc.greater_equal(dates, cut), False))
