"""Check a battery without any model: faults, warnings, what a run of it would do, its first prompts.

Here the battery meets the scorers: that a measure's scorer exists and takes its options is known only to the two
together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import BatteryError, InputError, UnknownNameError

if TYPE_CHECKING:
    from biasaudit.battery.findings import Weakness
    from biasaudit.battery.read import Reading
    from biasaudit.records import Arm, Battery, Measure

FIRST = 3
"""Prompts a language that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What is known of one battery file."""

    path: Path
    battery: Battery | None
    """None when the file has faults."""
    faults: tuple[str, ...] = ()
    """`file:line:column: what is wrong; expected …`"""
    warnings: tuple[str, ...] = ()
    """What weakens an audit: `file:line:column: what (because why); to do: what [rule]`."""
    notes: tuple[str, ...] = ()
    """What could be added, in the same form."""
    counts: Mapping[str, Any] = field(default_factory=dict)
    """`topics`, `templates`, `stems`, `decodings`, and by language `prompts`, `pairs`, `completions_per_arm`."""
    first_prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Language -> the first prompts, as the model will read them."""
    detectable_sd: float | None = None
    """Effect found with 80 % power, in standard deviations of the effect between topics; only below ten topics."""

    @property
    def ok(self) -> bool:
        """Whether a run can use the battery."""
        return not self.faults

    def data(self) -> dict[str, Any]:
        """The result for a machine."""
        battery = self.battery
        plain: dict[str, Any] = {
            "path": str(self.path),
            "ok": self.ok,
            "faults": list(self.faults),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "counts": identity.plain(self.counts),
            "first_prompts": identity.plain(self.first_prompts),
            "detectable_sd": self.detectable_sd,
        }
        if battery is not None:
            plain |= {"battery": battery.name, "version": battery.version, "battery_hash": battery.battery_hash}
            plain["decodings"] = [identity.plain(decoding) for decoding in battery.decodings]
        return plain

    def text(self) -> str:
        """The result for a person."""
        if self.battery is None:
            return "\n".join([*self.faults, f"{self.path}: {len(self.faults)} fault(s); see prompts/README.md"])
        battery, counts = self.battery, self.counts
        lines = [f"{self.path}: battery `{battery.name}` version {battery.version}, {battery.battery_hash[:12]}"]
        lines.append(
            f"  {counts['topics']} topics, {counts['templates']} templates, {counts['stems']} stems, "
            f"{counts['decodings']} decoding(s) × {battery.completions} completions a prompt"
        )
        for language in battery.languages:
            lines.append(
                f"  {language}: {counts['prompts'][language]} prompts, {counts['pairs'][language]} continuation pairs, "
                f"{counts['completions_per_arm'][language]} completions from every arm"
            )
            lines += ["      " + line for prompt in self.first_prompts[language] for line in prompt.splitlines()]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"note: {note}" for note in self.notes]
        if self.detectable_sd is not None:
            lines.append(
                f"  With {counts['topics']} topics a run finds (80 % power) only effects from {self.detectable_sd:.2f} "
                "standard deviations of the effect between topics on."
            )
        return "\n".join(lines)


def check(path: Path, *, corpora: Sequence[Path] = (), arms: Sequence[Arm] = ()) -> CheckResult:
    """Check one battery file; faults are in the result, nothing is raised for them.

    Args:
        path: the file.
        corpora: training corpora that its prompts are looked for in.
        arms: models whose languages it must speak.

    Raises:
        CorpusError: a corpus cannot be read.
        UsageError: searching needs the extra `search`.
    """
    from biasaudit.battery.findings import in_order
    from biasaudit.battery.lint import lint
    from biasaudit.battery.read import read

    try:
        reading = read(path)
    except BatteryError as error:
        return CheckResult(path=path, battery=None, faults=error.faults)
    faults, warnings = _scorers(reading)
    if faults:
        return CheckResult(path=path, battery=None, faults=tuple(faults))
    from biasaudit.pipeline.check_against import arm_languages, in_corpus

    battery = reading.battery
    found = [*lint(reading), *warnings, *arm_languages(reading, arms)]
    for corpus in corpora:
        found += in_corpus(reading, corpus)
    told: dict[str, list[str]] = {"warning": [], "note": []}
    for finding in in_order(reading, found):
        told[finding.severity].append(str(finding))
    return CheckResult(
        path=path,
        battery=battery,
        warnings=tuple(told["warning"]),
        notes=tuple(told["note"]),
        counts=_counts(reading),
        first_prompts={language: _first(battery, language) for language in battery.languages},
        detectable_sd=_detectable(battery),
    )


def check_all(paths: Iterable[Path]) -> list[CheckResult]:
    """Check several battery files, in the order given."""
    return [check(path) for path in paths]


def new_battery(name: str, folder: Path) -> Path:
    """Write a commented battery to start from; see `biasaudit.battery.new`."""
    from biasaudit.battery.new import new_battery as write

    return write(name, folder)


def _first(battery: Battery, language: str) -> tuple[str, ...]:
    """The first prompts of a language; of a battery without templates, stems with their first claims."""
    texts = [prompt.text for prompt in battery.prompts if prompt.language == language]
    texts = texts or [f"{pair.stem.text} ▸{pair.claim}" for pair in battery.pairs if pair.stem.language == language]
    return tuple(texts[:FIRST])


