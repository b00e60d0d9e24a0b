"""From stored human labels to what a report says of them: coverage, agreement, and what labels must not depend on."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from biasaudit import identity
from biasaudit.labels import DEFAULT, HumanLabel, Key, LabelSet, decided, label_set
from biasaudit.results import Finding, Labelling
from biasaudit.stats import agreement
from biasaudit.stats.interval import wilson
from biasaudit.stats.job import HUMAN, Job

FEWEST = 8
"""Labels below which a check for dependence says nothing."""


def labellings(job: Job, labels: Sequence[HumanLabel]) -> tuple[Labelling, ...]:
    """What people said of the completions of the run's arms, one value a set of labels, in the order of the sets."""
    names = {(arm.fingerprint, arm.salt): arm.name for arm in job.arms}
    known = [label for label in labels if (label.key[0], label.key[4]) in names]
    sets = {found.set_id: found for found in (*_sets(job), DEFAULT)}
    order = [set_id for set_id in sets if any(label.set_id == set_id for label in known)]
    order += sorted({label.set_id for label in known} - set(sets))
    return tuple(
        _labelling(job, [label for label in known if label.set_id == set_id], sets.get(set_id), names)
        for set_id in order
    )


def _sets(job: Job) -> list[LabelSet]:
    """The sets of the battery's own human measures."""
    return [
        label_set(measure.options.get("labels"), measure.name)
        for measure in job.battery.measures
        if measure.scorer == HUMAN
    ]


def _labelling(
    job: Job, labels: Sequence[HumanLabel], known: LabelSet | None, names: Mapping[tuple[str, str], str]
) -> Labelling:
    set_id = labels[0].set_id
    keys = known.keys if known is not None else tuple(sorted({label.label for label in labels}))
    code = {key: place for place, key in enumerate(keys)}
    read = [label for label in labels if label.label in code]
    turns: dict[tuple[str, Key], list[HumanLabel]] = {}
    for label in read:
        turns.setdefault((label.rater, label.key), []).append(label)
    ordered = {who: sorted(own, key=lambda label: label.pass_number) for who, own in turns.items()}
    first = [own[0] for own in ordered.values()]
    return Labelling(
        set_id=set_id,
        labels=keys,
        raters=_raters(ordered, keys),
        coverage=_coverage(job, first, read, keys, names),
        agreement=tuple(_agreement(job, ordered, code, known)),
        checks=tuple(_checks(job, first, code, names)),
    )


def _raters(ordered: Mapping[tuple[str, Key], Sequence[HumanLabel]], keys: Sequence[str]) -> tuple[dict[str, Any], ...]:
    found = []
    for rater in sorted({who for who, _ in ordered}):
        own = [turns for (who, _), turns in ordered.items() if who == rater]
        counts = Counter(turns[0].label for turns in own)
        repeats = sum(len(turns) > 1 for turns in own)
        shares = {key: counts[key] for key in keys}
        blind = sum("." not in turns[0].batch for turns in own)  # a page's id has no full stop, a file's name has
        found.append({"rater": rater, "labelled": len(own), "blind": blind, "repeats": repeats, "counts": shares})
    return tuple(found)


def _coverage(
    job: Job,
    first: Sequence[HumanLabel],
    read: Sequence[HumanLabel],
    keys: Sequence[str],
    names: Mapping[tuple[str, str], str],
) -> tuple[dict[str, Any], ...]:
    counted = decided(read, read[0].set_id) if read else {}
    readers = Counter(label.key for label in first)
    found = []
    for arm in job.arms:
        own = [key for key in counted if names[key[0], key[4]] == arm.name]
        counts = Counter(counted[key] for key in own)
        found.append(
            {
                "arm": arm.name,
                "completions": job.stored.get(arm.name),
                "labelled": len(own),
                "by_several": sum(readers[key] > 1 for key in own),
                "divided": counts[None],
                "counts": {key: counts[key] for key in keys},
            }
        )
    return tuple(found)


