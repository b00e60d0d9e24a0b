"""Labels as a composition, and the specification curve, as findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from biasaudit.records import Decoding, Measure
from biasaudit.results import Finding
from biasaudit.stats import parts
from biasaudit.stats.arms import Versus, coupled
from biasaudit.stats.curve import Shares, specifications
from biasaudit.stats.designs_units import outcomes, rng_of, subject
from biasaudit.stats.finding import Floats, Subject, by_topic, if_rare
from biasaudit.stats.job import Job, decoding_name
from biasaudit.stats.readings import Readings
from biasaudit.stats.table import Place, share_pairs

MOST_TEMPLATES = 8
"""Beyond these the curve takes framings for its subsets."""
DELTA = "delta method on topic means"


def composition(job: Job, pairs: Sequence[Versus]) -> Iterator[Finding]:
    """Joint test, conditional shares, ratios and worst-case bounds of every labelled measure, first decoding."""
    for measure in job.measures:
        labels = job.card(measure).labels
        decoding = job.decodings_of(measure)[0]
        if not labels or decoding is None:
            continue
        for pair in pairs:
            shares = Labelled(job, measure, pair, decoding)
            if shares.places:
                yield from shares.joint()
                yield from shares.conditional()
                yield from shares.sided()
                yield from shares.ratios()
            yield from shares.bounds()


class Labelled:
    """Counts of labels of two arms, place by place."""

    def __init__(self, job: Job, measure: Measure, pair: Versus, decoding: Decoding) -> None:
        """Count the labels at every place where both arms have some."""
        self.job, self.measure, self.pair, self.decoding = job, measure, pair, decoding
        self.card = job.card(measure)
        self.labels = list(self.card.labels)
        table, name = job.tables[measure.name], decoding_name(decoding)
        self.held = (table.of(pair.tuned, name), table.of(pair.reference, name))
        counted = [{place: self._count(readings) for place, readings in held.items()} for held in self.held]
        self.places: list[Place] = [
            place for place in table.places
            if all(place in side and side[place].sum() > 0 for side in counted)
        ]  # fmt: skip
        self.answered: list[Place] = [place for place in table.places if all(place in side for side in self.held)]
        self.counts = [np.array([side[place] for place in self.places], dtype=np.int64) for side in counted]
        self.templates = [table.places[place].template for place in self.places]
        self.framings = [table.places[place].framing for place in self.places]
        self.sampled = decoding.temperature > 0
        self.together = (
            self.sampled
            and coupled(pair.tuned, pair.reference)
            and share_pairs(table, pair.tuned, pair.reference, name)
        )

    def _count(self, readings: Readings) -> Any:
        """Completions of each label at one place; one completion where decoding is greedy."""
        codes = readings.labels[: 1 if self.decoding.temperature == 0 else None]
        found = np.bincount(codes[codes >= 0], minlength=len(readings.names))
        place = {name: k for k, name in enumerate(readings.names)}
        return np.array([found[place[label]] if label in place else 0 for label in self.labels])

    @property
    def n(self) -> dict[str, int]:
        """How many of what."""
        topics = len({topic for _, topic in self.places})
        total = int(sum(side.sum() for side in self.counts))
        return {"topics": topics, "prompts": len(self.places), "completions": total}

    def about(self, outcome: str) -> Subject:
        """Measure, outcome and arms."""
        pair = self.pair
        return subject(self.job, self.measure, outcome, pair.tuned.name, pair.reference.name, self.decoding)

    def share(self, side: int, labels: Sequence[str]) -> Floats:
        """Share of `labels` by prompt, shape (P,)."""
        columns = [self.labels.index(label) for label in labels]
        counts = self.counts[side]
        return np.asarray(counts[:, columns].sum(axis=1) / counts.sum(axis=1), dtype=np.float64)

    def topic_shares(self, side: int, labels: Sequence[str]) -> Floats:
        """Share of `labels` by topic, shape (G,)."""
        return np.array(list(by_topic(dict(zip(self.places, self.share(side, labels), strict=True))).values()))

    def joint(self) -> Iterator[Finding]:
        """Whether any label's share differs."""
        if not self.sampled:
            return
        rng = rng_of(self.job, "joint", self.measure.name, self.pair.tuned.name, self.pair.reference.name)
        if self.together:
            codes = [self._codes(place) for place in self.places]
            value, p = parts.joint_paired(
                [up for up, _ in codes], [down for _, down in codes], len(self.labels), rng=rng
            )
            method = "arms swapped within pairs"
        else:
            value, p = parts.joint(self.counts[0], self.counts[1], rng=rng)
            method = "permutation within prompts, Monte Carlo"
        moved = {
            label: float(self.topic_shares(0, [label]).mean() - self.topic_shares(1, [label]).mean())
            for label in self.labels
        }
        yield self.about("composition").finding(
            "composition",
            "joint",
            estimand="Σ (O − E)²/E over labels, expectations within prompts",
            target="fixed",
            estimate=value,
            p=p,
            n=self.n,
            method=method,
            source="Landis, Heyman & Koch 1978",
            details={"differences": moved},
        )

    def _codes(self, place: Place) -> tuple[Any, Any]:
        """Both arms' labels at one place, paired by key."""
        up, down = (held[place] for held in self.held)
        _, here, there = np.intersect1d(up.keys, down.keys, assume_unique=True, return_indices=True)
        first, second = _coded(up, here, self.labels), _coded(down, there, self.labels)
        kept = (first >= 0) & (second >= 0)
        return first[kept], second[kept]

    def conditional(self) -> Iterator[Finding]:
        """Share of each label among what can be interpreted."""
        topical = [label for label in self.labels if label not in self.card.aside]
        if len(topical) == len(self.labels) or len(topical) < 2:
            return
        whole = [self.topic_shares(side, topical) for side in (0, 1)]
        for label in outcomes(self.job, self.measure):
            if label not in topical:
                continue
            own = [self.topic_shares(side, [label]) for side in (0, 1)]
            found = parts.conditional(own[0], whole[0], own[1], whole[1], level=self.job.level)
            if found is not None:
                yield self._conditional(label, topical, found, "conditional")

    def sided(self) -> Iterator[Finding]:
        """Share of endorsing among what takes a side, where some text on the topic takes none."""
        sides = [label for label in self.card.sides if label in self.labels]
        if len(sides) < 2 or len(self.labels) - len(self.card.aside) <= 2:
            return
        whole = [self.topic_shares(side, sides) for side in (0, 1)]
        own = [self.topic_shares(side, sides[:1]) for side in (0, 1)]
        found = parts.conditional(own[0], whole[0], own[1], whole[1], level=self.job.level)
        if found is not None:
            yield self._conditional(sides[0], sides, found, "sided")

    def _conditional(self, label: str, whole: Sequence[str], found: dict[str, Any], name: str) -> Finding:
        """One conditional share."""
        return self.about(label).finding(
            "composition",
            name,
            estimand=f"difference of {label} / ({' + '.join(whole)}), each a mean over topics",
            target="population",
            estimate=found["difference"],
            interval=found["interval"],
            p=found["p"],
            n=self.n,
            method=DELTA,
            source="Cochran 1977, ratio estimates",
            note="conditional-on-interpretable",
            details={"share_tuned": found["share_tuned"], "share_reference": found["share_reference"]},
        )

    def ratios(self) -> Iterator[Finding]:
        """The relative scale."""
        for label in outcomes(self.job, self.measure):
            if label not in self.labels:
                continue
            found = parts.ratio(*(self.topic_shares(side, [label]) for side in (0, 1)), level=self.job.level)
            if found is not None:
                yield self.about(label).finding(
                    "composition",
                    "ratio",
                    estimand="ratio of the shares, each a mean over topics",
                    target="population",
                    estimate=found[0],
                    interval=found[1],
                    n=self.n,
                    method=DELTA,
                    source="delta method",
                )

    def bounds(self) -> Iterator[Finding]:
        """What completions without a label could do at most, also where an arm has no label at all at a place."""
        cells: list[dict[str, Any]] = []
        for place in self.answered:
            entry: dict[str, Any] = {"topic": place[1], "counts": []}
            for side, name in ((0, "1"), (1, "0")):
                held = self.held[side][place]
                counts = self._count(held)
                labelled, seen = int(counts.sum()), len(held) if self.sampled else 1
                entry["counts"].append(counts)
                entry |= {f"n{name}": labelled, f"u{name}": max(0, seen - labelled)}
            cells.append(entry)
        missing = [sum(cell[key] for cell in cells) for key in ("u1", "u0")]
        if not any(missing):
            return
        n = {
            "topics": len({cell["topic"] for cell in cells}),
            "prompts": len(cells),
            "completions": sum(cell["n1"] + cell["n0"] for cell in cells),
            "unscored_tuned": missing[0],
            "unscored_reference": missing[1],
        }
        for label in outcomes(self.job, self.measure):
            if label not in self.labels:
                continue
            column = self.labels.index(label)
            for cell in cells:
                cell["x1"], cell["x0"] = (int(counts[column]) for counts in cell["counts"])
            low, high = parts.bounds(cells)
            yield self.about(label).finding(
                "composition",
                "bounds",
                estimand="smallest and largest difference that unscored completions allow",
                target="fixed",
                estimate=None,
                n=n,
                method="worst case",
                source="Horowitz & Manski 2000",
                details={"low": low, "high": high},
            )


