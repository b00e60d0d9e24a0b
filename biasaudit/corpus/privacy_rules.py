"""Groups of rules that find personal data in a folded text; bounded, so linear in the text's length.

A rule is a pattern and, where a form alone does not decide, a check: check digits, a cue word before it, area codes.
Rules run in an order of trust; what one has taken no other touches. A group's trigger says at little cost whether its
rules can match at all, since most texts hold nothing; it is written in what Python's engine and RE2 have in common,
so that RE2 may look through a whole column of texts at once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

Check = Callable[[re.Match[str], str], str | None]
"""The kind of a match in its text, or None to leave it alone."""

_NOT_DIGIT = re.compile(r"\D+")


@dataclass(frozen=True)
class Rule:
    """One pattern and what decides about its matches."""

    pattern: re.Pattern[str]
    check: Check
    group: int | str = 0
    """The part of the match that is replaced."""
    digits: int = 0
    """Digits that a window must hold for this rule to have a chance."""


@dataclass(frozen=True, eq=False)
class Group:
    """Rules with one trigger: where it does not match, none of them can."""

    trigger: str
    """Without lookaround, possessive quantifiers or `\\d`, `\\s`, `\\w`, which RE2 reads as ASCII."""
    rules: tuple[Rule, ...]
    margin: tuple[int, int] | None = None
    """How far before and behind a trigger's match the rules may match; None: anywhere in the text."""
    scan: Callable[[str, int, int], Iterable[tuple[int, int, str]]] | None = None
    """What no pattern can say, run last on each window; yields spans."""
    digits: int = 0
    """Digits that a window must hold for `scan`; 0: digits are not counted here."""
    needs: str = ""
    """A cheaper trigger that many groups share; empty: none."""

    @cached_property
    def bulk(self) -> str:
        """The trigger for RE2, which keeps a state for every count: long bounds go, and a little more passes."""
        return re.sub(r"\{0,\d\d+\}", "*", self.trigger)

    def may_match(self, text: str) -> bool:
        """Whether the trigger is in `text`."""
        return (not self.needs or re.search(self.needs, text) is not None) and self.seen.search(text) is not None

    @cached_property
    def seen(self) -> re.Pattern[str]:
        """The trigger, for Python's engine."""
        return re.compile(self.trigger)

    def windows(self, text: str) -> list[tuple[int, int]]:
        """The stretches of `text` in which the rules may match, joined where they meet."""
        if self.margin is None:
            return [(0, len(text))]
        before, after = self.margin
        found: list[tuple[int, int]] = []
        for match in self.seen.finditer(text):
            start, end = max(0, match.start() - before), match.end() + after
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return found


def with_digits(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Groups that need a digit."""
    return tuple(replace(group, needs="[0-9]") for group in groups)


def always(kind: str) -> Check:
    """A check that the form alone passes."""
    return lambda _match, _text: kind


def cued(words: str, kind: str, reach: int = 24, *, without: str = r"\d\n") -> Check:
    """Give `kind` when one of `words` stands at most `reach` characters before the match, none of `without` between."""
    pattern = re.compile(rf"(?:{words})(?![^\W\d_])[^{without}]{{0,{reach}}}\Z", re.IGNORECASE)

    def check(match: re.Match[str], text: str) -> str | None:
        start = match.start()
        return kind if pattern.search(text, max(0, start - reach - 24), start) else None

    return check


def find(text: str, groups: Iterable[Group]) -> list[tuple[int, int, str]]:
    """Spans (start, end, kind) of personal data in a folded text, apart from one another, in order."""
    # Kept in order, so that a new span needs to be held against its two neighbours only.
    taken: list[tuple[int, int, str]] = []
    for group in groups:
        for low, high in group.windows(text):
            # Digits that somebody has taken give no other rule a chance.
            digits = _free_digits(text, low, high, taken) if group.digits else 0
            for rule in group.rules:
                if rule.digits > digits:
                    continue
                count = len(taken)
                for match in rule.pattern.finditer(text, low, high):
                    _take(rule, match, text, taken)
                if group.digits and len(taken) > count:
                    digits = _free_digits(text, low, high, taken)
            if group.scan is not None and digits >= group.digits:
                for start, end, kind in group.scan(text, low, high):
                    place = _free(taken, start, end)
                    if place is not None:
                        taken.insert(place, (start, end, kind))
    return taken


def _free_digits(text: str, low: int, high: int, taken: list[tuple[int, int, str]]) -> int:
    count = len(_NOT_DIGIT.sub("", text[low:high]))
    for start, end, _ in taken[bisect_left(taken, (low, 0, "")) :]:
        if start >= high:
            break
        count -= len(_NOT_DIGIT.sub("", text[start:end]))
    return count


def _take(rule: Rule, match: re.Match[str], text: str, taken: list[tuple[int, int, str]]) -> None:
    start, end = match.span(rule.group)
    place = _free(taken, start, end)
    if place is None:
        return
    kind = rule.check(match, text)
    if kind in ("LINK", "INVITE"):
        end = _trimmed(text, start, end)
    if kind is not None and end > start:
        taken.insert(place, (start, end, kind))


def _free(taken: list[tuple[int, int, str]], start: int, end: int) -> int | None:
    """Where a span belongs among those taken; None when it touches one of them."""
    place = bisect_left(taken, (start, end, ""))
    if (place and taken[place - 1][1] > start) or (place < len(taken) and taken[place][0] < end):
        return None
    return place


_TRAILING = ".,;:!?)]}'’*_…>|`\\"


def _trimmed(text: str, start: int, end: int) -> int:
    """A link's end without the punctuation of the sentence around it; a bracket that it opened itself stays."""
    opened = "(" in text[start:end]
    while end > start and text[end - 1] in _TRAILING and not (opened and text[end - 1] == ")"):
        end -= 1
    return end