def _agreement(
    job: Job,
    ordered: Mapping[tuple[str, Key], Sequence[HumanLabel]],
    code: Mapping[str, int],
    known: LabelSet | None,
) -> list[Finding]:
    """Agreement between people on what several read, of every pair of them, and of each with themselves."""
    raters = sorted({who for who, _ in ordered})
    items = sorted({key for _, key in ordered})
    column, row = {who: at for at, who in enumerate(raters)}, {key: at for at, key in enumerate(items)}
    codes = np.full((len(items), len(raters)), -1, dtype=np.int64)
    for (who, key), turns in ordered.items():
        codes[row[key], column[who]] = code[turns[0].label]
    found: list[Finding] = []
    several = codes[(codes >= 0).sum(axis=1) >= 2]
    if len(several):
        found += _between(job, several, raters, len(code), known)
    if len(raters) > 2:
        for one, other in itertools.combinations(range(len(raters)), 2):
            pair = codes[(codes[:, (one, other)] >= 0).all(axis=1)][:, (one, other)]
            if len(pair):
                found.append(_cohen(job, pair, (raters[one], raters[other]), len(code), "between"))
    for who in raters:
        twice = [turns[:2] for (rater, _), turns in ordered.items() if rater == who and len(turns) > 1]
        if twice:
            again = np.array([[code[label.label] for label in turns] for turns in twice])
            found += _within(job, again, who, len(code))
    return found


def _between(
    job: Job, codes: agreement.Ints, raters: Sequence[str], labels: int, known: LabelSet | None
) -> list[Finding]:
    counts = agreement.label_counts(codes, labels)
    extreme = agreement.prevalence(counts) >= agreement.EXTREME
    about = {"kind": "between", "raters": list(raters), "items": len(codes)}
    wanted: list[tuple[str, Callable[[agreement.Floats], agreement.Floats], str]] = [
        ("percent", functools.partial(agreement.percent_agreement, counts), ""),
        ("krippendorff", functools.partial(agreement.krippendorff_alpha, counts, None), "Krippendorff 2011"),
    ]
    if known is not None and known.values is not None:
        metric = functools.partial(agreement.krippendorff_alpha, counts, known.values)
        wanted.append(("krippendorff-interval", metric, "Krippendorff 2011"))
    if len(raters) > 2:
        wanted.append(("fleiss", functools.partial(agreement.fleiss_kappa, counts), "Fleiss 1971; Gwet 2014"))
    if extreme:
        wanted.append(("gwet", functools.partial(agreement.gwet_ac1, counts), "Gwet 2008"))
    found = [_row(job, name, statistic, about, source, extreme=extreme) for name, statistic, source in wanted]
    if len(raters) == 2:
        found.append(_cohen(job, codes, (raters[0], raters[1]), labels, "between"))
    return found


def _within(job: Job, codes: agreement.Ints, rater: str, labels: int) -> list[Finding]:
    counts = agreement.label_counts(codes, labels)
    about = {"kind": "within", "raters": [rater], "items": len(codes)}
    percent = functools.partial(agreement.percent_agreement, counts)
    return [_row(job, "percent", percent, about, ""), _cohen(job, codes, (rater,), labels, "within")]


def _cohen(job: Job, codes: agreement.Ints, raters: Sequence[str], labels: int, kind: str) -> Finding:
    about = {"kind": kind, "raters": list(raters), "items": len(codes)}

    def statistic(weights: agreement.Floats) -> agreement.Floats:
        return agreement.cohen_kappa(codes, labels, weights)

    return _row(job, "cohen", statistic, about, "Cohen 1960")