def _counts(reading: Reading) -> dict[str, Any]:
    """How much a run will ask."""
    battery = reading.battery
    prompts = {lang: sum(prompt.language == lang for prompt in battery.prompts) for lang in battery.languages}
    decodings = len(battery.decodings)
    return {
        "topics": len(battery.topics),
        "templates": len(reading.part.templates),
        "stems": len({pair.stem.template for pair in battery.pairs}),
        "decodings": decodings,
        "prompts": prompts,
        "pairs": {lang: sum(pair.stem.language == lang for pair in battery.pairs) for lang in battery.languages},
        "completions_per_arm": {lang: count * decodings * battery.completions for lang, count in prompts.items()},
    }


def _scorers(reading: Reading) -> tuple[list[str], list[Weakness]]:
    """Faults and warnings of measures: unknown scorers, options refused, likelihoods without pairs, foreign units."""
    from biasaudit import scoring

    battery, source = reading.battery, reading.source
    names: list[str] = scoring.names()
    faults: list[str] = []
    warnings: list[Weakness] = []
    for measure in battery.measures:
        loc = ("measures", measure.name)
        if measure.scorer not in names:
            faults.append(source.fault((*loc, "scorer"), str(UnknownNameError("scorer", measure.scorer, names))))
            continue
        card = scoring.card(measure.scorer, measure.options)
        for language in battery.languages:
            try:
                scoring.build(measure.scorer, measure.options, measure.name, language)
            except InputError as error:
                faults.append(_refused(reading, measure.name, str(error)))
                break
        if card.reads == "likelihoods" and measure.scorer == "likelihood" and not battery.pairs:
            what = f"measure `{measure.name}` compares continuations; expected stems, and pairs in the topics"
            faults.append(source.fault(loc, what, key=True))
        warnings += _judged(reading, measure, card.languages)
        if measure.scorer == "likelihood" and measure.options.get("variant") == "pmi":
            lacking = [language for language in battery.languages if language not in battery.neutral_stems]
            if lacking:
                what = f"measure `{measure.name}` is of variant pmi; expected a `neutral` stem in {', '.join(lacking)}"
                faults.append(source.fault(loc, what, key=True))
        if card.reads == "completions" and not battery.prompts:
            what = f"measure `{measure.name}` reads completions; expected templates"
            faults.append(source.fault(loc, what, key=True))
        primary = battery.primary
        warnings += _margin_fit(reading, measure, card.unit)
        if primary is not None and primary.measure == measure.name:
            warnings += _primary_fit(reading, card.unit, card.labels)
    return source.in_order(faults), warnings


def _refused(reading: Reading, name: str, error: str) -> str:
    """What a scorer says of a measure's options, at the rule that it names where that stands in the file."""
    source, loc = reading.source, ("measures", name)
    told = re.search(r"rule '(.*)': ", error)
    for trail in source.places if told else ():
        value = source.value
        for step in trail:
            value = value[step]
        if trail[:2] == loc and told is not None and value == told[1]:
            return source.fault(trail, error)
    return source.fault(loc, error if name in error else f"measure `{name}`: {error}", key=True)


def _judged(reading: Reading, measure: Measure, judged: tuple[str, ...]) -> list[Weakness]:
    """Whether a measure's scorer judges the battery's languages."""
    from biasaudit.battery.findings import found

    lacking = [language for language in reading.battery.languages if language.split("-")[0] not in judged]
    if not judged or not lacking:
        return []
    what = f"the scorer of measure `{measure.name}` judges {', '.join(judged)}, not {', '.join(lacking)}"
    return [found(reading, "unjudged-language", ("measures", measure.name), what, key=True)]


def _margin_fit(reading: Reading, measure: Measure, unit: str) -> list[Weakness]:
    """Whether a measure's own margin is in its scorer's unit."""
    from biasaudit.battery.findings import found
    from biasaudit.stats.arms import margin_of

    try:
        margin_of(measure, "value", unit, None)
    except InputError as error:
        return [found(reading, "margin-unit", ("measures", measure.name, "margin"), str(error).rstrip("."))]
    return []


def _primary_fit(reading: Reading, unit: str, labels: tuple[str, ...]) -> list[Weakness]:
    """Whether outcome and margin of the primary question fit what its scorer says of itself."""
    from biasaudit.battery.findings import found
    from biasaudit.stats.arms import margin_in

    primary = reading.battery.primary
    told: list[Weakness] = []
    if primary is None:
        return told
    if primary.outcome != "value" and primary.outcome not in labels:
        known = ", ".join(labels) or "none, its scorer gives values; write `outcome: value`"
        what = f"the outcome `{primary.outcome}` is no label of the scorer; known: {known}"
        told.append(found(reading, "outcome", ("primary", "outcome"), what))
    try:
        margin_in("share" if primary.outcome in labels else unit, primary)
    except InputError as error:
        told.append(found(reading, "margin-unit", ("primary", "margin"), str(error).rstrip(".")))
    return told


def _detectable(battery: Battery) -> float | None:
    """Smallest effect that a population test on few topics finds, in standard deviations between topics."""
    from biasaudit.battery.lint import MIN_TOPICS

    topics = len(battery.topics)
    if battery.primary is None or battery.primary.target != "population" or not 1 < topics < MIN_TOPICS:
        return None
    from biasaudit.stats.power import detectable

    return detectable(1 / math.sqrt(topics), df=topics - 1, alpha=battery.alpha)