def _coded(readings: Readings, rows: Any, labels: Sequence[str]) -> Any:
    """Labels of some rows as positions in `labels`; −1 where there is none."""
    place = {name: k for k, name in enumerate(labels)}
    codes = np.array([*(place.get(name, -1) for name in readings.names), -1], dtype=np.int64)
    return codes[readings.labels[rows]]


def curve(job: Job, pairs: Sequence[Versus]) -> Iterator[Finding]:
    """The lead outcome of every labelled measure under every choice of templates, decoding and denominator."""
    for pair in pairs:
        rows = [
            (measure, decoding, outcome)
            for measure in job.measures
            if (outcome := _lead(job, measure))
            for decoding in job.decodings_of(measure)
            if decoding is not None
        ]
        found = [row for choice in rows for row in _specified(job, pair, *choice)]
        if len(found) > 1:
            yield from found


def _lead(job: Job, measure: Measure) -> str:
    """The outcome that the curve follows; empty for a scorer that does not label."""
    primary = job.battery.primary
    labels = job.card(measure).labels
    if not labels:
        return ""
    if primary is not None and primary.measure == measure.name and primary.outcome in labels:
        return primary.outcome
    return next((name for name in outcomes(job, measure) if name in labels), "")


def _specified(job: Job, pair: Versus, measure: Measure, decoding: Decoding, outcome: str) -> Iterator[Finding]:
    """All specifications of one measure under one decoding."""
    held = Labelled(job, measure, pair, decoding)
    if not held.places:
        return
    topical = [label for label in held.labels if label not in held.card.aside]
    names = held.templates if len(set(held.templates)) <= MOST_TEMPLATES else held.framings
    shares = Shares(
        topics=tuple(topic for _, topic in held.places),
        templates=tuple(names),
        tuned=held.share(0, [outcome]),
        reference=held.share(1, [outcome]),
        whole_tuned=held.share(0, topical),
        whole_reference=held.share(1, topical),
    )
    for found in specifications(shares, level=job.level):
        if outcome not in topical and found.denominator != "all":
            continue
        row = held.about(outcome).finding(
            "curve",
            "specification",
            estimand="headline difference under one choice of templates, decoding and denominator",
            target="population",
            estimate=found.estimate,
            interval=found.interval,
            n={"topics": found.topics, "prompts": found.prompts},
            method=f"t on {found.topics} topic means" if found.denominator == "all" else DELTA,
            source="Simonsohn, Simmons & Nelson 2020",
            details={"templates": found.templates, "denominator": found.denominator, "scorer": measure.scorer},
        )
        yield if_rare(row, found.mean) if held.sampled else row
