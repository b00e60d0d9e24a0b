"""The verb `plan`: what a run of a battery would find, what it would cost, what to add first. Nothing is sampled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import UsageError
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import clock
from biasaudit.results import ALPHA

if TYPE_CHECKING:
    from biasaudit.records import Battery, ScorerCard
    from biasaudit.results import Contrast
    from biasaudit.stats.planner import Cell, Components

RATE, TOPIC_SD, PROMPT_SD = 0.35, 0.10, 0.05
"""What is assumed of shares without a pilot: middling rates, effects that differ between topics by 10 points."""
TOPICS = (6, 10, 12, 18, 24, 36)
COMPLETIONS = (10, 25, 50, 100, 200, 400)
FEWEST_TOPICS = 5
"""As in `stats.heterogeneity`: below, nothing is inferred about topics that were not asked."""
BYTES_A_TOKEN = 8.2
"""Of a stored completion with its scores: 525 MB for a million completions of 64 tokens (benchmarks/million.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is planned for: one outcome of one measure over the open prompts or the stems of a battery."""

    measure: str
    outcome: str
    unit: str
    sampled: bool
    target: str
    margin: float | None
    topics: int
    prompts: int
    completions: int


def plan_command(
    battery: Path,
    *,
    pilot: Path | None = None,
    measure: str = "",
    language: str | None = None,
    completions: int | None = None,
    arms: int | None = None,
    effect: float | None = None,
    tokens_per_second: float | None = None,
    **assumed: float | None,
) -> Outcome:
    """Plan a run of `battery`.

    Args:
        battery: its file.
        pilot: a run folder that variances are estimated from.
        measure: `MEASURE` or `MEASURE:LABEL`; the primary question when empty.
        language: of the prompts; the pilot's, else the battery's first.
        completions: a prompt, from each arm; the battery's own when None.
        arms: how many are sampled; the pilot's, else three.
        effect: whose power is asked for, in the outcome's unit; the margin when None.
        tokens_per_second: measured speed, all processes together.
        **assumed: `rate`, the share of both arms; `topic_sd` and `prompt_sd`, standard deviations of the effect between
            topics and between prompts of a topic, in the unit; `rho`, the correlation of coupled completions.

    Raises:
        UsageError: the battery has no such question, the pilot none either, or assumptions do not fit.
    """
    from biasaudit.battery.read import read_battery

    read = read_battery(battery)
    found = _pilot(pilot) if pilot is not None else None
    spoken = language or (found["language"] if found else read.languages[0])
    if spoken not in read.languages:
        raise UsageError(f"--language {spoken}: battery '{read.name}' speaks {', '.join(read.languages)}; choose one")
    asked = _question(read, spoken, measure, completions)
    changed = _refuse_other(read, spoken, asked, found) if found else []
    parts, source, unit = _components(asked, found, {key: v for key, v in assumed.items() if v is not None})
    wanted = effect if effect is not None or unit != asked.unit else asked.margin
    data = {
        "battery": read.name,
        "language": spoken,
        "question": asked,
        "unit": unit,
        "source": source,
        "pilot_differs": changed,
        **_design(parts, asked, wanted, read.alpha),
        "cost": _cost(read, spoken, asked, arms or (found["arms"] if found else 3), tokens_per_second),
    }
    return Outcome(text=_text(data), data=data)


def _design(parts: Components, asked: Question, wanted: float | None, alpha: float) -> dict[str, Any]:
    """What the battery as it stands finds, the table around it, and what to add."""
    from biasaudit.stats import planner

    here = planner.cell(parts, asked.topics, asked.prompts, asked.completions, wanted, alpha=alpha)
    share = asked.prompts / asked.topics
    star = planner.enough_completions(parts, asked.topics, asked.prompts)
    return {
        "variances": parts,
        "effect": wanted,
        "here": here,
        "enough_completions": star if asked.sampled else None,
        "alpha": alpha,
        "enough_topics": None
        if wanted is None
        else planner.enough_topics(parts, share, asked.completions, wanted, alpha=alpha),
        "advice": planner.advice(parts, here, alpha=alpha),
        "table": planner.grid(
            parts,
            topics=sorted({*TOPICS, asked.topics}),
            prompts_a_topic=share,
            completions=sorted({*COMPLETIONS, asked.completions}) if asked.sampled else [asked.completions],
            effect=wanted,
            alpha=alpha,
        ),
    }


def _question(battery: Battery, language: str, word: str, completions: int | None) -> Question:
    """The outcome that is planned for, and how much of the battery asks for it."""
    from biasaudit import scoring
    from biasaudit.stats.arms import margin_of

    name, _, outcome = word.partition(":")
    primary = battery.primary
    if not name:
        if primary is None:
            raise UsageError(f"battery '{battery.name}' has no primary question; name one: --measure MEASURE[:LABEL]")
        name, outcome = primary.measure, primary.outcome
    measure = next((m for m in battery.measures if m.name == name), None)
    if measure is None:
        listed = ", ".join(m.name for m in battery.measures)
        raise UsageError(f"--measure {word}: battery '{battery.name}' has no such measure; it has {listed}")
    card: ScorerCard = scoring.card(measure.scorer, measure.options)
    outcome = outcome or "value"
    if outcome != "value" and outcome not in card.labels:
        raise UsageError(f"--measure {word}: '{name}' has no label '{outcome}'; it has {', '.join(card.labels) or '-'}")
    unit = "share" if outcome in card.labels else card.unit
    sampled = card.reads == "completions"
    if sampled:
        places = {(p.prompt_id, p.topic) for p in battery.prompts if p.language == language}
    else:
        places = {(p.stem.prompt_id, p.topic) for p in battery.pairs if p.stem.language == language}
        places = places or {(p.prompt_id, p.topic) for p in battery.prompts if p.language == language}
    if not places:
        raise UsageError(f"battery '{battery.name}' asks nothing of '{name}' in '{language}'")
    return Question(
        measure=name,
        outcome=outcome,
        unit=unit,
        sampled=sampled,
        target=primary.target if primary is not None else "population",
        margin=margin_of(measure, outcome, unit, primary),
        topics=len({topic for _, topic in places}),
        prompts=len(places),
        completions=(completions or battery.completions) if sampled else 1,
    )


def _pilot(path: Path) -> Mapping[str, Any]:
    """What a pilot run says: its contrasts, language and number of arms."""
    from biasaudit.pipeline.audit import open_run, read_analysis, refuse_too_early, stored_plan

    folder = open_run(path)
    refuse_too_early(folder, "report")
    manifest = folder.manifest
    return {
        "path": str(path),
        "battery": stored_plan(folder).battery,
        "contrasts": read_analysis(folder).contrasts,
        "language": manifest["language"],
        "arms": len(manifest["arms"]),
    }


def _refuse_other(battery: Battery, language: str, asked: Question, pilot: Mapping[str, Any]) -> list[str]:
    """What the pilot's battery has otherwise, where its variances still speak of this one.

    Raises:
        UsageError: the pilot is of another battery or language, or measures something else under this name.
    """
    held: Battery = pilot["battery"]
    if held.name != battery.name:
        raise UsageError(
            f"--pilot {pilot['path']}: a run of battery '{held.name}', and '{battery.name}' is planned; its variances "
            "say nothing of other prompts. Give a small run of the same battery"
        )
    if pilot["language"] != language:
        raise UsageError(
            f"--pilot {pilot['path']}: a run in '{pilot['language']}', and '{language}' is planned; give a run of it"
        )
    measures = {m.name: (m.scorer, dict(m.options)) for m in held.measures}
    now = next((m.scorer, dict(m.options)) for m in battery.measures if m.name == asked.measure)
    if measures.get(asked.measure, now) != now:
        raise UsageError(
            f"--pilot {pilot['path']}: its measure '{asked.measure}' is another one (scorer or options differ: "
            f"{measures[asked.measure]} → {now}); give a run of the battery as it is now"
        )
    if held.battery_hash == battery.battery_hash:
        return []
    pairs = {
        "version": (held.version, battery.version),
        "topics": (len(held.topics), len(battery.topics)),
        "prompts": tuple(sum(p.language == language for p in b.prompts) for b in (held, battery)),
        "stems with continuations": tuple(sum(p.stem.language == language for p in b.pairs) for b in (held, battery)),
        "decodings": (len(held.decodings), len(battery.decodings)),
        "longest completion": (held.decodings[0].max_new_tokens, battery.decodings[0].max_new_tokens),
    }
    said = [f"{what} {old} → {new}" for what, (old, new) in pairs.items() if old != new]
    return said or ["wording"]


def _components(
    asked: Question, pilot: Mapping[str, Any] | None, assumed: Mapping[str, float]
) -> tuple[Components, str, str]:
    """Variances, where they come from, and the unit that they are in."""
    from biasaudit.stats.planner import Components, assumed_rates, estimated

    if pilot is not None:
        if assumed:
            raise UsageError("--pilot estimates what --rate, --topic-sd, --prompt-sd and --rho assume: give one or the "
                             "other")  # fmt: skip
        contrast = _matching(asked, pilot)
        parts = estimated(contrast)
        if parts is None:
            raise UsageError(f"{pilot['path']}: the pilot has one topic, so nothing is known of the others; give two")
        return parts, f"estimated from {pilot['path']} ({contrast.tuned} − {contrast.reference})", asked.unit
    topic, prompt = assumed.get("topic_sd"), assumed.get("prompt_sd")
    if asked.sampled and asked.unit == "share":
        rate = assumed.get("rate", RATE)
        if not 0 <= rate <= 1:
            raise UsageError(f"--rate {rate:g}: expected a share from 0 to 1")
        topic, prompt = TOPIC_SD if topic is None else topic, PROMPT_SD if prompt is None else prompt
        rates = assumed_rates(rate, topic_sd=topic, prompt_sd=prompt, rho=assumed.get("rho", 0.0))
        words = f"assumed: rate {rate:g}, SD of the effect {topic:g} between topics, {prompt:g} between prompts"
        return rates, words, asked.unit
    if asked.sampled and topic is None:
        raise UsageError(
            f"nothing is known of how '{asked.measure}' ({asked.unit}) varies: give a small run of the same battery, "
            "--pilot RUN"
        )
    known = topic is not None
    parts = Components(topic=topic**2 if topic is not None else 1.0, prompt=(prompt or 0.0) ** 2, within=0.0)
    unit = asked.unit if known else "standard deviations of the effect between topics"
    return parts, "assumed" if known else "no assumption: effects are counted in their own spread between topics", unit


def _matching(asked: Question, pilot: Mapping[str, Any]) -> Contrast:
    """The pilot's contrast that asks the same."""
    found: list[Contrast] = [
        row
        for row in pilot["contrasts"]
        if (row.measure, row.outcome) == (asked.measure, asked.outcome) and row.tuned != row.reference
    ]
    if not found:
        raise UsageError(f"{pilot['path']}: the pilot compares no arms on '{asked.measure}' ({asked.outcome})")
    return found[0]


def _cost(
    battery: Battery, language: str, asked: Question, arms: int, tokens_per_second: float | None
) -> dict[str, float | int | None]:
    """Completions, tokens at most, seconds where the speed is known, and bytes on disk."""
    prompts = sum(prompt.language == language for prompt in battery.prompts)
    wanted = asked.completions if asked.sampled else battery.completions
    whole = prompts * arms * wanted * len(battery.decodings)
    tokens = sum(prompts * arms * wanted * decoding.max_new_tokens for decoding in battery.decodings)
    return {
        "arms": arms,
        "completions": whole,
        "tokens_at_most": tokens,
        "seconds_at_most": tokens / tokens_per_second if tokens_per_second else None,
        "bytes_at_most": math.ceil(tokens * BYTES_A_TOKEN),
    }


def _text(data: Mapping[str, Any]) -> str:
    """The plan for a person."""
    asked: Question = data["question"]
    here: Cell = data["here"]
    shares = data["unit"] == "share"
    factor, unit = (100.0, "points") if shares else (1.0, data["unit"])

    def show(x: float | None) -> str:
        return "–" if x is None else f"{x * factor:.{1 if shares else 3}f}"

    name = asked.measure + ("" if asked.outcome == "value" else f": {asked.outcome}")
    size = f"{asked.topics} topics, {asked.prompts} prompts" + (
        f", {asked.completions} completions a prompt and arm" if asked.sampled else ", no sampling"
    )
    parts = data["variances"]
    spread = f"{show(math.sqrt(parts.topic))} between topics, {show(math.sqrt(parts.prompt))} between prompts"
    lines = [
        f"{data['battery']} ({data['language']}), {name}: {size}",
        f"  variances {data['source']}",
        f"  SD of the effect: {spread} ({unit})",
    ]
    if data["alpha"] != ALPHA:
        lines.append(f"  tests at {100 * data['alpha']:g} %, as the battery declares")
    if data["pilot_differs"]:
        lines.insert(2, f"  careful: the battery changed since the pilot: {', '.join(data['pilot_differs'])}")
    if here.mde_population is not None:
        lines.append(f"  prompts like these: found with 80 % power from {show(here.mde_population)} {unit} on "
                     f"(t, {here.topics - 1} df)")  # fmt: skip
    elif asked.topics < FEWEST_TOPICS:
        lines.append(f"  prompts like these: fewer than {FEWEST_TOPICS} topics, so nothing can be tested")
    else:
        lines.append("  prompts like these: nothing varies, so no standard error exists")
    if here.mde_fixed is not None:
        lines.append(f"  exactly these prompts: from {show(here.mde_fixed)} {unit} on")
    if here.power is not None:
        which = "prompts like these" if here.mde_population is not None else "exactly these prompts"
        lines.append(f"  power against {show(data['effect'])} {unit} ({which}): {100 * here.power:.0f} %")
    lines += _table(data, show, unit) + _suggestions(data, asked, here, show) + _cost_lines(data["cost"], asked)
    return "\n".join(lines)


def _table(data: Mapping[str, Any], show: Any, unit: str) -> list[str]:
    """Detectable differences over topics and completions."""
    cells: list[Cell] = data["table"]
    counts = sorted({cell.completions for cell in cells})
    title = f"  smallest difference found, prompts like these ({unit}), by topics"
    head = title + (" and completions a prompt:" if len(counts) > 1 else ":")
    lines = [head, "  topics prompts " + "".join(f"{f'n={n}':>9}" for n in counts)]
    for topics in sorted({cell.topics for cell in cells}):
        row = [cell for cell in cells if cell.topics == topics]
        lines.append(f"  {topics:>6} {row[0].prompts:>7} " + "".join(f"{show(cell.mde_population):>9}" for cell in row))
    return lines if len(counts) > 1 else [lines[0], lines[1].split(" n=")[0].rstrip(), *lines[2:]]


def _suggestions(data: Mapping[str, Any], asked: Question, here: Cell, show: Any) -> list[str]:
    """What to add first."""
    star, needed = data["enough_completions"], data["enough_topics"]
    lines = []
    if asked.sampled and here.mde_population is not None:
        share = f"{100 * here.sampling_share:.0f} % of the variance is sampling"
        lines.append(f"  {share}; " + ("every completion counts" if star is None else
                     f"it is below 10 % from {star} completions a prompt on"))  # fmt: skip
    if data["advice"] == "topics":
        lines.append("  add topics, not completions" if asked.sampled else "  only more topics help")
    elif data["advice"] == "completions":
        lines.append("  more completions still help more than more topics")
    if data["effect"] is not None and here.mde_population is not None:
        word = "more than 200 topics" if needed is None else f"{needed} topics"
        lines.append(f"  80 % power against {show(data['effect'])} needs {word} at this size")
    return lines


def _cost_lines(cost: Mapping[str, Any], asked: Question) -> list[str]:
    """What a run costs."""
    seconds = cost["seconds_at_most"]
    speed = f"at most {clock(seconds)}" if seconds is not None else "time unknown (--tokens-per-second X tells it)"
    if not cost["completions"]:
        return ["  cost: likelihoods alone, seconds to minutes"]
    extra = "" if asked.sampled else " for the battery's sampled measures"
    size = f"at most {cost['tokens_at_most']:,} tokens, {speed}, at most {cost['bytes_at_most'] / 1e6:,.1f} MB"
    return [f"  cost{extra}: {cost['completions']:,} completions of {cost['arms']} arms, {size}"]
