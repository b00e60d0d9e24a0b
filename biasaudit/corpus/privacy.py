"""Personal data becomes typed placeholders, `[CPF]`, `[PHONE]`, `[EMAIL]`, `[LINK]` and others.

Used twice: on documents before training, and on every completion that is shown. Rules find typed identifiers only;
a name in running text is out of their reach, and nobody is promised otherwise.

Law: LGPD 13.709/2018. Percentages, prices, laws, doses, dates and lot numbers are left as they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus import privacy_cued as cued
from biasaudit.corpus import privacy_links as links
from biasaudit.corpus import privacy_numbers as numbers
from biasaudit.corpus.privacy_fold import ODD, fold, places
from biasaudit.corpus.privacy_names import NAMES
from biasaudit.corpus.privacy_rules import Group, find
from biasaudit.errors import UnknownNameError

KINDS = (
    "CPF", "CNPJ", "PHONE", "EMAIL", "USER", "LINK", "INVITE", "PIX", "BANK", "CARD", "ID", "CEP", "IP", "CRYPTO",
    "SECRET", "NAME",
)  # fmt: skip
"""Every placeholder that `mask` writes."""

LINKS = frozenset({"LINK", "INVITE", "USER", "EMAIL"})
"""What is replaced even when the rest of the privacy stage is switched off: addresses carry no language."""

_PASSES = 16
_RE2_PAYS = 4_096


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedBatch:
    """A column of texts with their personal data replaced."""

    text: pa.StringArray
    counts: Counter[str]
    """Placeholders of each kind."""
    documents: int
    """Texts with at least one."""


def mask(text: str, kinds: Iterable[str] | None = None, *, names: bool = False) -> Masked:
    """Replace personal data of the given kinds (all but names when None) by typed placeholders.

    Masking is idempotent: it goes on until nothing more is found, because a placeholder can free what stood beside it.

    Args:
        text: any text.
        kinds: some of `KINDS`.
        names: replace names after words such as "meu nome é" too; most names in running text stay.

    Raises:
        UnknownNameError: a kind that does not exist.
    """
    wanted = _wanted(kinds, names=names)
    masked = Masked(text, Counter())
    plain, rest = _stages(wanted)
    for number in range(_PASSES):
        groups = (plain, rest)[number] if number < 2 else plain + rest
        folded = fold(masked.text)
        found = _found(masked.text, folded, _chances(folded, groups), wanted)
        if found:
            masked = _replaced(masked, found)
        elif number >= 2 or (number == 1 and not masked.counts):
            break
    return masked


def hide(masked: Masked, spans: Iterable[tuple[int, int]], kind: str = "ID") -> Masked:
    """Replace what no rule found, but somebody knows to be personal, too.

    Args:
        masked: a text after `mask`.
        spans: ranges of the original; those within a placeholder change nothing.
        kind: of the placeholder.
    """
    shown = [masked.masked(start, end) for start, end in spans if end > start]
    covered = {(start, end) for start, end, _, _ in masked.spans}
    found = sorted((start, end, kind) for start, end in shown if (start, end) not in covered)
    return _replaced(masked, found) if found else masked


def mask_batch(text: pa.StringArray, kinds: Iterable[str] | None = None, *, names: bool = False) -> MaskedBatch:
    """`mask` for a whole column; RE2 looks for triggers in all texts at once, so that a text without any costs nothing.

    Args:
        text: any texts, shape (n,), none of them null.
        kinds: as in `mask`.
        names: as in `mask`.

    Raises:
        UnknownNameError: a kind that does not exist.
    """
    changed = _changed(text, _wanted(kinds, names=names))
    counts: Counter[str] = Counter()
    for masked in changed.values():
        counts.update(masked.counts)
    return MaskedBatch(
        text=_with(text, changed), counts=counts, documents=sum(bool(m.counts) for m in changed.values())
    )


def mask_all(texts: Sequence[str]) -> list[Masked]:
    """`mask` of every text, many times as fast as one by one."""
    changed = _changed(pa.array(texts, pa.string()), _wanted(None, names=False))
    return [changed.get(number) or Masked(text, Counter()) for number, text in enumerate(texts)]


def _changed(text: pa.StringArray, wanted: frozenset[str]) -> dict[int, Masked]:
    """The texts that hold something, by their number."""
    plain, rest = _stages(wanted)
    changed: dict[int, Masked] = {}
    everything = np.arange(len(text))
    _stage(text, everything, plain, wanted, changed)
    _stage(_with(text, changed), everything, rest, wanted, changed)
    live = np.array(sorted(changed), np.int64)
    for _ in range(_PASSES - 2):
        if not len(live):
            break
        live = _stage(
            pa.array([changed[n].text for n in live.tolist()], pa.string()), live, plain + rest, wanted, changed
        )
    return changed


def _wanted(kinds: Iterable[str] | None, *, names: bool) -> frozenset[str]:
    wanted = frozenset(KINDS) - {"NAME"} if kinds is None else frozenset(kinds)
    for name in sorted(wanted - set(KINDS)):
        raise UnknownNameError("kind of personal data", name, KINDS)
    return wanted | {"NAME"} if names else wanted


def _stages(wanted: frozenset[str]) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Groups for the plain links and for all else; numbers are left out when only addresses are wanted."""
    rest: tuple[Group, ...] = links.BARE + links.USERS
    if wanted <= LINKS:
        return links.URLS, rest
    rest += numbers.NUMBERS + cued.CUED
    return numbers.FIRST + links.URLS, rest + NAMES if "NAME" in wanted else rest


