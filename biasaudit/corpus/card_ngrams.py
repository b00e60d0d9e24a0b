"""The most frequent word n-grams of a sample of documents, counted once a document.

Read after masking, and looked at once more before they are listed: placeholders and long numbers break an n-gram, and
none is listed that fewer than `MIN_DOCUMENTS` documents share, so that no single author's words can be seen in it. An
n-gram does not cross the end of a sentence, of a line or of a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.card_sample import Sample
from biasaudit.corpus.privacy import mask_batch

LENGTHS = (1, 2, 3, 4, 5)
TOP = 20
"""N-grams listed of each length."""
MIN_DOCUMENTS = 5
UNMASKED_BYTES = 1 << 18
"""Bytes of a sample that are masked and counted when the corpus itself was not masked."""
LONG_NUMBER = 5
"""Digits from which a number breaks an n-gram: it may be a piece of somebody's telephone or card."""
_PLACEHOLDER = r"\[[A-Z][A-Z0-9_-]{1,30}\]"
_NUMBER = rf"[0-9][0-9.,/-]{{{LONG_NUMBER - 2},}}[0-9]"
_WIDEST = 64
"""Bytes of a word; a longer one is a wall of text, not a word."""

_STOP = """
    a à ao aos as às até com como da das de dela dele deles do dos e é ela elas ele eles em entre era essa esse esta
    está estão este eu foi foram há isso isto já lá lhe mais mas me mesmo meu meus minha muito na nas nem no nos nós
    não o os ou para pela pelas pelo pelos por pra pro quando que quem se sem ser seu seus si só sua suas são também te
    tem têm ter tu tua um uma umas uns vai você vocês
    an and are at be been but by for from had has have he her his i if in is it its my not of on or our she so than
    that the their them they this to was we were which who will with you your
    al del el en la las los lo por su un y con
"""
STOP_WORDS = frozenset(_STOP.split())
"""Portuguese, English and the commonest of Spanish; an n-gram of nothing but these says nothing."""

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """The words of a sample in order, each with what decides where an n-gram may stand."""

    text: pa.DictionaryArray
    run: Int64s
    """Number of the sentence: an n-gram stays in one."""
    document: Int64s


def ngrams(sample: Sample, *, masked: bool = True, top: int = TOP) -> dict[str, Any]:
    """The card's `ngrams`: for each length the `top` n-grams by the number of the sample's documents that hold them.

    Args:
        sample: from `card_sample.draw`.
        masked: whether its texts went through the whole privacy stage; if not, a part of them is masked here.
        top: n-grams of each length.
    """
    sample = sample if masked else _masked(sample)
    words = _words(sample.text)
    found: dict[str, list[dict[str, Any]]] = {}
    codes = words.text.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    vocabulary = words.text.dictionary
    idle = pc.is_in(vocabulary, value_set=pa.array(sorted(STOP_WORDS))).to_numpy(zero_copy_only=False)[codes]
    weights = _hashes(len(vocabulary))[codes]
    places = np.arange(len(codes))
    hashes, only_idle = np.zeros(len(codes), np.uint64), np.ones(len(codes), bool)
    for length in LENGTHS:
        ends = places + length - 1
        inside = ends < len(codes)
        places, ends, hashes, only_idle = places[inside], ends[inside], hashes[inside], only_idle[inside]
        inside = words.run[places] == words.run[ends]
        places, ends, hashes, only_idle = places[inside], ends[inside], hashes[inside], only_idle[inside]
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + weights[ends]
        only_idle = only_idle & idle[ends]
        frequent, groups = _frequent(hashes)
        places, hashes, only_idle = places[frequent], hashes[frequent], only_idle[frequent]
        listed = [(-count, _spelled(vocabulary, codes, places[i], length))
                  for count, i in _by_documents(groups, words.document[places], ~only_idle, 2 * top)]  # fmt: skip
        listed.sort()
        texts = pa.array([text for _, text in listed], pa.string())
        same = pc.equal(mask_batch(texts).text, texts).to_pylist()
        found[str(length)] = [
            {"text": text, "documents": -count} for (count, text), safe in zip(listed, same, strict=True) if safe
        ][:top]
    return {
        "sample": {
            "documents": len(sample.text),
            "share_of_documents": round(len(sample.text) / sample.documents, 6) if sample.documents else None,
            "bytes": int(pc.sum(pc.binary_length(sample.text)).as_py() or 0),
            "words": len(codes),
        },
        "min_documents": MIN_DOCUMENTS,
        "top": found,
    }


def _masked(sample: Sample) -> Sample:
    """The documents with the smallest keys, masked: masking all of a sample would take longer than the rest."""
    order = np.argsort(sample.key, kind="stable")
    sizes = pc.binary_length(sample.text).to_numpy(zero_copy_only=False)[order]
    chosen = order[np.cumsum(sizes) <= UNMASKED_BYTES]
    text = mask_batch(sample.text.take(pa.array(chosen))).text
    return Sample(sample.key[chosen], text, sample.documents, sample.bytes)


