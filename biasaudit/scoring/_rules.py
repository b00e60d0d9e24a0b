r"""Rules of words and simple regular expressions that run in bounded time on any text.

A rule is folded (lower case, no accents) and matches whole words of folded text. Its language is a part of Python's:
literals, `.`, classes, `\w \W \d \D \s \S \b \B`, groups, alternatives and repetitions. Backreferences, lookarounds and
flags are refused. An unbounded repetition reaches at most `REACH` characters, and a rule whose ways to match one place
exceed `MOST_WAYS` is refused: so no rule of a stranger's battery and no completion can make a run hang.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

REACH = 40
"""Characters that `*`, `+` and `{n,}` may run over."""
MOST_REPEATS = 200
MOST_WAYS = 20_000
MOST_NESTING = 20
CLASSES = "wWdDsSbB"
PLAIN_ESCAPES = "nt"
REPEAT = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")


def fold(text: str) -> tuple[str, Sequence[int]]:
    """Lower-case `text` and drop its accents.

    Returns:
        The folded text, and for each of its characters (and its end) the position in `text`.
    """
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    if not STRANGE.search(text):
        return ACCENTED.sub(lambda found: UNACCENTED[found[0]], text).lower(), range(len(text) + 1)
    folded: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        lowered = _folded(char)
        folded.append(lowered)
        places.extend([place] * len(lowered))
    places.append(len(text))
    return "".join(folded), places


def _folded(char: str) -> str:
    """One character in lower case without its accents: empty for an accent, several letters for a ligature."""
    if char.isascii():
        return char.lower()
    return "".join(part.lower() for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))


def _one_for_one() -> dict[str, str]:
    """What the usual characters outside ASCII fold to, where that is one character as well."""
    usual = (chr(code) for first, last in USUAL for code in range(first, last))
    return {char: lowered for char in usual if len(lowered := _folded(char)) == 1 and len(char.lower()) == 1}


USUAL = ((0xA0, 0x250), (0x2010, 0x2044), (0x1F300, 0x1FB00))
"""Latin letters, punctuation, pictures: what nearly every completion is made of folds without a look at each letter."""
UNACCENTED = _one_for_one()
ACCENTED = re.compile(f"[{''.join(char for char, lowered in UNACCENTED.items() if char.lower() != lowered)}]")
STRANGE = re.compile(f"[^\\x00-\\x7f{''.join(map(re.escape, UNACCENTED))}]")


def compile_rules(rules: Sequence[str]) -> re.Pattern[str]:
    """One pattern that finds any of `rules` as whole words in folded text.

    Raises:
        ValueError: a rule is empty, not understood, or could take too long; the message names it.
    """
    parts = [_Scanner(rule).bounded() for rule in rules]
    # Longer rules first: alternatives are tried in order, and the longest span explains most.
    ordered = sorted(parts, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(ordered)})(?!\w)")


class _Scanner:
    """Reads one rule and writes it again, folded and bounded."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.source = unicodedata.normalize("NFC", rule)
        self.at = 0
        self.depth = 0

    def bounded(self) -> str:
        """The rule, folded and with bounded repetitions.

        Raises:
            ValueError: see `compile_rules`.
        """
        if not self.rule.strip():
            raise ValueError("a rule is empty")
        text, _ = self._alternatives()
        if self.at < len(self.source):
            raise self._fault("a closing parenthesis without its opening one")
        try:
            if re.compile(text).match(""):
                raise self._fault("it matches the empty text")
        except re.error as error:
            raise self._fault(str(error)) from None
        return f"(?:{text})"

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"rule '{self.rule}': {what}")

    def _peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def _take(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _alternatives(self) -> tuple[str, int]:
        """Sequences with `|` between them; ways add up."""
        text, ways = self._sequence()
        while self._peek() == "|":
            self.at += 1
            more, added = self._sequence()
            text, ways = f"{text}|{more}", ways + added
        return text, ways

    def _sequence(self) -> tuple[str, int]:
        """Items one after another; ways multiply."""
        parts: list[str] = []
        ways = 1
        while self._peek() not in ("", "|", ")"):
            atom, inner = self._atom()
            suffix, multiplied = self._repetition(inner)
            parts.append(atom + suffix)
            ways *= multiplied
            if ways > MOST_WAYS:
                raise self._fault("too many ways to match; use fewer or shorter repetitions")
        return "".join(parts), ways

    def _atom(self) -> tuple[str, int]:
        """One character, class or group, and the ways in which it can match."""
        char = self._take()
        if char == "\\":
            return self._escape(), 1
        if char == "[":
            return self._class(), 1
        if char == "(":
            return self._group()
        if char in "*+?":
            raise self._fault("nothing to repeat")
        if char in ".^$":
            return char, 1
        folded = fold(char)[0]
        # A blank stands for any run of blanks: completions break lines anywhere.
        return (r"\s{1,3}" if char == " " else f"(?:{re.escape(folded)})" if len(folded) != 1 else re.escape(folded)), 1

    def _escape(self) -> str:
        char = self._take()
        if char and (char in CLASSES or char in PLAIN_ESCAPES or not char.isalnum()):
            return f"\\{char}"
        raise self._fault(f"the escape \\{char} is not part of the rule language")

    def _class(self) -> str:
        parts = ["["]
        if self._peek() == "^":
            parts.append(self._take())
        while (char := self._take()) != "]":
            if char == "":
                raise self._fault("a class without its closing bracket")
            parts.append(self._escape() if char == "\\" else "\\[" if char == "[" else fold(char)[0])
        return "".join(parts) + "]"

    def _group(self) -> tuple[str, int]:
        if self._peek() == "?":
            if self.source[self.at : self.at + 2] != "?:":
                raise self._fault("of the groups with (? only (?: is part of the rule language")
            self.at += 2
        self.depth += 1
        if self.depth > MOST_NESTING:
            raise self._fault("groups nest too deeply")
        text, ways = self._alternatives()
        if self._take() != ")":
            raise self._fault("a group without its closing parenthesis")
        self.depth -= 1
        return f"(?:{text})", ways

    def _repetition(self, inner: int) -> tuple[str, int]:
        """The bounded repetition that follows an atom, and the ways of both together."""
        found = REPEAT.match(self.source, self.at)
        char = self._peek()
        if found:
            low = int(found[1])
            high = low if not found[2] else int(found[3]) if found[3] else max(REACH, low)
            self.at = found.end()
        elif char and char in "*+?":
            self.at += 1
            low, high = (1 if char == "+" else 0), (1 if char == "?" else REACH)
        else:
            return "", inner
        if high > MOST_REPEATS or high < low:
            raise self._fault(f"a repetition must run from low to high and at most {MOST_REPEATS} times")
        lazy = self._take() if self._peek() == "?" else ""
        # Each number of rounds is a way, and each round matches in `inner` ways.
        ways = (high - low + 1) if inner == 1 else min(MOST_WAYS + 1, sum(inner**n for n in range(low, high + 1)))
        return f"{{{low},{high}}}{lazy}", ways
