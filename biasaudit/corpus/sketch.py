"""What duplicates are found by: a digest of a text's bytes, and a MinHash signature of its word triples.

Two texts are near when they share most of their word triples. A word is a run of letters and digits in lower case;
blanks, punctuation and emoji only part words, so that a forward with a pointing hand, another case or other quotation
marks has the triples of its original. `[LINK]` and its like count as the word in the brackets; scripts that are
written without blanks count every character as a word.

MinHash: Broder, "On the resemblance and containment of documents" (1997). The share of equal values in two signatures
estimates the Jaccard similarity J of the sets of triples, with standard error √(J (1 − J) / PERMUTATIONS).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PERMUTATIONS = 128
"""Values of a signature; 4 bytes each."""
SHORTEST = 8
"""Words. A shorter text has too few triples to tell a copy from an accident, and gets the reserved row."""
NO_SIGNATURE = 0xFFFFFFFF
"""Every value of the row of a text that is too short."""

UInt64s = npt.NDArray[np.uint64]
UInt32s = npt.NDArray[np.uint32]
_Int64s = npt.NDArray[np.int64]

_SLICE = 1 << 20
"""Bytes of text taken at once: what one slice needs (about 30 times as much) stays small, and near the processor."""
_STEP = 64
"""Bytes of a word that count, besides its length."""
_SEED = 1
"""Of the library's permutations; a part of what a signature means."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_SPLITS, _PART, _ALONE = 0, 1, 2


def digests(text: pa.StringArray) -> UInt64s:
    """A 128-bit BLAKE2b digest of every text's UTF-8 bytes, shape (texts, 2): equal digests, equal texts."""
    raw = b"".join([hashlib.blake2b(one, digest_size=16).digest() for one in text.cast(pa.binary()).to_pylist()])
    return np.frombuffer(raw, "<u8").reshape(-1, 2)


def signatures(text: pa.StringArray) -> UInt32s:
    """A MinHash signature of every text, shape (texts, PERMUTATIONS); all NO_SIGNATURE when it is too short.

    A pure function of the text: neither the neighbours in the array nor the machine play a part.
    """
    found = np.full((len(text), PERMUTATIONS), NO_SIGNATURE, np.uint32)
    for start, part in _slices(text):
        if len(part) == 1 and pc.binary_length(part)[0].as_py() > _SLICE:
            found[start] = signatures(_pieces(part[0].as_py())).min(axis=0)
            continue
        triples, first = _triples(*_word_hashes(part))
        compared = np.flatnonzero(np.diff(first))
        if compared.size:
            rows = _minima(triples, np.append(first[compared], first[-1]))
            found[start + compared] = np.minimum(rows, NO_SIGNATURE - 1)
    return found


def _slices(text: pa.StringArray) -> Iterator[tuple[int, pa.StringArray]]:
    """Consecutive texts of about `_SLICE` bytes, each with the number of its first."""
    ends = np.cumsum(np.asarray(pc.binary_length(text), np.int64))
    start = 0
    while start < len(text):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _SLICE, "right")))
        yield start, text.slice(start, stop - start)
        start = stop


def _pieces(text: str) -> pa.StringArray:
    """A text too long for one slice in pieces; the two triples that every cut destroys are too few to matter."""
    size = _SLICE // 4
    return pa.array([text[at : at + size] for at in range(0, len(text), size)], pa.string())


def _word_hashes(text: pa.StringArray) -> tuple[UInt64s, _Int64s]:
    """A hash of every word of all texts, and the number of each text's first word, shape (texts + 1,)."""
    lower = pa.concat_arrays([pc.utf8_lower(text)])
    limits = np.frombuffer(lower.buffers()[1], np.int32, len(text) + 1, lower.offset * 4).astype(np.int64)
    raw = np.zeros(limits[-1] - limits[0] + 8, np.uint8)
    if limits[-1] > limits[0]:
        raw[:-8] = np.frombuffer(lower.buffers()[2], np.uint8)[limits[0] : limits[-1]]
    limits -= limits[0]
    starts, stops = _words(raw[:-8], limits)
    eights = np.ndarray((len(raw) - 7,), "<u8", raw, strides=(1,))
    lengths = stops - starts
    hashes = eights[starts] & _MASKS[np.minimum(lengths, 8)]
    hashes = _mixed(hashes)
    for at in range(8, _STEP, 8):
        longer = np.flatnonzero(lengths > at)
        if not longer.size:
            break
        value = eights[starts[longer] + at] & _MASKS[np.minimum(lengths[longer] - at, 8)]
        hashes[longer] = _mixed(hashes[longer] ^ value ^ lengths[longer].astype(np.uint64))
    return hashes, np.searchsorted(starts, limits)