def _stage(
    column: pa.StringArray, documents: npt.NDArray[np.int64], groups: tuple[Group, ...], wanted: frozenset[str],
    changed: dict[int, Masked],
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Run `groups` over a column whose n-th text is that of `documents[n]`; return the documents that changed."""
    folded = _folded(column)
    bits = _bits(folded, groups)
    hits = np.flatnonzero(bits)
    chosen: dict[int, list[Group]] = {}
    found = []
    texts = zip(
        hits.tolist(), bits[hits].tolist(), column.take(hits).to_pylist(), folded.take(hits).to_pylist(), strict=True
    )
    for place, bit, text, plain in texts:
        if bit not in chosen:
            chosen[bit] = [group for number, group in enumerate(groups) if bit >> number & 1]
        spans = _found(text, plain, chosen[bit], wanted)
        if spans:
            document = int(documents[place])
            changed[document] = _replaced(changed.get(document) or Masked(text, Counter()), spans)
            found.append(document)
    return np.array(found, np.int64)


def _chances(folded: str, groups: tuple[Group, ...]) -> list[Group]:
    """The groups whose trigger is in a text; RE2 is slow to start and pays from a few thousand characters on."""
    if len(folded) < _RE2_PAYS:
        return [group for group in groups if group.may_match(folded)]
    bits = int(_bits(pa.array([folded], pa.string()), groups)[0])
    return [group for number, group in enumerate(groups) if bits >> number & 1]


def _bits(folded: pa.StringArray, groups: tuple[Group, ...]) -> npt.NDArray[np.int64]:
    """Shape (n,): bit k of entry i says that the trigger of `groups[k]` is in text i."""
    bits = np.zeros(len(folded), np.int64)
    for needs in sorted({group.needs for group in groups}):
        chosen = [(number, group) for number, group in enumerate(groups) if group.needs == needs]
        if needs:
            places, column = _holding(needs, np.arange(len(folded)), folded)
        else:
            # Most texts hold nothing: one look for all triggers together leaves few to tell apart.
            union = "|".join(f"(?:{group.bulk})" for _, group in chosen)
            places, column = _holding(union, np.arange(len(folded)), folded)
        for number, group in chosen:
            seen = pc.match_substring_regex(column, group.bulk)
            bits[places[seen.to_numpy(zero_copy_only=False)]] |= 1 << number
    return bits


def _holding(
    pattern: str, places: npt.NDArray[np.int64], column: pa.StringArray
) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
    """Those of `places`, and their texts in `column`, that match `pattern`."""
    seen = pc.match_substring_regex(column, pattern)
    return places[seen.to_numpy(zero_copy_only=False)], column.filter(seen)


def _folded(column: pa.StringArray) -> pa.StringArray:
    odd = pc.match_substring_regex(column, ODD)
    folded = pa.array([fold(text) for text in column.filter(odd).to_pylist()], pa.string())
    return pc.replace_with_mask(column, odd, folded) if len(folded) else column


def _with(column: pa.StringArray, changed: Mapping[int, Masked]) -> pa.StringArray:
    """The column with the changed texts in place of the original ones."""
    if not changed:
        return column
    order = sorted(changed)
    mask = np.zeros(len(column), bool)
    mask[order] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array([changed[n].text for n in order], pa.string()))


def _found(text: str, folded: str, groups: Iterable[Group], wanted: frozenset[str]) -> list[tuple[int, int, str]]:
    """Spans of personal data in `text`, apart from one another and in order."""
    spans = [span for span in find(folded, groups) if span[2] in wanted]
    if not spans or folded == text:
        return spans
    back = places(text)
    return spans if back is None else [(back[start], back[end], kind) for start, end, kind in spans]


def _replaced(masked: Masked, found: list[tuple[int, int, str]]) -> Masked:
    """`masked` with `found` (offsets of its text) replaced too; a placeholder that a find touches goes in it."""
    if not masked.spans:
        return _first_replaced(masked.text, found)
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


def _first_replaced(text: str, found: list[tuple[int, int, str]]) -> Masked:
    """As `_replaced`, for a text that holds no placeholder of ours yet."""
    pieces: list[str] = []
    spans: list[tuple[int, int, int, int]] = []
    counts: Counter[str] = Counter()
    position = length = 0
    for start, end, kind in found:
        shown = f"[{kind}]"
        pieces += (text[position:start], shown)
        length += start - position
        spans.append((length, length + len(shown), start, end))
        length += len(shown)
        counts[kind] = counts.get(kind, 0) + 1
        position = end
    pieces.append(text[position:])
    return Masked("".join(pieces), counts, tuple(spans))


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
