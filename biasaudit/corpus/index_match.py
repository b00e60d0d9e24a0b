"""Longest matches of many query positions in one block of the span index, all positions at once.

Keys are a few tokens in 64 bits, the first in the highest, so that comparing keys compares tokens. A round looks up
the next key of every position in the interval of suffixes that share all tokens before it, by binary search; a
position leaves when its key is not there (its neighbours then tell how many tokens are) or when one suffix is left,
along which it is followed token by token. Neighbouring positions that follow the same passage are followed once.

No query token is end-of-text, so no match can run over the end of a document. Queries end in zeros, the least token:
the first suffix that is not below such a key has the longest match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.index_build import STRIDE, keys_at

Places = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Query:
    """Token sequences one after another, cut where no span may pass."""

    keys: Keys
    """At every position the tokens from there on; zeros behind the last."""
    ends: Places
    """For every position the end of its stretch; the position itself where no span may begin."""
    width: int
    """Tokens a key."""
    bits: int
    """Bits a token."""

    def key(self, positions: Places, left: Places) -> Keys:
        """The next tokens of each position, zeros in the place of those that are not `left` any more."""
        missing = np.clip(self.width - left, 0, self.width).astype(np.uint64)
        shift = missing * np.uint64(self.bits)
        # A shift by all 64 bits is undefined, and no caller has nothing left.
        left_over: Keys = (self.keys[positions] >> shift) << shift
        return left_over

    def common(self, a: Keys, b: Keys) -> Places:
        """Leading tokens that two keys share."""
        differ = a ^ b
        found = np.zeros(len(differ), np.int64)
        for tokens in range(1, self.width + 1):
            found += (differ >> np.uint64(self.bits * (self.width - tokens))) == 0
        return found


def cut(tokens: npt.NDArray[np.int64], barred: npt.NDArray[np.bool_], *, bits: int) -> Query:
    """Make a query of `tokens`; spans neither begin at nor pass a `barred` one.

    Args:
        tokens: ids below 2^bits where they are not barred.
        barred: of the same length.
        bits: of one token in the shard, 16 or 32.
    """
    width, size = 64 // bits, len(tokens)
    padded = np.zeros(size + width, np.uint64)
    padded[:size] = np.where(barred, 0, tokens)
    keys = np.zeros(size, np.uint64)
    for step in range(width):
        keys = (keys << np.uint64(bits)) | padded[step : step + size]
    stops = np.where(barred, np.arange(size), size)
    ends = np.minimum.accumulate(stops[::-1])[::-1]
    return Query(keys, ends, width, bits)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the index over the whole shard's tokens."""

    text: npt.NDArray[Any]
    start: int
    order: npt.NDArray[np.uint32]
    """Starts of the block's suffixes, relative to the block, sorted."""
    samples: Keys
    """Keys of every `STRIDE`-th of them."""
    eot_id: int

    def place(self, ranks: Places) -> Places:
        """Where in the shard the suffixes of these ranks start."""
        return self.order[ranks].astype(np.int64) + self.start

    def key(self, ranks: Places, depth: int) -> Keys:
        """Keys of the suffixes of these ranks, `depth` tokens in."""
        return keys_at(self.text, self.place(ranks) + depth, self.eot_id)

    def search(self, keys: Keys, low: Places, high: Places, depth: int, *, above: bool = False) -> Places:
        """First rank in [low, high) whose key is not below (`above`: is above) the wanted one; `high` when none is."""
        low, high = low.copy(), high.copy()
        if depth == 0:
            found = np.searchsorted(self.samples, keys, side="right" if above else "left").astype(np.int64)
            low = np.maximum(low, (found - 1) * STRIDE + 1)
            high = np.minimum(high, np.where(found < len(self.samples), found * STRIDE, len(self.order)))
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_]) >> 1
            there, wanted = self.key(middle, depth), keys[open_]
            below = there <= wanted if above else there < wanted
            low[open_[below]] = middle[below] + 1
            high[open_[~below]] = middle[~below]
            open_ = open_[low[open_] < high[open_]]
        return low


