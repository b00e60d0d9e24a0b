"""Texts as the rules read them: disguised digits and signs in their plain form, invisible characters gone.

Full-width and mathematical digits, digits of other scripts, keycaps, zero-width characters, strike-through and
typographic hyphens hide a number from a pattern but not from a person. Each folded character keeps the place of the
one it came from.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_DROPPED = (
    "\u00ad\u0300-\u036f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u20d0-\u20f0"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef"
)
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
_WIDE = "\u2024\u3002\ufe52\ufe5f\ufe62\ufe6b\uff01-\uff5e\uff61"
_STYLED = (
    "\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u2080-\u2089\u2460-\u2473\u24b6-\u24ea\u24f5-\u24fe\u2776-\u277e\u2780-\u2788"
    "\u278a-\u2792\U0001d400-\U0001d7ff\U0001f130-\U0001f149\U0001fbf0-\U0001fbf9"
)
_BLANKS = "\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# The zero of every script that writes decimal digits, as Python and so `\d` know them.
_ZEROS = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0de6\u0e50\u0ed0\u0f20\u1040\u1090\u17e0"
    "\u1810\u1946\u19d0\u1a80\u1a90\u1b50\u1bb0\u1c40\u1c50\ua620\ua8d0\ua900\ua9d0\ua9f0\uaa50\uabf0\U000104a0\U00010d30"
    "\U00011066\U000110f0\U00011136\U000111d0\U000112f0\U00011450\U000114d0\U00011650\U000116c0\U00011730\U000118e0"
    "\U00011950\U00011c50\U00011d50\U00011da0\U00016a60\U00016ac0\U00016b50\U0001e140\U0001e2f0\U0001e950"
)
_DIGITS = "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in _ZEROS)

ODD = f"[{_DROPPED}{_DASHES}{_WIDE}{_STYLED}{_BLANKS}{_DIGITS}]"
"""A character that is read as another one or not at all; the same for Python's engine and for RE2."""


def _common(chars: str) -> str:
    """Without what lies beyond U+FFFF: a class of common characters alone is a table, any other a list to search."""
    return re.sub("[\U00010000-\U0010ffff](?:-[\U00010000-\U0010ffff])?", "", chars)


_RARE = "\U00010000-\U0010ffff"
_ODD_OR_RARE = re.compile(f"{_common(ODD)}|[{_RARE}]")
_DROP = re.compile(f"[{_common(_DROPPED)}]|[\U000e0000-\U000e01ef]")
_SINGLE_ODD = re.compile(ODD)
_DASH = re.compile(f"[{_DASHES}]")
_RAISED = "\u00b9\u00b2\u00b3\u2070\u2074-\u2079"
_IS_RAISED = re.compile(f"[{_RAISED}]")
_RAISED_NUMBER = re.compile(rf"[{_RAISED}](?:[ .()/-]{{0,2}}[{_RAISED}]){{6,40}}")


@cache
def _plain(char: str) -> str:
    """The one plain character that `char` stands for; empty when it is invisible."""
    if not _SINGLE_ODD.match(char):
        return char
    if _DROP.match(char):
        return ""
    if _DASH.match(char):
        return "-"
    if _IS_RAISED.match(char):
        # A raised digit is an exponent or a footnote ("km²"); only a long row of them is a number in disguise.
        return char
    if char in "\u3002\uff61":
        return "."
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if char.isspace():
        return " "
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 else char


def fold(text: str) -> str:
    """The text as the rules read it.

    >>> fold("cpf １２\u200b３")
    'cpf 123'
    """
    if text.isascii():
        return text
    folded = _ODD_OR_RARE.sub(lambda match: _plain(match.group()), text)
    return _RAISED_NUMBER.sub(_lowered, folded)


def _lowered(match: re.Match[str]) -> str:
    return "".join(str(unicodedata.digit(char, char)) for char in match.group())


def places(text: str) -> list[int] | None:
    """The place in `text` of each character of `fold(text)`, and its end; None when they are the same."""
    if text.isascii() or not _DROP.search(text):
        return None
    gone = {match.start() for match in _DROP.finditer(text)}
    return [place for place in range(len(text) + 1) if place not in gone]
