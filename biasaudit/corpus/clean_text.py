r"""Cleaning rules over characters: composition, line ends, invisible signs, blanks, lines wrapped by hand.

Each rule is a function of a text and, beside it, a trigger: an RE2 expression that is found in every text that the
rule changes (and perhaps in some that it leaves alone), so that a batch looks at its other texts no further. Rules
that many texts need have a second form for columns, which must give the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

SPACES = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Inside of a character class: all blanks and line ends."""

# Joiners U+200C and U+200D stay: emojis and several scripts are built with them.
_HIDDEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064"
    "\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"
)
_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"
_ODD_BLANKS = "\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"

_CONTROLS = re.compile(f"[{_HIDDEN}\ud800-\udfff]+")
_BIDI = re.compile(f"[{_TURNING}]+")
_NEWLINES = re.compile(f"\r\n|[{_LINE_ENDS}]")
# A lone space, which nearly all blanks are, is no match: it is what every run becomes.
_BLANKS = re.compile(f"[{_ODD_BLANKS}][ {_ODD_BLANKS}]*| [ {_ODD_BLANKS}]+")
_MANY_LINES = re.compile(r"\n{3,}")
_WRAPPED = 50
"""Characters from which a line counts as wrapped; verse and headings are shorter."""
_SENTENCE_ENDS = (".", "!", "?", "…", ":", '"', "”", "»", ")")
_LONG_RUN = 32
"""Combining marks in a row, of which no script has so many."""
_NEVER_JOINED = ("—", "-", "*", "•")

CONTROLS_TRIGGER = f"[{_HIDDEN}]"
BIDI_TRIGGER = f"[{_TURNING}]"
NEWLINES_TRIGGER = f"[{_LINE_ENDS}]"
WHITESPACE_TRIGGER = rf"  |[{_ODD_BLANKS}]|\A[ \n]|[ \n]\z| \n|\n |\n\n\n"
UNWRAP_TRIGGER = r"[^\n]\n[^\n]"


def controls(text: str) -> str:
    """Remove control characters and invisible fillers."""
    return _CONTROLS.sub("", text)


def bidi(text: str) -> str:
    """Remove the marks that reorder text on a screen."""
    return _BIDI.sub("", text)


def newlines(text: str) -> str:
    r"""Write every line end as `\n`."""
    return _NEWLINES.sub("\n", text)


def nfc(text: str) -> str:
    """Compose canonically."""
    if text.isascii():
        return text
    # Python orders the marks after a letter by insertion: a long run in disorder takes quadratic time.
    return unicodedata.normalize("NFC", _composition()[1].sub(_in_order, text))


def whitespace(text: str) -> str:
    """Make one blank of every run, strip the lines, and leave at most one of them empty."""
    text = _BLANKS.sub(" ", text)
    if " \n" in text or "\n " in text:
        text = text.replace(" \n", "\n").replace("\n ", "\n")
    return _MANY_LINES.sub("\n\n", text).strip(" \n")


def unwrap(text: str) -> str:
    """Join a long line that ends inside a sentence with the next, unless a dialogue dash or a blank line follows."""
    pieces: list[str] = []
    length, end = 0, ""
    for number, line in enumerate(text.split("\n")):
        # What counts is the line as joined so far: asking the lines as they came would join more the second time.
        inside = length >= _WRAPPED and not end.endswith(_SENTENCE_ENDS)
        if inside and line and not line.startswith(_NEVER_JOINED):
            pieces.append(" ")
            length += 1 + len(line)
        else:
            if number:
                pieces.append("\n")
            length = len(line)
        pieces.append(line)
        end = line
    return "".join(pieces)


def controls_column(text: pa.StringArray) -> pa.StringArray:
    """`controls` of every text; a column holds no surrogates."""
    return pc.replace_substring_regex(text, f"[{_HIDDEN}]+", "")


def newlines_column(text: pa.StringArray) -> pa.StringArray:
    """`newlines` of every text."""
    return pc.replace_substring_regex(text, _NEWLINES.pattern, "\n")


def whitespace_column(text: pa.StringArray) -> pa.StringArray:
    """`whitespace` of every text."""
    text = pc.replace_substring_regex(text, _BLANKS.pattern, " ")
    text = pc.replace_substring(pc.replace_substring(text, " \n", "\n"), "\n ", "\n")
    return pc.ascii_trim(pc.replace_substring_regex(text, _MANY_LINES.pattern, "\n\n"), " \n")


def ranges(points: Iterable[int]) -> str:
    """The inside of a character class of exactly `points`, none of which may mean something else in there."""
    spans: list[list[int]] = []
    for point in sorted(points):
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


@cache
def _composition() -> tuple[str, re.Pattern[str]]:
    """The trigger of `nfc`, and what finds long runs of combining marks.

    Asked of this Python's own tables, since Unicode grows; all such characters lie in the areas looked at.
    """
    areas = (*range(0x300, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x1F000), *range(0x2F800, 0x2FA20))
    suspects = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # Hangul vowels and finals compose by rule.
    marks = set()
    for point in areas:
        char = chr(point)
        if not unicodedata.decomposition(char) and not unicodedata.combining(char):
            continue  # it changes nothing; what it composes with names it in that character's decomposition
        if unicodedata.combining(unicodedata.normalize("NFD", char)[0]):
            marks.add(point)
        if not unicodedata.is_normalized("NFC", char):
            suspects.add(point)
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            suspects.add(int(parts[1], 16))
    return f"[{ranges(suspects | marks)}]", re.compile(f"[{ranges(marks)}]{{{_LONG_RUN},}}")


def nfc_trigger() -> str:
    """Every text without one of these characters is composed: NFC_Quick_Check No or Maybe, or reordered as a mark."""
    return _composition()[0]


def _in_order(found: re.Match[str]) -> str:
    marks = "".join(unicodedata.normalize("NFD", char) for char in found.group())
    return "".join(sorted(marks, key=unicodedata.combining))
