"""A battery file in, a `Battery` out; or every fault of the file at once, each with its line and column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from biasaudit import identity
from biasaudit.battery import faults, meaning, schema
from biasaudit.battery.render import decodings, render
from biasaudit.battery.source import MAX_FAULTS, Source, load, read_source
from biasaudit.errors import BatteryError
from biasaudit.records import Battery, Measure, Primary, Topic
from biasaudit.results import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A battery beside the file that it came from, for messages that name a line."""

    battery: Battery
    part: schema.BatteryPart
    source: Source


def read_battery(path: Path) -> Battery:
    """Read a battery file.

    Raises:
        BatteryError: the file is missing or has faults; all of them, as `file:line:column: what; expected …`.
    """
    return read(path).battery


def read(path: Path) -> Reading:
    """Read a battery file and keep its places; see `read_battery`."""
    source, early = read_source(path)
    return _finish(source, early, str(path))


def read_text(text: str, name: str = "battery.yaml") -> Reading:
    """Read a battery from a text that is in memory; `name` stands in messages."""
    source, early = load(text, name)
    return _finish(source, early, name)


def _finish(source: Source, early: list[str], path: str) -> Reading:
    """Check form, then meaning, then render; raise when any of them found a fault."""
    part, found = faults.validate(source)
    found = [*early, *found]
    if part is not None:
        found += meaning.check(source, part)
    found = source.in_order(found)
    if found or part is None:
        rest = len(found) - MAX_FAULTS
        more = [f"{source.name}:1:1: and {rest} more faults like these"] if rest > 0 else []
        raise BatteryError([*found[:MAX_FAULTS], *more])
    return Reading(battery=_battery(source, part, path), part=part, source=source)


def _battery(source: Source, part: schema.BatteryPart, path: str) -> Battery:
    """The records of a battery without faults."""
    prompts, pairs, neutral = render(source, part)
    topics = tuple(
        Topic(
            name=name,
            claim=topic.claim or {},
            pairs={language: tuple((a, b) for a, b in pairs) for language, pairs in (topic.pairs or {}).items()},
            title=topic.title or {},
            source=topic.source or "",
        )
        for name, topic in part.topics.items()
    )
    measures = tuple(_measure(name, measure) for name, measure in part.measures.items())
    battery = Battery(
        name=part.battery,
        version=part.version,
        title=part.title,
        languages=tuple(part.languages),
        topics=topics,
        prompts=prompts,
        pairs=pairs,
        neutral_stems=neutral,
        decodings=decodings(part),
        completions=part.sampling.completions,
        seed=part.sampling.seed,
        measures=measures,
        primary=_primary(part),
        sources=tuple(part.sources),
        chat=part.chat,
        alpha=part.alpha,
    )
    return replace(battery, path=path, battery_hash=_hash(battery))


def _measure(name: str, part: schema.MeasurePart) -> Measure:
    """A named use of a scorer, its margin split into number and unit."""
    margin, unit = schema.margin_and_unit(part.margin)
    return Measure(name=name, scorer=part.scorer, options=dict(part.__pydantic_extra__), margin=margin, unit=unit)


def _hash(battery: Battery) -> str:
    """Hash of what a battery means; what is left at its default hashes as before a battery could say so."""
    plain = identity.plain(battery)
    if battery.alpha == ALPHA:
        del plain["alpha"]
    if battery.primary is not None and battery.primary.prompt_test == "exact":
        del plain["primary"]["prompt_test"]
    for measure in plain["measures"]:
        if measure["margin"] is None:
            del measure["margin"], measure["unit"]
    return identity.content_hash(["battery", plain])


def _primary(part: schema.BatteryPart) -> Primary | None:
    """The primary question, its margin split into number and unit."""
    if part.primary is None:
        return None
    margin, unit = schema.margin_and_unit(part.primary.margin)
    return Primary(
        measure=part.primary.measure,
        target=part.primary.target,
        margin=margin,
        unit=unit,
        outcome=part.primary.outcome,
        prompt_test=part.primary.prompt_test,
    )
