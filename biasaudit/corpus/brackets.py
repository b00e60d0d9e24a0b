"""Where the brackets of a JSON file stand, strings left out: a block of bytes at a time, in linear time.

Nothing is parsed, so files of any size and depth cost the same memory, and damage costs no more than being wrong.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.mapped import PageReturner

_BLOCK = 1 << 20
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_SPECIAL = np.zeros(256, bool)
_SPECIAL[list(b'"\\[]{}')] = True
_STEP = np.zeros(256, np.int64)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1

Int64s = npt.NDArray[np.int64]


def brackets(view: mmap.mmap, start: int, last: int) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
    """Find the brackets outside of strings between `start`, which is outside of a string, and `last`.

    Yields:
        for one block after the other three arrays of one length: places, +1 for an opening and -1 for a closing
        bracket, and the depth behind it (0 at `start`).
    """
    depth, within, odd = 0, False, False
    pages = PageReturner(view)
    while start < last:
        # A run of backslashes that the block before cut counts from its last one when that one escapes.
        begin = start - odd
        block = np.frombuffer(view[begin : min(start + _BLOCK, last)], np.uint8)
        places = np.flatnonzero(_SPECIAL[block])
        marks = block[places]
        runs = _backslashes(places, marks)
        escaped = np.zeros(len(places), bool)
        escaped[1:] = (np.diff(places) == 1) & (runs[:-1] % 2 == 1)
        quotes = (marks == _QUOTE) & ~escaped
        inside = (np.cumsum(quotes) + within) % 2 == 1
        steps = _STEP[marks]
        found = (steps != 0) & ~inside
        steps = steps[found]
        depths = depth + np.cumsum(steps)
        yield places[found] + begin, steps, depths
        if len(places):
            within = bool((int(quotes.sum()) + within) % 2)
            odd = bool(runs[-1] % 2) and int(places[-1]) == len(block) - 1
        else:
            odd = False
        if len(depths):
            depth = int(depths[-1])
        start = begin + len(block)
        pages.passed(begin)


def _backslashes(places: Int64s, marks: npt.NDArray[np.uint8]) -> Int64s:
    """How many backslashes in a row end at each mark; 0 at other marks."""
    numbers = np.arange(len(places))
    slashes = marks == _BACKSLASH
    joins = np.zeros(len(places), bool)
    joins[1:] = slashes[1:] & slashes[:-1] & (np.diff(places) == 1)
    firsts = np.maximum.accumulate(np.where(joins, 0, numbers)) if len(places) else numbers
    return np.where(slashes, numbers - firsts + 1, 0)


def elements(view: mmap.mmap, start: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield (first byte, place behind) of the objects and lists that stand side by side from `start` on.

    One that `last` cuts off ends at -1 and comes last.
    """
    opened = -1
    for places, steps, depths in brackets(view, start, last):
        outer = (depths == 0) | ((depths == 1) & (steps == 1))
        for place, step in zip(places[outer].tolist(), steps[outer].tolist(), strict=True):
            if step == 1:
                opened = place
            elif opened >= 0:
                yield opened, place + 1
                opened = -1
    if opened >= 0:
        yield opened, -1
