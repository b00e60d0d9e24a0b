"""Texts as the rules read them: disguised digits and signs in their plain form, invisible characters gone.

Full-width and mathematical digits, keycaps, zero-width characters and typographic hyphens hide a number from a
pattern but not from a person. Each folded character keeps the place of the one it came from.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_DROPPED = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0e\ufe0f\ufeff\u20e3"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_WIDE = "\uff01-\uff5e"
_STYLED = "\U0001d400-\U0001d7ff\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u2080-\u2089\u2460-\u2473\u24b6-\u24e9"
_OTHER_DIGITS = "\u0660-\u0669\u06f0-\u06f9\u0966-\u096f"
_BLANKS = "\u00a0\u2000-\u200a\u202f\u3000"

_ODD = re.compile(f"[{_DROPPED}{_DASHES}{_WIDE}{_STYLED}{_OTHER_DIGITS}{_BLANKS}]")
_DROP = re.compile(f"[{_DROPPED}]")
_DASH = re.compile(f"[{_DASHES}]")
_RAISED = frozenset("\u00b9\u00b2\u00b3\u2070\u2074\u2075\u2076\u2077\u2078\u2079")


@cache
def _plain(char: str) -> str:
    """The one plain character that `char` stands for; empty when it is invisible."""
    if _DROP.match(char):
        return ""
    if _DASH.match(char):
        return "-"
    if char in _RAISED:
        # A raised digit is an exponent or a footnote ("km²"), never part of an identifier.
        return char
    folded = unicodedata.normalize("NFKC", char)
    if len(folded) != 1:
        return char
    digit = unicodedata.digit(folded, None)
    return folded if digit is None else str(digit)


def fold(text: str) -> tuple[str, list[int] | None]:
    """Return the folded text, and the place in `text` of each of its characters (None: the same place).

    >>> fold("cpf １２")
    ('cpf 12', None)
    """
    if text.isascii() or not _ODD.search(text):
        return text, None
    if not _DROP.search(text):
        return _ODD.sub(lambda m: _plain(m.group()), text), None
    chars: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        plain = _plain(char) if _ODD.match(char) else char
        if plain:
            chars.append(plain)
            places.append(place)
    return "".join(chars), places
