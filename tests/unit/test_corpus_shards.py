"""Shards hold every document's ids once, in order, on its side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus.shards import cut, dtype_for

EOT = 9


@given(st.lists(st.tuples(st.lists(st.integers(0, 70_000), max_size=5), st.booleans()), max_size=12))
def test_every_document_lands_whole_on_its_side(documents: list[tuple[list[int], bool]]) -> None:
    ids = np.array([i for tokens, _ in documents for i in (*tokens, EOT)], np.uint32)
    counts = np.array([len(tokens) for tokens, _ in documents], np.int64)
    held = np.array([side for _, side in documents], bool)
    for side, written in zip((False, True), cut(ids, counts, held, "uint32"), strict=True):
        expected = [i for tokens, mine in documents if mine is side for i in (*tokens, EOT)]
        assert np.frombuffer(written, "<u4").tolist() == expected


def test_numbers_are_little_endian_with_an_end_behind_every_document() -> None:
    ids = np.array([1, 2, EOT, EOT, 65_535, EOT], np.uint32)
    train, val = cut(ids, np.array([2, 0, 1]), np.zeros(3, bool), dtype_for(65_536))
    assert train.tobytes() == b"\x01\0\x02\0\x09\0\x09\0\xff\xff\x09\0"
    assert val.tobytes() == b""


def test_large_vocabularies_take_four_bytes() -> None:
    assert (dtype_for(65_536), dtype_for(65_537)) == ("uint16", "uint32")


def test_ids_that_do_not_fit_or_do_not_add_up_are_refused() -> None:
    none = np.zeros(1, bool)
    with pytest.raises(ValueError, match="65536 does not fit uint16"):
        cut(np.array([65_536, EOT], np.uint32), np.array([1]), none, "uint16")
    with pytest.raises(ValueError, match="2 ids are not 1 documents"):
        cut(np.array([1, EOT], np.uint32), np.array([2]), none, "uint16")
