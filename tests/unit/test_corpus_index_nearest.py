"""The documents nearest to a text: what is shared is counted exactly, and the ranking follows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from biasaudit.corpus.index import SpanIndex, open_index
from biasaudit.corpus.index_nearest import RUN, nearest

EOT = 0


def opened(folder: Path, documents: Sequence[Sequence[int]], block: int = 1 << 20) -> SpanIndex:
    tokens = [token for ids in documents for token in (*ids, EOT)]
    np.array(tokens, "<u2").tofile(folder / "train.bin")
    return open_index(folder, "train", dtype="uint16", eot_id=EOT, block=block)


def shared(query: Sequence[int], document: Sequence[int]) -> tuple[int, int]:
    """(covered, longest run) by trying every pair of places."""
    covered, longest = set(), 0
    for i in range(len(query)):
        for j in range(len(document)):
            size = 0
            while i + size < len(query) and j + size < len(document) and query[i + size] == document[j + size] != EOT:
                size += 1
            longest = max(longest, size)
            if size >= RUN:
                covered.update(range(i, i + size))
    return len(covered), longest


def test_the_document_that_covers_most_comes_first(tmp_path: Path) -> None:
    query = list(range(100, 140))
    documents = [
        [1, 2, 3],
        [*query[:15], 7],
        [*query[5:15], 8, *query[20:35]],
        query,
        [*query[:15], 9],
    ]
    found = nearest(opened(tmp_path, documents), query, 10)
    assert [near.document for near in found] == [3, 2, 1, 4]
    assert [(near.covered, near.span) for near in found] == [(40, 40), (25, 15), (15, 15), (15, 15)]
    assert [near.start for near in found] == [0, 20, 0, 0]
    assert [near.tokens for near in found] == [40, 26, 16, 16]
    assert [near.document for near in nearest(opened(tmp_path, documents), query, 1)] == [3]


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_what_is_shared_is_counted_as_by_hand(tmp_path: Path, block: int) -> None:
    rng = np.random.default_rng(4)
    documents = [rng.integers(1, 6, int(size)).tolist() for size in rng.integers(0, 30, 60)]
    index = opened(tmp_path, documents, block)
    for _ in range(20):
        query = rng.integers(1, 7, 15).tolist()
        wanted = sorted(
            ((*shared(query, ids), number) for number, ids in enumerate(documents)), key=lambda s: (-s[1], -s[0], s[2])
        )
        found = nearest(index, query, 5)
        assert [(near.covered, near.span, near.document) for near in found] == wanted[:5]


def test_a_short_text_finds_what_holds_it(tmp_path: Path) -> None:
    index = opened(tmp_path, [[5, 6], [7, 5], [8]])
    assert [(near.document, near.covered) for near in nearest(index, [5], 5)] == [(0, 1), (1, 1)]
    assert nearest(index, [], 5) == []
    assert nearest(index, [99, EOT], 5) == []
    assert nearest(index, [5], 0) == []
