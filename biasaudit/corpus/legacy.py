r"""The study's own cleaning, exactly, for runs that are to be compared with its figures.

The expression is the one of the study's public `data/prepare.py` (github.com/leandrofturi/fakeGPT), not a
reconstruction: users, links from `http` or `www` to the next blank, every character that is neither a word
character, a blank nor one of `. , ! ? : ; - ' "`, and texts that are nothing but such signs or blanks. An earlier
version of that file lacks the last two alternatives (texts of signs alone stayed); a still earlier one removed all
punctuation. Facts change under it: `9,5/10` becomes `9,510`, and `31/12/2021` becomes `31122021`.

Not part of the expression, and not done here: the study dropped texts of fewer than `SHORTEST` characters after
cleaning, and in some versions sent them through a spelling normaliser.
"""

from __future__ import annotations

import re
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.clean_text import ranges

EXPRESSION = r"\@\w+|https?:\/\/\S+|www\S+|[^\w\s\.\,\!\?\:\;\-\'\"]|^[\.\,\!\?\:\;\-\'\"]+$|^\s*$"
"""Replaced by nothing, everywhere, as Python's `re.sub` does it."""
SHORTEST = 3
"""Characters below which the study left a cleaned text out of its training data."""

_STUDY = re.compile(EXPRESSION)
_MARKS = r".,!?:;\-'" + '"'


def clean(text: str) -> str:
    """Return `text` as the study trained on it."""
    return _STUDY.sub("", text)


@cache
def _spelled_out() -> tuple[str, str]:
    r"""The expression for RE2, whose `\w` and `\s` are ASCII: everywhere, and for texts that are signs alone.

    The classes are asked of this Python, so that both mean the same characters.
    """
    everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    words = ranges(ord(char) for char in _chars(r"\w", everything))
    blanks = ranges(ord(char) for char in _chars(r"\s", everything))
    anywhere = rf"@[{words}]+|https?://[^{blanks}]+|www[^{blanks}]+|[^{words}{blanks}{_MARKS}]"
    return anywhere, rf"\A[{_MARKS}]+\n?\z|\A[{blanks}]*\z"


def _chars(kind: str, everything: str) -> str:
    return "".join(re.findall(rf"{kind}+", everything))


def batch(text: pa.StringArray) -> pa.StringArray:
    """`clean` of every text, shape (texts,)."""
    anywhere, alone = _spelled_out()
    cleaned = pc.replace_substring_regex(text, anywhere, "")
    return _merge(text, cleaned, pc.match_substring_regex(text, alone))


def _merge(text: pa.StringArray, cleaned: pa.StringArray, alone: pa.BooleanArray) -> pa.StringArray:
    """Take the texts of signs alone from the expression itself: whether they end with a line end matters there."""
    if not pc.any(alone).as_py():
        return cleaned
    exact = [clean(item) for item in text.filter(alone).to_pylist()]
    return pc.replace_with_mask(cleaned, alone, pa.array(exact, pa.string()))
