"""Personal data becomes typed placeholders, `[CPF]`, `[PHONE]`, `[EMAIL]`, `[LINK]` and others.

Used twice: on documents before training, and on every completion that is shown. Rules find typed identifiers only;
a name in running text is out of their reach, and nobody is promised otherwise.

Law: LGPD 13.709/2018. Percentages, prices, laws, doses, dates and lot numbers are left as they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from biasaudit.corpus import privacy_rules as rules
from biasaudit.corpus.privacy_fold import fold
from biasaudit.errors import UnknownNameError

KINDS = (
    "CPF", "CNPJ", "PHONE", "EMAIL", "USER", "LINK", "INVITE", "PIX", "BANK", "CARD", "ID", "CEP", "IP", "CRYPTO",
    "SECRET",
)  # fmt: skip
"""Every placeholder that `mask` writes."""

LINKS = frozenset({"LINK", "INVITE", "USER", "EMAIL"})
"""What is replaced even when the rest of the privacy stage is switched off: addresses carry no language."""

_PASSES = 16


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its personal data replaced, and the way back to the original's offsets."""

    text: str
    counts: Counter[str]
    spans: tuple[tuple[int, int, int, int], ...] = ()
    """(start, end) of each placeholder here, then (start, end) of what it stands for in the original."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that `text[start:end]` stands for; a touched placeholder counts whole.

        >>> mask("CPF 529.982.247-25!").original(4, 9)
        (4, 18)
        """
        first = self._outward(start, last=False)
        return (first, first) if end <= start else (first, self._outward(end - 1, last=True))

    def _outward(self, position: int, *, last: bool) -> int:
        number = bisect_right(self.spans, position, key=lambda span: span[0]) - 1
        if number < 0:
            return position + last
        _, shown_end, from_, to = self.spans[number]
        if position < shown_end:
            return to if last else from_
        return to + position - shown_end + last

    def masked(self, start: int, end: int) -> tuple[int, int]:
        """The range of `text` that shows the original's `[start:end]`; a touched placeholder counts whole."""
        first = self._inward(start, last=False)
        return (first, first) if end <= start else (first, self._inward(end - 1, last=True))

    def _inward(self, position: int, *, last: bool) -> int:
        number = bisect_right(self.spans, position, key=lambda span: span[2]) - 1
        if number < 0:
            return position + last
        shown, shown_end, _, to = self.spans[number]
        if position < to:
            return shown_end if last else shown
        return shown_end + position - to + last


def mask(text: str, kinds: Iterable[str] | None = None) -> Masked:
    """Replace personal data of the given kinds (all when None) by typed placeholders.

    Masking is idempotent: it goes on until nothing more is found, because a placeholder can free what stood beside it.

    Args:
        text: any text.
        kinds: some of `KINDS`.

    Raises:
        UnknownNameError: a kind that does not exist.
    """
    wanted = None if kinds is None else frozenset(kinds)
    if wanted is not None:
        for name in sorted(wanted - set(KINDS)):
            raise UnknownNameError("kind of personal data", name, KINDS)
    masked = Masked(text, Counter())
    for _ in range(_PASSES):
        found = _found(masked.text, wanted)
        if not found:
            break
        masked = _replaced(masked, found)
    return masked


def _found(text: str, wanted: frozenset[str] | None) -> list[tuple[int, int, str]]:
    """Spans of personal data, apart from one another and in order."""
    folded, back = fold(text)
    spans = [span for span in rules.find(folded) if wanted is None or span[2] in wanted]
    if back is None:
        return spans
    places = [*back, len(text)]
    return [(places[start], places[end], kind) for start, end, kind in spans]


def _replaced(masked: Masked, found: list[tuple[int, int, str]]) -> Masked:
    """`masked` with `found` (offsets of its text) replaced too; a placeholder that a find touches goes in it."""
    finds = _around_placeholders(masked, found)
    counts = Counter(masked.counts)
    counts.update(kind for _, _, kind in finds)
    events = [(s, e, f"[{kind}]", masked.original(s, e)) for s, e, kind in finds]
    starts = [start for start, _, _ in finds]
    for s, e, a, b in masked.spans:
        last = bisect_right(starts, e - 1) - 1
        if last < 0 or finds[last][1] <= s:
            events.append((s, e, masked.text[s:e], (a, b)))
        else:
            counts[masked.text[s + 1 : e - 1]] -= 1
    pieces: list[str] = []
    spans: list[tuple[int, int, int, int]] = []
    position = length = 0
    for start, end, shown, (a, b) in sorted(events):
        pieces += [masked.text[position:start], shown]
        length += start - position
        spans.append((length, length + len(shown), a, b))
        length += len(shown)
        position = end
    pieces.append(masked.text[position:])
    return Masked("".join(pieces), +counts, tuple(spans))


def _around_placeholders(masked: Masked, found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Widen finds that end inside a placeholder to its bounds; of two that then meet, the first stays."""
    widened: list[tuple[int, int, str]] = []
    for start, end, kind in found:
        before = bisect_right(masked.spans, start, key=lambda span: span[0]) - 1
        if before >= 0 and masked.spans[before][1] > start:
            start = masked.spans[before][0]
        behind = bisect_right(masked.spans, end - 1, key=lambda span: span[0]) - 1
        if behind >= 0:
            end = max(end, masked.spans[behind][1])
        if not widened or widened[-1][1] <= start:
            widened.append((start, end, kind))
    return widened
