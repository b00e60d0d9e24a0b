"""The span index of a token shard: the longest token span that a text shares with a corpus, and where it stands.

Exact up to `limit` tokens (4,096), not a filter: no span is missed and none is made up. What counts as one span:

- it lies within one document: end-of-text ends it;
- it holds no typed placeholder (`[LINK]`, `[CPF]` …): that two texts were masked alike is no copying (CONTRACT §3).

The index lives under `CORPUS/index/`, in a folder named after everything that it was made from, so that an index of
another shard is never read. It can be deleted at any time; the next use makes it again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit import identity
from biasaudit.corpus import index_build as building
from biasaudit.corpus.index_build import BLOCK, LIMIT, Made, Progress
from biasaudit.corpus.index_match import Block, Query, cut, longest, occurrences
from biasaudit.errors import StoreError

Barred = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]
"""Which of these tokens no span may hold."""

BATCH = 1 << 16
"""Query tokens that are looked up together; some 100 bytes each."""


@dataclass(frozen=True, slots=True)
class Spans:
    """The longest common span of each query; all arrays have one number a query."""

    lengths: npt.NDArray[np.int64]
    """Tokens; 0 when the query shares no token with the corpus."""
    starts: npt.NDArray[np.int64]
    """Where the span begins in the query; −1 without one."""
    places: npt.NDArray[np.int64]
    """One place in the shard where it stands; −1 without one."""
    documents: npt.NDArray[np.int64]
    """Number of the document that holds that place, counted from 0 in the shard; −1 without one."""


class SpanIndex:
    """An index that was opened and whose every file is as it was written.

    Attributes:
        made: what it was made from.
        ends: places of end-of-text in the shard, ascending.
        text: the shard's tokens.
    """

    def __init__(self, shard: Path, folder: Path, made: Made, *, barred: Barred | None = None) -> None:
        """Open the index of `shard` in `folder`; callers use `open_index`.

        Raises:
            StoreError: a file of it is missing or damaged.
        """
        self.made = made
        self.text = building.mapped(shard, made.dtype)
        _verify(folder, made)
        self.ends = building.mapped(folder / "ends.bin", "int64")
        self.blocks = tuple(
            Block(
                self.text,
                start,
                building.mapped(folder / f"{number:05}.sa", "uint32"),
                building.mapped(folder / f"{number:05}.keys", "uint64"),
                made.eot_id,
            )
            for number, (start, _) in enumerate(made.blocks())
        )
        self._barred = barred

    @property
    def documents(self) -> int:
        """Documents in the shard; tokens behind the last end-of-text are one more."""
        tail = self.made.tokens > (int(self.ends[-1]) + 1 if len(self.ends) else 0)
        return len(self.ends) + tail

    def document_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number of the document that holds each place; −1 for −1."""
        return np.where(places < 0, -1, np.searchsorted(self.ends, places))

    def document(self, number: int) -> npt.NDArray[np.int64]:
        """The tokens of one document, without its end-of-text."""
        start = int(self.ends[number - 1]) + 1 if number else 0
        stop = int(self.ends[number]) if number < len(self.ends) else self.made.tokens
        return self.text[start:stop].astype(np.int64)

    def query(self, tokens: npt.NDArray[np.int64], *, more: npt.NDArray[np.bool_] | None = None) -> Query:
        """Tokens as a query, cut at end-of-text, placeholders, ids that the shard cannot hold, and `more`."""
        bits = 8 * self.text.dtype.itemsize
        barred = (tokens == self.made.eot_id) | (tokens < 0) | (tokens >= 1 << bits)
        if more is not None:
            barred |= more
        return cut(tokens, barred, bits=bits)

    def barred(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tokens of placeholders."""
        return np.zeros(len(tokens), np.bool_) if self._barred is None else self._barred(tokens)

    def match(self, query: Query) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Length and place of the longest span that begins at every position of a query."""
        lengths = np.zeros(len(query.keys), np.int64)
        places = np.full(len(query.keys), -1, np.int64)
        for block in self.blocks:
            found, where = longest(block, query, self.made.limit)
            better = found > lengths
            lengths[better], places[better] = found[better], where[better]
        return lengths, places

    def times(self, token_ids: Sequence[int] | npt.NDArray[Any]) -> int:
        """How many times a text stands in the shard, overlaps included; 0 where it holds what no span may pass."""
        tokens = np.asarray(token_ids, np.int64).reshape(-1)
        query = self.query(tokens)
        if not len(tokens) or query.ends[0] < len(tokens):
            return 0
        at, whole = np.zeros(1, np.int64), np.array([len(tokens)], np.int64)
        ranges = (occurrences(block, query, at, whole) for block in self.blocks)
        return int(sum((high - low)[0] for low, high in ranges))

    def longest_common_span(self, token_ids: Sequence[int]) -> int:
        """Length in tokens of the longest span that also stands in the corpus; many texts at once are quicker."""
        return int(self.longest_common_spans([token_ids]).lengths[0])

    def longest_common_spans(
        self, queries: Sequence[Sequence[int] | npt.NDArray[Any]], progress: Progress | None = None
    ) -> Spans:
        """The longest common span of every query, the first of them when several are as long.

        Args:
            queries: token ids of each text.
            progress: called with (queries done, queries in all).

        Returns:
            One row a query, in the order given.
        """
        count = len(queries)
        arrays = [np.asarray(ids, np.int64).reshape(-1) for ids in queries]
        sizes = np.array([len(ids) for ids in arrays], np.int64)
        lengths, starts, places = np.zeros(count, np.int64), np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        first = 0
        for last in _batches(sizes):
            span = slice(first, last)
            lengths[span], starts[span], places[span] = self._batch(arrays[span])
            first = last
            if progress is not None:
                progress(last, count)
        return Spans(lengths, starts, places, self.document_at(places))

    def _batch(self, arrays: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], ...]:
        """(lengths, starts, places) of a few queries, looked up as one with an end behind each."""
        end = np.array([self.made.eot_id], np.int64)
        tokens = np.concatenate([part for ids in arrays for part in (ids, end)])
        behind = np.cumsum([len(ids) + 1 for ids in arrays])
        begin = behind - np.array([len(ids) + 1 for ids in arrays])
        more = np.concatenate([part for ids in arrays for part in (self.barred(ids), np.ones(1, np.bool_))])
        found, where = self.match(self.query(tokens, more=more))
        best = np.maximum.reduceat(found, begin)
        owner = np.repeat(np.arange(len(arrays)), behind - begin)
        winners = np.flatnonzero(found == best[owner])
        winner = winners[np.unique(owner[winners], return_index=True)[1]]
        none = best == 0
        return best, np.where(none, -1, winner - begin), np.where(none, -1, where[winner])