def _words(text: pa.StringArray) -> _Words:
    """Lower-case words; letters are told from other characters by the first byte of their UTF-8 form."""
    for pattern in (_PLACEHOLDER, _NUMBER):
        text = pc.replace_substring_regex(text, pattern, "\n")
    text = pc.utf8_lower(text)
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    data = text.buffers()[2]
    raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.zeros(0, np.uint8)
    offsets = offsets - offsets[0]
    kind = _KINDS[raw]
    if (kind == _REST).any():  # a continuation byte is what its character's first byte is
        leads = np.flatnonzero(kind != _REST)
        kind = np.repeat(kind[leads], np.diff(np.append(leads, len(raw))))
    inner = kind == _LETTER
    before = np.concatenate([[False], inner[:-1]]) if len(raw) else inner
    edges = offsets[:-1][offsets[:-1] < len(raw)]
    before[edges] = False
    starts = np.flatnonzero(inner & ~before)
    breaks = (kind == _BREAK).astype(np.int64)
    np.add.at(breaks, edges, 1)
    run = np.cumsum(breaks)[starts]
    document = np.searchsorted(offsets, starts, side="right") - 1
    # Every letter belongs to the word that began last, so the words' lengths are the letters between their starts.
    position = np.cumsum(inner)
    sizes = np.diff(np.append(position[starts] - 1, position[-1] if len(raw) else 0))
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    packed = pa.StringArray.from_buffers(len(starts), pa.py_buffer(ends), pa.py_buffer(raw[inner].tobytes()))
    fits = sizes <= _WIDEST
    if not fits.all():
        # A word that is left out also breaks the sentence.
        run, packed = (run + np.cumsum(~fits))[fits], packed.filter(pa.array(fits))
        document = document[fits]
    return _Words(packed.dictionary_encode(), run, document)


_OTHER, _LETTER, _BREAK, _REST = range(4)


def _kinds() -> npt.NDArray[np.uint8]:
    """What each byte value says of a character that begins with it."""
    kinds = np.full(256, _OTHER, np.uint8)
    for low, high, kind in (
        ("0", "9", _LETTER), ("a", "z", _LETTER), ("-", "-", _LETTER), ("'", "'", _LETTER), ("\n", "\r", _BREAK),
        (".", ".", _BREAK), ("!", "!", _BREAK), ("?", "?", _BREAK), (":", ";", _BREAK),
    ):  # fmt: skip
        kinds[ord(low) : ord(high) + 1] = kind
    kinds[0x80:0xC0] = _REST
    kinds[0xC3:0xE2] = _LETTER  # Latin with accents to Devanagari and Thai; C2 and E2 are punctuation and symbols
    kinds[0xE3:0xEF] = _LETTER  # kana, ideographs, Hangul; EF holds variation selectors, F0 and above emoji
    return kinds


_KINDS = _kinds()


def _hashes(count: int) -> Uint64s:
    """A fixed random number for each word, so that n-grams can be told apart by sums (Karp and Rabin 1987)."""
    return np.random.Generator(np.random.Philox(key=20210301)).integers(0, 2**64, count, np.uint64)


def _frequent(hashes: Uint64s) -> tuple[Int64s, Int64s]:
    """Indices of what occurs often enough to be listed, or to begin what is, and the group that each belongs to."""
    codes = pa.array(hashes).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    often = np.bincount(codes, minlength=1) >= MIN_DOCUMENTS
    kept = np.flatnonzero(often[codes])
    return kept, (np.cumsum(often) - 1)[codes[kept]]


def _by_documents(groups: Int64s, document: Int64s, worth: npt.NDArray[np.bool_], top: int) -> list[tuple[int, int]]:
    """(documents that hold it, index of one place of it) of the `top` groups and of all that tie with the last."""
    if not len(groups):
        return []
    # Documents rise, so within a group (a stable sort) a repeat stands right behind the place before it.
    order = np.argsort(groups, kind="stable")
    group, owner = groups[order], document[order]
    new = np.concatenate([[True], (group[1:] != group[:-1]) | (owner[1:] != owner[:-1])])
    first = np.concatenate([[True], group[1:] != group[:-1]])
    counts = np.bincount(group, weights=new).astype(np.int64)
    place = order[first]
    counts[~worth[place]] = 0
    enough = np.flatnonzero(counts >= MIN_DOCUMENTS)
    if len(enough) > top:
        enough = enough[counts[enough] >= np.partition(counts[enough], -top)[-top]]
    return [(int(counts[g]), int(place[g])) for g in enough]


def _spelled(vocabulary: pa.StringArray, codes: Int64s, place: np.int64, length: int) -> str:
    return " ".join(vocabulary[int(code)].as_py() for code in codes[place : place + length])
