r"""Cleaning: named rules, each of which can be switched off and counts the documents that it changed.

What carries meaning survives: percentages, prices, dates, laws, doses, emojis, line breaks. Links, users and
personal data are not cleaning but privacy (`biasaudit.corpus.privacy`), and are replaced by typed placeholders there.

    nfc         canonical composition, so that one word has one spelling
    newlines    CRLF, lone CR, vertical tabs and Unicode line separators become `\n`
    controls    C0 and C1 controls, NUL, U+FFFE and U+FFFF, soft hyphens and other invisible fillers go
    bidi        marks that reorder text on a screen go (CVE-2021-42574)
    forwarded   a first line that says from whom a message was forwarded goes
    whitespace  every run of blanks becomes one, lines lose blanks at their ends, at most one line stays empty
    unwrap      (off by default) lines wrapped by hand are joined inside a paragraph
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from biasaudit.errors import UnknownNameError

DEFAULT = ("nfc", "newlines", "controls", "bidi", "forwarded", "whitespace")
"""Rules that run unless the user says otherwise, in this order."""

# Joiners U+200C and U+200D stay: emojis and several scripts are built with them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064"
    "\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]+"
)
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile("[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_MANY_LINES = re.compile(r"\n{3,}")
# A label, then a name: both bounded, one line, so that a body that merely starts with "Encaminhado" stays.
_FORWARDED = re.compile(
    r"\A\s{0,8}(?:\[?\s?(?:Forwarded from|Encaminhad[ao] de|Reenviado de)\s?:?[ ][^\n]{1,120}\n"
    r"|\[?(?:Forwarded message|Mensagem encaminhada|Encaminhada|Forwarded)\]?[ ]{0,4}:?\n)",
    re.IGNORECASE,
)
_WRAPPED = 50
"""Characters from which a line counts as wrapped; verse and headings are shorter."""
_SENTENCE_ENDS = (".", "!", "?", "…", ":", '"', "”", "»", ")")


def _newlines(text: str) -> str:
    return _NEWLINES.sub("\n", text)


def _whitespace(text: str) -> str:
    text = _BLANKS.sub(" ", text)
    if " \n" in text or "\n " in text:
        text = text.replace(" \n", "\n").replace("\n ", "\n")
    return _MANY_LINES.sub("\n\n", text).strip(" \n")


def _unwrap(text: str) -> str:
    """Join a long line that ends inside a sentence with the next, unless a dialogue dash or a blank line follows."""
    lines = text.split("\n")
    joined: list[str] = []
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        inside = len(before) >= _WRAPPED and not before.endswith(_SENTENCE_ENDS)
        if inside and line and not line.startswith(("—", "-", "*", "•")):
            joined.append(" ")
        elif number:
            joined.append("\n")
        joined.append(line)
    return "".join(joined)


_RULES: dict[str, Callable[[str], str]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "newlines": _newlines,
    "controls": lambda text: _CONTROLS.sub("", text),
    "bidi": lambda text: _BIDI.sub("", text),
    "forwarded": lambda text: _FORWARDED.sub("", text, count=1),
    "whitespace": _whitespace,
    "unwrap": _unwrap,
}


def names() -> list[str]:
    """Every rule, in the order in which they run."""
    return list(_RULES)


class Cleaner:
    """The chosen rules, and how many documents each has changed so far."""

    def __init__(self, rules: Iterable[str] = DEFAULT) -> None:
        """Keep `rules`, in the fixed order whatever the order given.

        Raises:
            UnknownNameError: a rule that does not exist.
        """
        wanted = set(rules)
        for name in sorted(wanted - set(_RULES)):
            raise UnknownNameError("cleaning rule", name, _RULES)
        self.rules = tuple(name for name in _RULES if name in wanted)
        self.changed: Counter[str] = Counter(dict.fromkeys(self.rules, 0))

    def __call__(self, text: str) -> str:
        r"""Return the cleaned text; cleaning twice changes nothing more.

        >>> Cleaner()("95%  caro\r\nR$ 9,50\x00 ")
        '95% caro\nR$ 9,50'
        """
        for name in self.rules:
            cleaned = _RULES[name](text)
            if cleaned != text:
                self.changed[name] += 1
                text = cleaned
        return text
