"""Work units of the ingest stage: byte ranges of the sources, and the chain that proves that they fit together.

A unit is cut where no record is known to begin; its worker looks for one and says where it found it. A record reader
knows nothing but where it starts, so when every stretch begins where the one before it ended, the stretches hold
exactly what one pass over the file would have found. A stretch that guessed wrong is read again from the right place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from biasaudit import identity
from biasaudit.errors import BiasAuditError

if TYPE_CHECKING:
    from biasaudit.corpus.reading import Survey

_ROW_BYTES = 400
"""What a row counts for where a source counts rows."""

Found = tuple[int, int] | None
"""Where a stretch really began and ended; None when no record begins in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A range of one source."""

    source: int
    """Number of the source."""
    start: int
    stop: int
    synced: bool
    """Whether a span is known to begin at `start`."""


@dataclass(frozen=True, kw_only=True)
class ReadUnit:
    """Stretches that are read and stored together."""

    number: int
    stretches: tuple[Stretch, ...]
    count: int
    """Bytes, about."""

    @property
    def unit_id(self) -> str:
        """Name of the part that the unit makes: its place, and a hash of what it covers."""
        covered = [[s.source, s.start, s.stop, s.synced] for s in self.stretches]
        return f"{self.number:06}-{identity.content_hash(covered)[:12]}"


@dataclass(frozen=True, kw_only=True)
class CheckUnit:
    """Documents on which the tokenizer's engines are compared."""

    texts: tuple[str, ...]

    @property
    def unit_id(self) -> str:
        """There is one."""
        return "check"

    @property
    def count(self) -> int:
        """Documents."""
        return len(self.texts)


@dataclass(frozen=True, kw_only=True)
class WriteUnit:
    """Documents of one part, to be tokenised."""

    number: int
    part: str
    """File name of the part."""
    count: int
    """Documents."""
    engine: str = ""
    """Which of the tokenizer's engines makes the ids; all make the same."""

    @property
    def unit_id(self) -> str:
        """Name of the tokens that the unit makes: its place, and a hash of the part's name."""
        return f"{self.number:06}-{identity.content_hash(self.part)[:12]}"


def plan(surveys: Sequence[Survey], *, unit_bytes: int) -> list[ReadUnit]:
    """Cut the sources into units: large ones into ranges, small ones gathered."""
    units: list[ReadUnit] = []
    waiting: list[Stretch] = []
    held = 0

    def close() -> None:
        nonlocal held
        if waiting:
            units.append(ReadUnit(number=len(units), stretches=tuple(waiting), count=held))
            waiting.clear()
            held = 0

    for number, survey in enumerate(surveys):
        weight = _ROW_BYTES if survey.unit == "rows" else 1
        for start, stop in _ranges(survey, max(1, unit_bytes // weight)):
            synced = start == 0 or survey.cuts is not None
            waiting.append(Stretch(source=number, start=start, stop=stop, synced=synced))
            held += (stop - start) * weight
            if held >= unit_bytes:
                close()
    close()
    return units


def _ranges(survey: Survey, size: int) -> Iterable[tuple[int, int]]:
    """Ranges of about `size` that cover a source, cut only where it allows."""
    places = range(size, survey.size, size) if survey.cuts is None else survey.cuts
    start = 0
    for place in places:
        # The last range takes what is left when that is little.
        if place - start >= size and survey.size - place >= size // 4:
            yield start, place
            start = place
    yield start, survey.size


def repaired(
    units: Sequence[ReadUnit], found: Mapping[str, Sequence[Found]], surveys: Sequence[Survey]
) -> list[ReadUnit]:
    """The units with every stretch that did not begin where the one before it ended put right.

    Args:
        units: in order.
        found: unit id -> what was found in each of its stretches.
        surveys: of the sources.

    Returns:
        The same units where everything fits; changed ones have another id and must be read.

    Raises:
        BiasAuditError: a stretch that began at a known place left a hole (conservation law).
    """
    chains = [_Chain(survey.label) for survey in surveys]
    result = []
    for unit in units:
        pairs = zip(unit.stretches, found[unit.unit_id], strict=True)
        result.append(replace(unit, stretches=tuple(chains[s.source].put_right(s, span) for s, span in pairs)))
    if result == list(units):
        for survey, chain in zip(surveys, chains, strict=True):
            if chain.place != survey.size:
                raise hole(survey.label, chain.place, survey.size)
    return result


@dataclass(slots=True)
class _Chain:
    """The stretches of one source so far."""

    label: str
    place: int = 0
    """Where the next stretch must begin; the best guess while `sure` is False."""
    stop: int = 0
    """Where the stretch before was to stop."""
    sure: bool = True
    """Whether all stretches so far fit. Behind one that does not, its end may be as wrong as its start was."""

    def put_right(self, stretch: Stretch, span: Found) -> Stretch:
        """The stretch as it is when it fits, or from where it should begin; then go on to its end."""
        place, before, self.stop = self.place, self.stop, stretch.stop
        if span[0] == place if span else place >= stretch.stop:
            self.place = span[1] if span else place
            return stretch
        start = min(place, stretch.stop)
        if self.sure and stretch.synced and stretch.start == start:
            raise hole(self.label, place, span[0] if span else None)
        # What stands far from a doubtful place is more likely right than the place: it is judged in the next round.
        moved = self.sure or before <= place < stretch.stop
        self.sure = self.sure and start == stretch.stop
        if not self.sure:
            self.place = span[1] if span else stretch.stop
        return replace(stretch, start=start, synced=True) if moved else stretch


def hole(label: str, start: int, stop: int | None) -> BiasAuditError:
    """What to raise when bytes from `start` to `stop` (None: the end of a stretch) are in no record."""
    return BiasAuditError(
        f"{label}: bytes {start} to {'the end' if stop is None else stop} are in no record (conservation law). The "
        "file changed while it was read, or the reader is wrong. Nothing was written; run again."
    )
