"""The documents of a shard that share most with a text, by the spans that they have in common with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.index import SpanIndex
from biasaudit.corpus.index_match import Query, occurrences

RUN = 3
"""Tokens a shared run needs to count; shorter ones are in every document. (Fewer when no document shares as many.)"""
_OCCURRENCES = 64
"""Places looked at for one span: one that stands in more documents tells little about any of them."""
_CANDIDATES = 200
_CELLS = 200_000_000
"""Query tokens × document tokens that are compared at most; some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """What one document shares with the text."""

    document: int
    """Counted from 0 in the shard."""
    covered: int
    """Tokens of the text in runs of `RUN` or more that the document has too."""
    span: int
    """Tokens of the longest run."""
    start: int
    """Where the longest run begins in the text."""
    tokens: int
    """Tokens of the document."""


def nearest(index: SpanIndex, token_ids: Sequence[int] | npt.NDArray[Any], k: int = 10) -> list[Near]:
    """The `k` documents that cover most of a text, longest span first among equals, then the earlier document.

    Candidates are the documents of the text's longest spans and of its runs of 8, 5 and 3 tokens, 64 places a run and
    200 documents in all; what a candidate shares is then counted exactly.

    Args:
        index: of the shard.
        token_ids: of the text.
        k: documents wanted.
    """
    tokens = np.asarray(token_ids, np.int64).reshape(-1)
    if not len(tokens) or k < 1:
        return []
    barred = index.barred(tokens)
    query = index.query(tokens, more=barred)
    found = _compare(index, query, tokens, _candidates(index, query, max(k, _CANDIDATES)))
    return sorted(
        (near for near in found if near.covered), key=lambda near: (-near.span, -near.covered, near.document)
    )[:k]


def _candidates(index: SpanIndex, query: Query, most: int) -> list[int]:
    """Documents in which spans of the text stand, those with the most shared tokens first."""
    lengths, _ = index.match(query)
    votes: Counter[int] = Counter()
    positions = np.arange(len(lengths))
    maximal = np.ones(len(lengths), np.bool_)
    maximal[1:] = lengths[1:] >= lengths[:-1]
    for size in (0, 8, 5, RUN):
        at = positions[maximal & (lengths > 0)] if size == 0 else positions[lengths >= size]
        if len(at) and len(votes) < most:
            spans = lengths[at] if size == 0 else np.full(len(at), size)
            for document, weight in _holders(index, query, at, spans):
                votes[document] += weight
    return [document for document, _ in sorted(votes.items(), key=lambda item: (-item[1], item[0]))[:most]]


def _holders(
    index: SpanIndex, query: Query, at: npt.NDArray[np.int64], spans: npt.NDArray[np.int64]
) -> list[tuple[int, int]]:
    """(document, tokens) for every document and span that stands in it."""
    found: list[tuple[int, int]] = []
    for block in index.blocks:
        low, high = occurrences(block, query, at, spans)
        count = np.minimum(high - low, _OCCURRENCES)
        held = np.repeat(np.arange(len(at)), count)
        within = np.arange(len(held)) - np.repeat(np.cumsum(count) - count, count)
        documents = index.document_at(block.place(low[held] + within))
        pairs = np.unique(np.stack([held, documents], axis=1), axis=0)
        found += zip(pairs[:, 1].tolist(), spans[pairs[:, 0]].tolist(), strict=True)
    return found


def _compare(index: SpanIndex, query: Query, tokens: npt.NDArray[np.int64], documents: Sequence[int]) -> list[Near]:
    """What each document shares with the text: the longest common run that ends at every token, by a table of runs."""
    held: list[npt.NDArray[np.int64]] = []
    room = _CELLS // len(tokens)
    for number in documents:
        text = index.document(number)
        if held and room < len(text):
            break
        room -= len(text)
        held += [text, np.array([index.made.eot_id])]
    if not held:
        return []
    joined = np.concatenate(held)
    sizes = [len(text) for text in held[::2]]
    begins = np.cumsum([0, *(size + 1 for size in sizes)])[:-1]
    ending = np.zeros((len(tokens), len(sizes)), np.int64)
    runs = np.zeros(len(joined) + 1, np.int64)
    for position, token in enumerate(tokens.tolist()):
        if query.ends[position] == position:
            runs[:] = 0
            continue
        runs[1:] = np.where(joined == token, runs[:-1] + 1, 0)
        ending[position] = np.maximum.reduceat(runs[1:], begins)
    run = min(RUN, int(ending.max()))
    compared = zip(documents, sizes, strict=False)
    return [_near(ending[:, n], number, size, run) for n, (number, size) in enumerate(compared)]


def _near(ending: npt.NDArray[np.int64], document: int, tokens: int, run: int) -> Near:
    """One document's share, from the longest common run that ends at every token of the text."""
    span = int(ending.max())
    last = int(ending.argmax())
    ends = np.flatnonzero(ending >= run)
    inside = np.zeros(len(ending) + 1, np.int64)
    np.add.at(inside, ends - ending[ends] + 1, 1)
    np.add.at(inside, ends + 1, -1)
    covered = int((np.cumsum(inside)[:-1] > 0).sum())
    return Near(document=document, covered=covered, span=span, start=last - span + 1, tokens=tokens)
