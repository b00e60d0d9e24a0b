"""A sample of documents that depends on the documents alone: the same however the corpus is cut, killed or resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SAMPLE_BYTES = 1 << 20
"""Bytes of text that the sample of a large corpus has, about; a smaller corpus is taken whole."""
CLIP_CHARACTERS = 20_000
"""Characters of one document that the sample takes: a book must not be the whole sample."""

Uint64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Documents of a part, drawn by hash; parts are joined in the order of the corpus."""

    key: Uint64s
    """Hash of each document and its place: who is drawn, and in which order."""
    text: pa.StringArray
    documents: int = 0
    """Documents that it was drawn from."""
    bytes: int = 0
    """UTF-8 bytes that it was drawn from."""

    def first(self, count: int) -> pa.StringArray:
        """The `count` documents with the smallest keys: a smaller sample of the same kind."""
        return self.text.take(pa.array(np.argsort(self.key, kind="stable")[:count]))


def share_of(corpus_bytes: int, budget: int = SAMPLE_BYTES) -> float:
    """Share of documents to draw so that the sample has about `budget` bytes."""
    return min(1.0, budget / corpus_bytes) if corpus_bytes else 1.0


def draw(text: pa.StringArray, digests: Uint64s, first_number: int, share: float) -> Sample:
    """Draw from consecutive documents.

    Args:
        text: of every document.
        digests: of every document, shape (documents,).
        first_number: place of the first one in the corpus; copies of one text are drawn each by itself.
        share: of documents to draw, from `share_of`.
    """
    key = _mixed(digests ^ _mixed(np.arange(first_number, first_number + len(text), dtype=np.uint64)))
    size = int(pc.sum(pc.binary_length(text)).as_py() or 0)
    if share < 1:
        drawn = key < np.uint64(int(share * 2.0**64))
        text, key, count = text.filter(pa.array(drawn)), key[drawn], len(key)
    else:
        count = len(key)
    return Sample(key, pc.utf8_slice_codeunits(text, 0, CLIP_CHARACTERS), count, size)


def joined(parts: Sequence[Sample]) -> Sample:
    """The sample of all parts."""
    return Sample(
        np.concatenate([part.key for part in parts]) if parts else np.zeros(0, np.uint64),
        pa.concat_arrays([part.text for part in parts]) if parts else pa.array([], pa.string()),
        sum(part.documents for part in parts),
        sum(part.bytes for part in parts),
    )


def _mixed(values: Uint64s) -> Uint64s:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