def _row(
    job: Job,
    name: str,
    statistic: Callable[[agreement.Floats], agreement.Floats],
    about: Mapping[str, Any],
    source: str,
    *,
    extreme: bool = False,
) -> Finding:
    rng = np.random.default_rng(identity.key64("agreement", job.battery.name, name, about))
    estimate, interval = agreement.with_interval(statistic, about["items"], rng=rng, level=job.level)
    pairs = len(about["raters"]) == 2 or about["kind"] == "within"
    if name == "percent" and pairs and estimate is not None:  # each item agrees or not: a plain rate
        interval = wilson(round(estimate * about["items"]), about["items"], level=job.level)
    undefined = "everybody gave one label" if estimate is None else ""
    return Finding(
        design="agreement",
        name=name,
        estimand="agreement on completions that several people, or one person twice, labelled",
        target="none",
        measure=HUMAN,
        outcome="label",
        unit="share" if name == "percent" else "coefficient",
        tuned="",
        reference="",
        decoding_id="",
        language=job.language,
        estimate=estimate,
        interval=interval,
        n={"items": about["items"], "raters": len(about["raters"])},
        method="" if interval is None else interval.method,
        source=source,
        note=undefined or ("extreme-prevalence" if extreme else ""),
        details={"kind": about["kind"], "raters": about["raters"]},
    )


def _checks(
    job: Job, first: Sequence[HumanLabel], code: Mapping[str, int], names: Mapping[tuple[str, str], str]
) -> list[Finding]:
    """Labels × batch, rater, half of the reader's list and mark, arm by arm; where there are two of each to compare."""
    middle = _middles(first)
    places: dict[str, Callable[[HumanLabel], str | None]] = {
        "batch": lambda label: label.batch,
        "rater": lambda label: label.rater,
        "half": lambda label: None if label.place is None else _half(label.place, middle[label.rater, label.batch]),
        "mark": lambda label: "*" if label.mark else "–",
    }
    found = []
    for name, place in places.items():
        there = [(where, label) for label in first if (where := place(label)) is not None]
        levels = sorted({where for where, _ in there})
        if len(levels) < 2 or len(there) < FEWEST:
            continue
        strata: dict[str, Any] = {}
        for where, label in there:
            arm = names[label.key[0], label.key[4]]
            table = strata.setdefault(arm, np.zeros((len(levels), len(code)), dtype=np.int64))
            table[levels.index(where), code[label.label]] += 1
        found.append(_check(job, name, levels, tuple(code), strata))
    return found


def _middles(first: Sequence[HumanLabel]) -> dict[tuple[str, str], float]:
    """(rater, batch) -> the place in the middle of what they labelled."""
    found: dict[tuple[str, str], list[int]] = {}
    for label in first:
        if label.place is not None:
            found.setdefault((label.rater, label.batch), []).append(label.place)
    return {who: float(np.median(places)) for who, places in found.items()}


def _half(place: int, middle: float) -> str:
    return "1" if place <= middle else "2"


def _check(
    job: Job, name: str, levels: Sequence[str], keys: Sequence[str], strata: Mapping[str, agreement.Ints]
) -> Finding:
    rng = np.random.default_rng(identity.key64("label-check", job.battery.name, name, levels))
    statistic, p = agreement.stratified_chi2(list(strata.values()), rng=rng)
    whole: agreement.Ints = np.sum(list(strata.values()), axis=0)
    return Finding(
        design="label-check",
        name=name,
        estimand="dependence of the labels on where, by whom or when they were given, within arms",
        target="none",
        measure=HUMAN,
        outcome="label",
        unit="chi-squared",
        tuned=", ".join(strata),
        reference="",
        decoding_id="",
        language=job.language,
        estimate=statistic,
        p=p,
        n={"labels": int(whole.sum()), "arms": len(strata), "levels": len(levels)},
        method="sum over arms of (O-E)^2/E; p by tables of the same margins",
        source="stratified permutation",
        details={
            "table": {
                level: dict(zip(keys, row, strict=True)) for level, row in zip(levels, whole.tolist(), strict=True)
            }
        },
    )
