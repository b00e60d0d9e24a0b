"""Findings of the designs in words: numbers in the unit of their finding, names, and a sentence where one helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from biasaudit.report.numbers import MISSING, Numbers
from biasaudit.report.scale import SHARE_UNITS
from biasaudit.report.words import Words
from biasaudit.results import Finding

MOST_WORDS = 15
MOST_LINES = 8
"""Sentences of one design; the table has a row for every finding."""


PER_TEMPERATURE = " per unit of temperature"
"""What the unit of a slope over temperatures ends with."""


def is_share(row: Finding) -> bool:
    """Whether a finding is a difference of shares, shown in points."""
    return row.unit.removesuffix(PER_TEMPERATURE) in SHARE_UNITS and row.name not in ("ratio", "joint")


def unit_words(row: Finding, words: Words) -> str:
    """The unit of a finding's differences in words."""
    return words("unit.points") if is_share(row) else words.phrase("unit", row.unit.removesuffix(PER_TEMPERATURE))


UNSIGNED = ("ratio", "joint", "groups-inside", "groups-between", "energy", "mmd", "c2st", "largest-z")
"""Names of findings whose number is no difference: a distance, a spread, a ratio; it has no plus sign."""


def shown(row: Finding, value: float | None, numbers: Numbers, *, signed: bool | None = None) -> str:
    """Differences of shares in points, everything else with four significant digits.

    Args:
        row: whose unit the number is in.
        value: the number.
        numbers: of the locale.
        signed: whether a plus sign is written; by the name of the finding when None.
    """
    if value is None:
        return MISSING
    plus = row.name not in UNSIGNED if signed is None else signed
    if is_share(row):
        return numbers.decimal(100 * value, 1, signed=plus)
    whole = len(f"{abs(value):.0f}") if abs(value) >= 1 else 0
    small = 0 < abs(value) < 0.001
    return numbers.decimal(value, 6 if small else max(0, 4 - whole), signed=plus)


def with_unit(row: Finding, value: float | None, words: Words, numbers: Numbers) -> str:
    """A difference and its unit."""
    if value is None:
        return MISSING
    return f"{shown(row, value, numbers, signed=True)} {unit_words(row, words)}"


def about(row: Finding, words: Words) -> str:
    """Measure and outcome."""
    return row.measure if row.outcome == "value" else f"{row.measure}, {words.fixed('label', row.outcome)}"


def arms(row: Finding, words: Words) -> str:
    """The arms compared, or the one looked into."""
    if not row.reference or row.reference == row.tuned:
        return row.tuned
    return words("designs.arms", tuned=row.tuned, reference=row.reference)


def lines(design: str, rows: Sequence[Finding], words: Words, numbers: Numbers) -> list[str]:
    """Sentences that say what a design found."""
    if design == "curve":
        out = sum(row.interval is not None and row.interval.low * row.interval.high > 0 for row in rows)
        up = sum((row.estimate or 0.0) > 0 for row in rows)
        return [words("designs.curve_detail", n=len(rows), up=up, out=out)]
    if design == "families":
        opened = sum(row.note != "family-not-selected" for row in rows)
        below = sum(row.note != "family-not-selected" and (row.p_adjusted or 0.0) < Q for row in rows)
        return [words("designs.families_detail", n=len(rows), opened=opened, below=below)]
    if design == "rare":
        said_first = sorted(rows, key=lambda row: not row.details["apart"])
        most = max(MOST_LINES, sum(row.details["apart"] for row in rows))
        return [f"{about(row, words)}, {arms(row, words)}: {rare(row, words, numbers)}" for row in said_first[:most]]
    said = _SAID.get(design)
    moved = [row for row in rows if row.estimate or row.p is not None or row.name == "bounds"]
    return [line for row in moved for line in said(row, words, numbers)][:MOST_LINES] if said else []


def uncalibrated(rows: Sequence[Finding], words: Words) -> list[str]:
    """The sentence about rows whose outcome is too rare for the interval that they have."""
    count = sum(bool(row.details.get("rare")) for row in rows)
    return [words("designs.uncalibrated", n=count, of=len(rows))] if count else []


Q = 0.05
"""False discovery rate under which adjusted p-values are counted, as in `stats.families`."""


def doses(values: Sequence[float], numbers: Numbers) -> str:
    """Doses, or other settings, with the digits that they have."""
    return "; ".join(numbers.decimal(value, len(f"{value:.4f}".rstrip("0").partition(".")[2])) for value in values)


def level(row: Finding, value: float, numbers: Numbers) -> str:
    """A mean: a share in percent, anything else in its unit."""
    return numbers.percent(value) if is_share(row) else shown(row, value, numbers, signed=False)


def rare(row: Finding, words: Words, numbers: Numbers) -> str:
    """The calibrated interval and p beside Student's, and whether they decide alike."""
    found, interval = row.details, row.interval
    after = "" if found["family_size"] == 1 else "_holm"
    decides = {f"p_{name}": numbers.p_phrase(p) for name, p in found["after_holm"].items()}
    ends = [(found["student"]["low"], found["student"]["high"])]
    ends += [] if interval is None else [(interval.low, interval.high)]
    limits = [words("number.range", low=shown(row, low, numbers), high=shown(row, high, numbers)) for low, high in ends]
    told = words(
        "designs.rare_detail" if interval is not None else "designs.rare_unbounded",
        range=limits[-1],
        p=numbers.p_phrase(row.p),
        unit=words("unit.points"),
        student=limits[0],
        p_student=numbers.p_phrase(found["student"]["p"]),
    )
    if not found["apart"]:
        return told
    return f"{told} " + words(f"designs.rare_apart{after}", k=found["family_size"], **decides)


