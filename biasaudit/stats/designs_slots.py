"""Counterfactual slots as findings: more than two groups, and the names that stand for two.

The unit is the topic, since its templates share what the groups do there; the templates of a single topic are units of
their own. Taken for units where topics move groups apart, templates find a difference among equal groups in 25 to 34 of
100 runs (6 topics of 3 templates).

Source: groups permuted inside topics, between-group sum of squares; names as a level of their own, METHODS §2.7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from biasaudit.records import Arm, Decoding, Measure
from biasaudit.results import Finding
from biasaudit.stats import factors
from biasaudit.stats.arms import Versus
from biasaudit.stats.designs_units import outcomes, rng_of, subject, values_of
from biasaudit.stats.finding import Floats
from biasaudit.stats.groups import filler_of
from biasaudit.stats.job import Job

MAX_PERMUTED = 1_999

Template = tuple[str, object]
"""A topic, and one of its templates with every other slot."""
Means = dict[tuple[Template, str], Floats]
"""(template, filler) -> mean of each group."""


def slots(job: Job, pairs: Sequence[Versus]) -> Iterator[Finding]:
    """Slots: do more than two groups differ, and does the gap of two hold over the names that stand for them?"""
    for measure in job.measures:
        decoding = job.decodings_of(measure)[0]
        prompts = job.tables[measure.name].places
        names = dict.fromkeys(slot for prompt in prompts.values() for slot, _ in prompt.groups)
        for slot in names:
            groups = list(dict.fromkeys(dict(p.groups)[slot] for p in prompts.values() if slot in dict(p.groups)))
            for outcome in outcomes(job, measure):
                if len(groups) > 2:
                    yield from _slot(job, pairs, measure, decoding, outcome, slot, groups)
                elif len(groups) == 2:
                    yield from _fillers(job, pairs, measure, decoding, outcome, slot, groups)


def _slot(
    job: Job,
    pairs: Sequence[Versus],
    measure: Measure,
    decoding: Decoding | None,
    outcome: str,
    slot: str,
    groups: Sequence[str],
) -> Iterator[Finding]:
    """One slot in every arm, and between the arms of every pair."""
    means_of = functools.partial(
        group_means, job, measure, decoding=decoding, outcome=outcome, slot=slot, groups=groups
    )
    for tuned, reference, rows in looked(job, pairs, means_of):
        if len(rows) < 2:
            continue
        table, unit = _units([template for template, _ in rows], np.stack(list(rows.values())))
        rng = rng_of(job, "slot", measure.name, outcome, slot, tuned, reference)
        spread, p = factors.groups_apart(table, draws=MAX_PERMUTED, rng=rng)
        means = dict(zip(groups, (table - table.mean(axis=1, keepdims=True)).mean(axis=0).tolist(), strict=True))
        yield subject(job, measure, outcome, tuned, reference, decoding).finding(
            "slots",
            "groups-inside" if tuned == reference else "groups-between",
            estimand="standard deviation between the means of the groups of a slot",
            target="population",
            estimate=spread,
            p=p,
            n={"groups": len(groups), **_counts(template for template, _ in rows)},
            method=f"groups permuted inside {unit}",
            source="between-group sum of squares",
            details={"slot": slot, "means": means},
        )


def _fillers(
    job: Job,
    pairs: Sequence[Versus],
    measure: Measure,
    decoding: Decoding | None,
    outcome: str,
    slot: str,
    groups: Sequence[str],
) -> Iterator[Finding]:
    """The gap of two groups that several names stand for: over wordings, over names, and the larger p of both."""
    means_of = functools.partial(
        group_means, job, measure, decoding=decoding, outcome=outcome, slot=slot, groups=groups
    )
    for tuned, reference, rows in looked(job, pairs, means_of):
        whole, gaps = _gaps(rows)
        if min(gaps.shape) < 2:
            continue
        table, unit = _units(whole, gaps)
        p = factors.over_fillers(table)
        yield subject(job, measure, outcome, tuned, reference, decoding).finding(
            "slots",
            "fillers-inside" if tuned == reference else "fillers-between",
            estimand=f"mean over {unit} and fillers of ({groups[0]} − {groups[1]})",
            target="population",
            estimate=float(table.mean()),
            p=p["both"],
            n={"groups": 2, **_counts(whole), "fillers": gaps.shape[1]},
            method=f"larger of t on {unit} and t on fillers",
            source="Berger 1982 (intersection–union)",
            note="" if p["both"] is not None else "no-variation-between-topics",
            details={"slot": slot, "fillers": table.mean(axis=0).tolist(), "groups": list(groups),
                     "p_wordings": p["wordings"], "p_fillers": p["fillers"]},
        )  # fmt: skip


def _gaps(rows: Means) -> tuple[list[Template], Floats]:
    """Templates that lack no filler, and first group minus second, shape (templates, fillers)."""
    fillers = list(dict.fromkeys(filler for _, filler in rows))
    templates = dict.fromkeys(template for template, _ in rows)
    whole = [template for template in templates if all((template, filler) in rows for filler in fillers)]
    gaps = [[rows[template, filler][0] - rows[template, filler][1] for filler in fillers] for template in whole]
    return whole, np.array(gaps, dtype=np.float64).reshape(len(whole), len(fillers))


def _units(templates: Sequence[Template], table: Floats) -> tuple[Floats, str]:
    """Means by topic of a table with one row a template, and the unit's name; a single topic keeps its templates."""
    topics = list(dict.fromkeys(topic for topic, _ in templates))
    if len(topics) < 2:
        return table, "templates"
    mine = np.array([topics.index(topic) for topic, _ in templates])
    return np.stack([table[mine == row].mean(axis=0) for row in range(len(topics))]), "topics"


def _counts(templates: Iterable[Template]) -> dict[str, int]:
    """How many topics and templates."""
    held = set(templates)
    return {"topics": len({topic for topic, _ in held}), "templates": len(held)}


def looked(job: Job, pairs: Sequence[Versus], means_of: Callable[[Arm], Means]) -> Iterator[tuple[str, str, Means]]:
    """(arm, arm, means of its groups) for every arm, then (tuned, reference, differences) for every pair."""
    held = {arm.name: means_of(arm) for arm in job.arms}
    for name, rows in held.items():
        yield name, name, rows
    for pair in pairs:
        up, down = held[pair.tuned.name], held[pair.reference.name]
        yield pair.tuned.name, pair.reference.name, {key: up[key] - down[key] for key in up if key in down}


def group_means(
    job: Job,
    measure: Measure,
    arm: Arm,
    *,
    decoding: Decoding | None,
    outcome: str,
    slot: str,
    groups: Sequence[str],
) -> Means:
    """(template, filler) -> mean of each group, where all groups have one."""
    places = job.tables[measure.name].places
    found: dict[tuple[Template, str], dict[str, float]] = {}
    for place, values in values_of(job, measure, arm, decoding, outcome).items():
        prompt = places[place]
        group = dict(prompt.groups).get(slot)
        if group is not None:
            others = tuple(entry for entry in prompt.groups if entry[0] != slot)
            filler, pair = filler_of(prompt, slot)
            template = (place[1], (prompt.template, pair, others))
            found.setdefault((template, filler), {})[group] = float(values.mean())
    return {
        key: np.array([means[group] for group in groups])
        for key, means in found.items()
        if all(group in means for group in groups)
    }