def open_index(
    corpus: Path, side: str, *, dtype: str, eot_id: int, barred: Barred | None = None, block: int = BLOCK,
    limit: int = LIMIT, make: bool = True, progress: Progress | None = None,
) -> SpanIndex:  # fmt: skip
    """Open the index of one shard of a corpus folder, made first when it is missing, unfinished, stale or damaged.

    Args:
        corpus: the folder.
        side: `train` or `val`: which shard.
        dtype: the shard's numbers, `uint16` or `uint32`.
        eot_id: its end-of-text.
        barred: tells the tokens that no span may hold; `placeholders.Placeholders` with the corpus's tokenizer.
        block: tokens sorted at a time: more take more memory and make queries of large corpora quicker.
        limit: longest span that is measured.
        make: False: only open one that is there.
        progress: called with (tokens indexed, tokens in all).

    Raises:
        CorpusError: no such shard, or a damaged one.
        UsageError: the extra `search` is not installed, or an option that cannot work.
        RunLockedError: another process is making this index.
        StoreError: the index cannot be written; or none is there and `make` is False.
    """
    shard = corpus / f"{side}.bin"
    made = building.describe(shard, dtype=dtype, eot_id=eot_id, block=block, limit=limit)
    home = corpus / "index"
    folder = home / f"{side}-{made.name}"
    try:
        return SpanIndex(shard, folder, made, barred=barred)
    except StoreError:
        if not make:
            raise
    with building.single_writer(home):
        if not _is_whole(folder, made):
            for other in home.glob(f"{side}-*"):
                if other != folder or (other / "index.json").exists():
                    shutil.rmtree(other)
            building.build(shard, made, folder, progress)
    return SpanIndex(shard, folder, made, barred=barred)


def has_index(corpus: Path, side: str = "train") -> bool:
    """Whether a finished index of this shard is there; it may be stale, which `open_index` finds out."""
    return any((corpus / "index").glob(f"{side}-*/index.json"))


def _verify(folder: Path, made: Made) -> None:
    """Stop unless every file of the index is there as it was written.

    Raises:
        StoreError: which file is not.
    """
    try:
        whole = json.loads((folder / "index.json").read_text("utf-8"))
        files = whole["files"].items()
        for name, sha256 in files:
            if identity.file_hash(folder / name) != sha256:
                raise StoreError(f"{folder / name}: was changed since it was written. Delete the folder; use makes it.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder}: no finished index ({type(error).__name__}). Delete the folder if it is there."
        ) from error
    wanted = {f"{n:05}.{part}" for n in range(len(made.blocks())) for part in ("sa", "keys")} | {"ends.bin"}
    if {name for name, _ in files} != wanted:
        raise StoreError(f"{folder}: the index is incomplete. Delete the folder; the next use makes it again.")


def _is_whole(folder: Path, made: Made) -> bool:
    try:
        _verify(folder, made)
    except StoreError:
        return False
    return True


def _batches(sizes: npt.NDArray[np.int64]) -> list[int]:
    """Where to stop so that each batch has at most `BATCH` tokens, or one query."""
    stops: list[int] = []
    held = 0
    for number, size in enumerate(sizes.tolist()):
        if held and held + size > BATCH:
            stops.append(number)
            held = 0
        held += size + 1
    return [*stops, len(sizes)] if len(sizes) else []


__all__ = ["BATCH", "BLOCK", "LIMIT", "Barred", "SpanIndex", "Spans", "has_index", "open_index"]