def _dose(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """Both p-values, the fit and the curve of one trend."""
    found = row.details
    line = words(
        "designs.both",
        prompts=numbers.p(found["p_prompts"]),
        runs=numbers.p(found["p_runs"]),
        least=numbers.p(found["least_p"]),
        p=numbers.p(row.p),
        fit=numbers.p(found["lack_of_fit"]),
        doses=doses(found["doses"], numbers),
        means="; ".join(level(row, value, numbers) for value in found["means"]),
        isotonic="; ".join(level(row, value, numbers) for value in found["isotonic"]),
    )
    yield f"{about(row, words)}: {line}"


def _runs(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """Each run of one condition."""
    found = row.details
    each = "; ".join(
        f"{arm} {with_unit(row, value, words, numbers)}"
        for arm, value in zip(found["arms"], found["differences"], strict=True)
    )
    p = {"runs": numbers.p(row.p), "topics": numbers.p(found["p_topics"]), "both": numbers.p(found["p_both"])}
    yield f"{about(row, words)}: " + words("designs.runs_detail", each=each, **p)


def _temperature(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """The effect at each temperature."""
    pairs = zip(row.details["temperatures"], row.details["differences"], strict=True)
    each = "; ".join(
        words("designs.at", level=doses([setting], numbers), value=with_unit(row, value, words, numbers))
        for setting, value in pairs
    )
    yield f"{about(row, words)}, {arms(row, words)}: " + words(
        "designs.temperature_detail", each=each, p=numbers.p(row.p)
    )


def _slots(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """The groups of a slot, or the gap over wordings and fillers."""
    found, head = row.details, f"{row.details['slot']}; {about(row, words)}, {arms(row, words)}: "
    if "fillers" in found:
        p = {key: numbers.p(found[f"p_{key}"]) for key in ("wordings", "fillers")}
        gap = with_unit(row, row.estimate, words, numbers)
        yield head + words("designs.fillers_detail", gap=gap, p=numbers.p(row.p), **p)
        return
    each = "; ".join(f"{group} {with_unit(row, value, words, numbers)}" for group, value in found["means"].items())
    yield head + words("designs.slots_detail", each=each, p=numbers.p(row.p))


def _languages(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """The effect in each language."""
    first, second = (with_unit(row, value, words, numbers) for value in row.details["differences"])
    names = [words.fixed("language", name) for name in row.details["languages"]]
    told = words("designs.language_detail", a=names[0], first=first, b=names[1], second=second, p=numbers.p(row.p))
    yield f"{about(row, words)}, {arms(row, words)}: {told}"


def _robust(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """Cliff's delta as a share of pairs."""
    if row.name == "cliff-delta" and row.estimate is not None:
        yield f"{row.measure}, {arms(row, words)}: " + words(
            "designs.robust_detail", delta=numbers.decimal(row.estimate, 3, signed=True), p=numbers.p(row.p)
        )


def _text(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """How far apart the texts are; the matched null stands in a line of its own."""
    if row.name == "length":
        ends = (shown(row, row.details[f"mean_{arm}"], numbers, signed=False) for arm in ("tuned", "reference"))
        holes = dict(zip(("first", "second"), ends, strict=True))
        yield words("designs.text_length", tuned=row.tuned, reference=row.reference, **holes)
        return
    null = row.details.get("null")
    key = {"split-half": "designs.text_half", "same-model": "designs.text_same"}.get(str(null), "designs.text_detail")
    name = words(f"designs.name.{row.name}")
    value, p = shown(row, row.estimate, numbers), numbers.p(row.p)
    yield words(key, tuned=row.tuned, reference=row.reference, name=name, value=value, p=p)


def _words(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """Words beyond the threshold, arm by arm."""
    threshold = numbers.decimal(row.details["threshold"], 2)
    beyond = [word for word in row.details["words"] if abs(word["z"]) > row.details["threshold"]]
    for arm, sign in ((row.tuned, 1), (row.reference, -1)):
        own = [f"{w['word']} ({numbers.decimal(abs(w['z']), 1)})" for w in beyond if w["z"] * sign > 0][:MOST_WORDS]
        if own:
            other = row.reference if sign > 0 else row.tuned
            yield words("designs.words_more", arm=arm, other=other, threshold=threshold, words=", ".join(own))
    if not beyond:
        yield words("designs.words_none", tuned=row.tuned, reference=row.reference, threshold=threshold)


def _composition(row: Finding, words: Words, numbers: Numbers) -> Iterator[str]:
    """The joint test, and worst cases of unscored completions."""
    if row.name == "joint":
        yield words("designs.joint_detail", measure=row.measure, arms=arms(row, words), p=numbers.p(row.p))
    if row.name == "bounds":
        low, high = shown(row, row.details["low"], numbers), with_unit(row, row.details["high"], words, numbers)
        label = words.fixed("label", row.outcome)
        yield f"{row.measure}, {arms(row, words)}: " + words("designs.bounds", label=label, low=low, high=high)


_SAID: dict[str, Callable[[Finding, Words, Numbers], Iterator[str]]] = {
    "composition": _composition,
    "runs": _runs,
    "dose": _dose,
    "temperature": _temperature,
    "slots": _slots,
    "language": _languages,
    "robust": _robust,
    "text": _text,
    "words": _words,
}