def longest(block: Block, query: Query, limit: int) -> tuple[Places, Places]:
    """The longest match of every query position in the block.

    Returns:
        (lengths, places): tokens matched, at most `limit`, and where in the shard; place −1 where the length is 0.
    """
    size = len(query.keys)
    lengths, places = np.zeros(size, np.int64), np.full(size, -1, np.int64)
    alone = np.full(size, -1, np.int64)
    left = np.minimum(query.ends - np.arange(size), limit)
    at = np.flatnonzero(left > 0)
    low, high = np.zeros(len(at), np.int64), np.full(len(at), len(block.order), np.int64)
    depth = 0
    while len(at):
        keys = query.key(at + depth, left[at] - depth)
        first, matched, where = _look(block, query, keys, low, high, depth)
        matched = np.minimum(matched, left[at] - depth)
        hit = matched > 0
        lengths[at[hit]] = depth + matched[hit]
        places[at[hit]] = block.place(where[hit])
        on = (matched == query.width) & (left[at] - depth > query.width)
        at, first, high, keys = at[on], first[on], high[on], keys[on]
        last = _last(block, keys, first, high, depth)
        one = last - first == 1
        alone[at[one]] = lengths[at[one]]
        at, low, high = at[~one], first[~one], last[~one]
        depth += query.width
    _follow(block, query, lengths, places, alone)
    return np.minimum(lengths, limit), places


def _look(
    block: Block, query: Query, keys: Keys, low: Places, high: Places, depth: int
) -> tuple[Places, Places, Places]:
    """(first rank not below the key, tokens of the key matched, rank that matches so many)."""
    first = block.search(keys, low, high, depth)
    after, before = np.minimum(first, high - 1), np.maximum(first - 1, low)
    # Nearest neighbours share the most: either may be outside the interval, and then stands for the other.
    right = query.common(block.key(after, depth), keys)
    behind = np.flatnonzero(right < query.width)
    matched, where = right, after
    other = query.common(block.key(before[behind], depth), keys[behind])
    better = other > right[behind]
    matched[behind[better]] = other[better]
    where[behind[better]] = before[behind[better]]
    return first, matched, where


def _last(block: Block, keys: Keys, first: Places, high: Places, depth: int) -> Places:
    """Rank behind the suffixes that go on with the key, given the first of them."""
    last = first + 1
    more = np.flatnonzero(last < high)
    more = more[block.key(last[more], depth) == keys[more]]
    last[more] = high[more]
    # Copies of one passage fill their interval to its end; asking for the end spares them the search.
    more = more[block.key(high[more] - 1, depth) != keys[more]]
    last[more] = block.search(keys[more], first[more], high[more], depth, above=True)
    return last


def _follow(block: Block, query: Query, lengths: Places, places: Places, alone: Places) -> None:
    """Follow every position that has one suffix left as far as the query goes; updates `lengths`."""
    at = np.flatnonzero(alone >= 0)
    if not len(at):
        return
    follows = np.zeros(len(at), np.bool_)
    follows[1:] = (np.diff(at) == 1) & (np.diff(places[at]) == 1)
    leads = at[~follows]
    going, depth = leads, alone[leads]
    while len(going):
        left = query.ends[going] - going - depth
        keys = query.key(going + depth, left)
        there = keys_at(block.text, places[going] + depth, block.eot_id)
        matched = np.minimum(query.common(there, keys), left)
        lengths[going] = depth + matched
        on = (matched == query.width) & (left > query.width)
        going, depth = going[on], depth[on] + query.width
    leader = np.maximum.accumulate(np.where(follows, -1, np.arange(len(at))))
    lengths[at] = (at + lengths[at])[leader] - at


def occurrences(block: Block, query: Query, at: Places, spans: Places) -> tuple[Places, Places]:
    """Ranks [low, high) of the suffixes that begin with the query's `spans` tokens at each position `at`.

    Args:
        block: where to look.
        query: the tokens.
        at: positions, each with at least its span before its end.
        spans: tokens of each span, at least 1.
    """
    low, high = np.zeros(len(at), np.int64), np.full(len(at), len(block.order), np.int64)
    depth = 0
    open_ = np.arange(len(at))
    while len(open_):
        left = spans[open_] - depth
        keys = query.key(at[open_] + depth, left)
        missing = np.clip(query.width - left, 0, query.width).astype(np.uint64) * np.uint64(query.bits)
        greatest = keys | ((np.uint64(1) << missing) - np.uint64(1))
        first = block.search(keys, low[open_], high[open_], depth)
        high[open_] = block.search(greatest, first, high[open_], depth, above=True)
        low[open_] = first
        depth += query.width
        open_ = open_[(left > query.width) & (low[open_] < high[open_])]
    return low, high
