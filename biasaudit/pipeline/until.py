"""Sampling until registered looks say stop: sample up to a look, score it, decide, write the look down, go on.

The plan of the looks is in the manifest before the first completion, every look before the next one begins. A killed
run goes on from the looks that are registered; what was sampled since is looked at as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import UsageError
from biasaudit.labels import ReadsLabels
from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.pipeline.progress import Console
from biasaudit.records import Battery, Measure, Score

if TYPE_CHECKING:
    from biasaudit.stats.job import Job
    from biasaudit.stats.looks import LookPlan
    from biasaudit.stats.stopping import Stopping
    from biasaudit.store.run import RunFolder

RULES = ("precision=X", "decided", "verdict")
PLAN = "until"
LOOKS = "looks"
"""Entries of the manifest."""
FEWEST = 10
"""Completions a prompt at a first look: with fewer a spread that is small by chance would stop a prompt."""


def add_looks(plan: RunPlan, *, until: str, looks: int | None, anytime: bool, look_at: str) -> RunPlan:
    """The plan with registered looks.

    Args:
        plan: whose completions are the most that a prompt may get.
        until: `precision=X`, `decided` or `verdict`.
        looks: how many at most; eight when None.
        anytime: judge by a confidence sequence instead of boundaries.
        look_at: `MEASURE` or `MEASURE:LABEL`; the battery's primary question when empty.

    Raises:
        UsageError: the rule, the measure, the target or the decoding cannot be looked at.
    """
    from biasaudit import scoring
    from biasaudit.stats.arms import margin_of, versus
    from biasaudit.stats.looks import LookPlan
    from biasaudit.stats.sequential import MAX_LOOKS, even_sizes

    battery, primary = plan.battery, plan.battery.primary
    rule, precision = _rule(until)
    measure, outcome = _looked_at(battery, look_at)
    card = scoring.card(measure.scorer, measure.options)
    _refuse_targets(battery)
    if not versus(plan.arms):
        raise UsageError("--until compares a tuned arm with its reference, and this run has no such pair; add an --arm")
    if not plan.prompts or plan.decodings[0].temperature == 0:
        raise UsageError("--until needs prompts that are sampled: greedy completions are all equal and show no error")
    unit = "share" if outcome in card.labels else card.unit
    scheme = "anytime" if anytime else "pocock" if rule == "precision" else "obrien-fleming"
    count = MAX_LOOKS if looks is None else looks
    if not anytime and count > MAX_LOOKS:
        raise UsageError(f"--looks {count}: boundaries are for at most {MAX_LOOKS} looks; --anytime allows more")
    registered = LookPlan(
        rule=rule,  # type: ignore[arg-type]
        measure=measure.name,
        outcome=outcome,
        scheme=scheme,  # type: ignore[arg-type]
        sizes=even_sizes(plan.completions, count, FEWEST),
        precision=precision,
        margin=margin_of(measure, outcome, unit, primary),
        alpha=battery.alpha,
        asked=identity.content_hash(
            [
                [prompt.prompt_id for prompt in plan.prompts],
                [(arm.name, arm.fingerprint, arm.salt, arm.role) for arm in plan.arms],
                [decoding.decoding_id for decoding in plan.decodings],
                measure,
            ]
        ),
    )
    return dataclasses.replace(plan, looks=registered)


def _rule(until: str) -> tuple[str, float | None]:
    """The rule, and the precision that it asks for."""
    word, sign, value = (part.strip() for part in until.partition("="))
    if word in ("decided", "verdict") and not sign:
        return word, None
    if word == "precision":
        try:
            found = float(value)
        except ValueError:
            found = 0.0
        if 0 < found < float("inf"):
            return word, found
    raise UsageError(
        f"--until {until}: expected one of {', '.join(RULES)}, where X is a half-width in the measure's unit above 0, "
        "for instance --until precision=0.05"
    )


def _looked_at(battery: Battery, look_at: str) -> tuple[Measure, str]:
    """The measure and outcome that decide; only those that read completions have a sampling error to watch."""
    from biasaudit import scoring
    from biasaudit.pipeline.score import measures_reading

    possible = [measure.name for measure in measures_reading(battery, "completions")]
    hint = f"--look-at takes {' or '.join(possible)}" if possible else "this battery has no measure that reads any"
    if look_at:
        name, _, label = (part.strip() for part in look_at.partition(":"))
        outcome = label or "value"
    elif battery.primary is None:
        raise UsageError(f"--until: battery '{battery.name}' asks no primary question; {hint}")
    else:
        name, outcome = battery.primary.measure, battery.primary.outcome
    if name not in possible:
        raise UsageError(f"--until looks at completions, and '{name}' is no measure that reads them; {hint}")
    measure = next(found for found in battery.measures if found.name == name)
    labels = scoring.card(measure.scorer, measure.options).labels
    if isinstance(scoring.build(measure.scorer, measure.options, name, battery.languages[0]), ReadsLabels):
        raise UsageError(
            f"--until looks while it samples, and '{name}' is what people say afterwards; sample first, then label. "
            "--look-at takes a measure that a scorer reads by itself"
        )
    if outcome != "value" and outcome not in labels:
        raise UsageError(f"--look-at {name}:{outcome}: the labels of '{name}' are {', '.join(labels) or 'none'}")
    return measure, outcome


def _refuse_targets(battery: Battery) -> None:
    """Sampling cannot shrink what comes from the choice of prompts."""
    from biasaudit import scoring

    primary = battery.primary
    if primary is None or primary.target == "fixed":
        return
    scorer = next(measure.scorer for measure in battery.measures if measure.name == primary.measure)
    if scoring.card(scorer).reads == "completions":
        raise UsageError(
            f"--until stops by sampling error, which only the target `fixed` is about, and battery '{battery.name}' "
            "asks for `population`: set `target: fixed` in its primary question, or leave --until out"
        )


def sample_until(plan: RunPlan, folder: RunFolder, machine: Machine, console: Console) -> RunPlan:
    """Sample and look until nothing is open; the plan comes back with the size that each prompt reached."""
    from biasaudit.pipeline.complete import ask_arms

    while True:
        records = folder.manifest.get(LOOKS, [])
        plan = dataclasses.replace(plan, sizes=sizes_after(plan, records))
        ask_arms(plan, folder, machine, console)
        if settled(plan, records):
            return plan
        record = look(plan, folder, records)
        folder.update_manifest({LOOKS: [*records, record]})
        console.say(
            f"look {record['look']} of {len(_looks(plan).sizes)} at {record['size']} completions: "
            f"{len(record['closed'])} prompts stop, {record['open']} go on"
        )


def sizes_after(plan: RunPlan, records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Prompt id -> completions: of a closed prompt those of its last look, of an open one those of the next."""
    from biasaudit.stats.looks import closed_at

    sizes, closed = _looks(plan).sizes, closed_at(records)
    following = min(len(records), len(sizes) - 1)
    return {p.prompt_id: sizes[closed.get(p.prompt_id, following)] for p in plan.prompts}