def _words(raw: npt.NDArray[np.uint8], limits: _Int64s) -> tuple[_Int64s, _Int64s]:
    """Where the words of lower-cased texts begin and end; `limits` part the texts, shape (texts + 1,)."""
    inside = _ASCII[raw]
    lead = np.flatnonzero(raw >= 0xC0)
    kind = _KINDS[raw[lead] - 0xC0, raw[lead + 1] & 0x3F]
    for more, least in enumerate((0xC0, 0xC0, 0xE0, 0xF0)):
        long = raw[lead] >= least
        inside[lead[long] + more] = kind[long] != _SPLITS
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    forced = np.concatenate([limits[:-1][limits[:-1] < len(raw)], lead[kind == _ALONE]])
    begins[forced] = inside[forced]
    ends = inside.copy()
    ends[:-1] &= ~inside[1:] | begins[1:]
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _triples(words: UInt64s, first: _Int64s) -> tuple[UInt64s, _Int64s]:
    """A hash of every three words in a row of a text, and the number of each text's first, shape (texts + 1,)."""
    count = np.diff(first)
    count = np.where(count < SHORTEST, 0, count - 2)
    edges = np.concatenate([[0], np.cumsum(count)])
    used = np.flatnonzero(count)
    at = np.arange(edges[-1]) + np.repeat(first[:-1][used] - edges[:-1][used], count[used])
    mixed = _mixed(_mixed(words[at] + _MIX) ^ words[at + 1])
    return _mixed(mixed + _MIX ^ words[at + 2]), edges


def _mixed(value: UInt64s) -> UInt64s:
    value = (value ^ (value >> _HALF)) * _MIX
    return value ^ (value >> _HALF)


def _minima(triples: UInt64s, edges: _Int64s) -> UInt32s:
    """Smallest value of every permutation over each text's triples, shape (texts, PERMUTATIONS)."""
    import rensa

    rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(triples, edges.astype(np.uint64), PERMUTATIONS, _SEED)
    return np.array(rows.to_rows(), np.uint32)


def _ascii() -> npt.NDArray[np.bool_]:
    return np.array([chr(byte).isalnum() if byte < 0x80 else False for byte in range(256)])


def _kinds() -> npt.NDArray[np.uint8]:
    """What a character beyond ASCII is, by its first byte − 0xC0 and the six low bits of its second, shape (64, 64)."""
    kinds = np.full((64, 64), _PART, np.uint8)
    splitting = {
        0xC2: range(0x80, 0xC0),  # no-break space, « » ¿ ¡
        0xC3: (0x97, 0xB7),  # × ÷
        0xE2: range(0x80, 0xB0),  # punctuation, arrows, symbols
        0xEE: range(0x80, 0xC0),  # private use
        0xEF: (*range(0x80, 0xA4), 0xB8, 0xBF),  # private use, variation selectors, the replacement character
        0xF0: (0x9F,),  # emoji
        0xF3: range(0x80, 0xC0),  # tags, private use
        0xF4: range(0x80, 0xC0),
    }
    for first in range(0xE3, 0xEE):
        kinds[first - 0xC0] = _ALONE
    kinds[0xE3 - 0xC0, 0x00] = _SPLITS
    for first, seconds in splitting.items():
        kinds[first - 0xC0, [second & 0x3F for second in seconds]] = _SPLITS
    return kinds


_ASCII = _ascii()
_KINDS = _kinds()
