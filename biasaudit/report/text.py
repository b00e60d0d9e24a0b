"""Texts that a model or a file wrote, made safe to look at: nothing in them can act, hide or overflow.

The only encoder between such text and the page (RELIABILITY D1, D3). Markup comes from `markupsafe.escape`
alone; controls, bidi and zero-width characters are shown as their code point; lone surrogates become U+FFFD.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape

MAX_COMBINING = 8
"""Combining marks kept after one character; more of them paint over the lines above and below."""

# Controls but tab, newline and the carriage return before one; soft hyphen; Arabic letter mark; Mongolian vowel
# separator; zero width and bidi;
# line and paragraph separators; invisible operators; BOM; interlinear anchors; tags; noncharacters.
_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_LONE_JOINER = "(?<![\u2190-\U0001ffff])\u200d|\u200d(?![\u2190-\U0001ffff])"
_SURROGATE = "[\ud800-\udfff]"
_MARK = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]"
)
_SPECIAL = re.compile(
    f"(?P<control>[{_INVISIBLE}]|\r(?!\n)|{_LONE_JOINER})|(?P<surrogate>{_SURROGATE})"
    f"|(?P<marks>{_MARK}{{{MAX_COMBINING}}})(?P<excess>{_MARK}+)"
)


def plain(text: str) -> str:
    """`text` for places without markup (titles, options, charts): controls as `[U+202E]`."""
    return "".join(f"[{piece}]" if is_control else piece for piece, is_control in _pieces(text))


def show(text: str, spans: Sequence[tuple[int, int]] = ()) -> Markup:
    """`text` as inert markup, with `spans` (character ranges of `text`) marked.

    Args:
        text: what a model or a file wrote.
        spans: half-open ranges; they may overlap or stand outside the text.

    Returns:
        Escaped markup whose text content is `text`, but for characters made visible.
    """
    parts: list[Markup] = []
    at = 0
    for low, high in _disjoint(spans, len(text)):
        parts.append(_show(text[at:low]))
        parts.append(Markup("<mark>{}</mark>").format(_show(text[low:high])))
        at = high
    parts.append(_show(text[at:]))
    return Markup("").join(parts)


def isolate(text: str, spans: Sequence[tuple[int, int]] = ()) -> Markup:
    """`show` inside `<bdi>`: the text's direction cannot leave it."""
    return Markup("<bdi>{}</bdi>").format(show(text, spans))


def fold(text: str) -> str:
    """Lower case without accents: what a search compares."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()


def _show(text: str) -> Markup:
    if _SPECIAL.search(text) is None:
        return escape(unicodedata.normalize("NFC", text))
    return Markup("").join(
        Markup('<span class="ctl">{}</span>').format(piece) if is_control else escape(piece)
        for piece, is_control in _pieces(text)
    )


def _pieces(text: str) -> list[tuple[str, bool]]:
    """(text, whether it stands for something that cannot be shown), in order."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for match in _SPECIAL.finditer(text):
        pieces.append((text[at : match.start()], False))
        if match["control"]:
            pieces.append((f"U+{ord(match['control']):04X}", True))
        elif match["surrogate"]:
            pieces.append(("\ufffd", False))
        else:
            pieces += [(match["marks"], False), (f"+{len(match['excess'])}", True)]
        at = match.end()
    pieces.append((text[at:], False))
    return [(unicodedata.normalize("NFC", piece), control) for piece, control in pieces if piece]


def _disjoint(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Spans cut to the text, sorted and merged."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted((max(0, a), min(length, b)) for a, b in spans):
        if low >= high:
            continue
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