def settled(plan: RunPlan, records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no prompt is open."""
    return bool(records) and (records[-1]["open"] == 0 or len(records) == len(_looks(plan).sizes))


def look(plan: RunPlan, folder: RunFolder, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The look that follows `records`, from what is stored and no more than it may see."""
    from biasaudit.stats.looks import take_look

    seen = dataclasses.replace(plan, sizes=sizes_after(plan, records))
    found: dict[str, Any] = identity.plain(take_look(_job(seen, folder), _looks(plan), records))
    return found


def _job(plan: RunPlan, folder: RunFolder) -> Job:
    """The measure's scores of the completions that the plan asks for, arranged for comparison."""
    from biasaudit import scoring
    from biasaudit.pipeline.score import check_measures
    from biasaudit.stats.job import Job
    from biasaudit.stats.table import arrange

    battery, name = plan.battery, _looks(plan).measure
    check_measures(battery, plan.language, plan.arms)
    return Job(
        battery=battery,
        language=plan.language,
        arms=plan.arms,
        decodings=plan.decodings,
        cards={measure.name: scoring.card(measure.scorer, measure.options) for measure in battery.measures},
        tables={name: arrange(name, battery, plan.language, _scores(plan, folder))},
        numerics={},
        stored={},
        wanted={},
    )


def _scores(plan: RunPlan, folder: RunFolder) -> list[Score]:
    """Scores of the looked-at measure under the first decoding."""
    from biasaudit.pipeline.copying import SCORER, open_corpora
    from biasaudit.pipeline.score import completion_scorer
    from biasaudit.pipeline.stored import Stored
    from biasaudit.store.tables import completions_from_table

    measure = next(found for found in plan.battery.measures if found.name == _looks(plan).measure)
    first = dataclasses.replace(plan, decodings=plan.decodings[:1])
    rows = (row for table in Stored(folder, first).tables(tokens=True) for row in completions_from_table(table))
    corpora = open_corpora(plan, Console(quiet=True), [measure]) if measure.scorer == SCORER else {}
    scorer = completion_scorer(plan.battery, plan.language, [measure], corpora=corpora, journals=folder.path)
    return scorer(rows)[measure.name]


def restored(plan: RunPlan, manifest: Mapping[str, Any]) -> RunPlan:
    """The plan of a stored run with its looks, where it has any."""
    from biasaudit.stats.looks import plan_from_json

    if PLAN not in manifest:
        return plan
    plan = dataclasses.replace(plan, looks=plan_from_json(manifest[PLAN]))
    return dataclasses.replace(plan, sizes=sizes_after(plan, manifest.get(LOOKS, [])))


def stopping_of(plan: RunPlan, manifest: Mapping[str, Any]) -> Stopping | None:
    """What an analysis must know of the looks; None without any."""
    from biasaudit.stats.looks import closed_at

    if plan.looks is None:
        return None
    records = manifest.get(LOOKS, [])
    closed, latest = closed_at(records), max(0, len(records) - 1)
    return plan.looks.stopping({p.prompt_id: closed.get(p.prompt_id, latest) for p in plan.prompts})


def registered(plan: RunPlan) -> dict[str, Any] | None:
    """What the manifest says of the plan's looks, and what a later command must share."""
    from biasaudit.stats.looks import plan_to_json

    return None if plan.looks is None else dict(identity.plain(plan_to_json(plan.looks)))


def faults(plan: RunPlan, folder: RunFolder) -> list[str]:
    """Looks that, taken again from the stored completions, come out otherwise than registered."""
    records = folder.manifest.get(LOOKS, []) if plan.looks is not None else []
    return [
        f"look {record['look']}: taken again from the stored completions, it comes out otherwise"
        for number, record in enumerate(records)
        if identity.canonical_json(look(plan, folder, records[:number])) != identity.canonical_json(record)
    ]


def _looks(plan: RunPlan) -> LookPlan:
    """The plan's looks, which are there."""
    assert plan.looks is not None
    return plan.looks
