"""Do corrected rates see through a scorer that errs on one arm more? Cells of `benchmarks.simulation`.

A scorer with its own sensitivity and specificity in each arm, labels for a part of each arm, and the functions that an
analysis calls, vectorised over replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.simulation import LEVEL, SPREAD, Floats, expit, membership, population
from biasaudit.stats import correction
from biasaudit.stats.correction import Moments
from biasaudit.stats.interval import z_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A scorer that errs on one arm more than on the other, and labels of a part."""

    name: str
    topics: int = 10
    a_topic: int = 2
    n: int = 100
    labels: int = 100
    """Of each arm."""
    effect: float = 0.0
    prompt_sd: float = 0.0
    level: float = LEVEL
    sensitivity: tuple[float, float] = (0.85, 0.85)
    specificity: tuple[float, float] = (0.80, 0.90)
    """Tuned, reference."""
    at_random: bool = False
    """Labels drawn over the whole arm instead of as many from every prompt; topics are then the strata."""


LABELLED = (
    Labels(name="100 labels"),
    Labels(name="100 labels, 18 prompts of 6 topics", topics=6, a_topic=3, labels=108),
    Labels(name="100 labels at random", at_random=True),
    Labels(name="200 labels", labels=200),
    Labels(name="100 labels, a poor scorer", sensitivity=(0.5, 0.6), specificity=(0.6, 0.8)),
    Labels(name="100 labels, a good scorer", sensitivity=(0.97, 0.97), specificity=(0.9, 0.98)),
    Labels(name="100 labels, rare outcome", level=-3.0),
    Labels(name="100 labels, prompts change", prompt_sd=0.6),
)


def moments(case: Labels, runs: int, seed: int) -> tuple[list[Moments], Floats]:
    """Sums of both arms, shape (R, P), and the true difference of every replicate's prompts, shape (R,)."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    prompts = case.topics * case.a_topic
    shape = (runs, prompts)
    level, effect = rng.normal(case.level, SPREAD, shape), case.effect + rng.normal(0, case.prompt_sd, shape)
    sides, rates = [], []
    for sign, sensitivity, specificity in zip((1, -1), case.sensitivity, case.specificity, strict=True):
        p = expit(level + sign * effect / 2)
        labelled = np.full(shape, case.labels // prompts)
        if case.at_random:
            labelled = rng.multivariate_hypergeometric([case.n] * prompts, case.labels, runs)
        y = rng.binomial(labelled, p)
        both = rng.binomial(y, sensitivity)
        f = both + rng.binomial(labelled - y, 1 - specificity)
        g = rng.binomial(case.n - labelled, p * sensitivity + (1 - p) * (1 - specificity))
        sums = (labelled, y, f, y, f, both, case.n - labelled, g, g)
        sides.append(Moments(**{k: v.astype(np.float64) for k, v in zip(Moments.__slots__, sums, strict=True)}))
        rates.append(p)
    return sides, (rates[0] - rates[1]).mean(axis=1)


def corrected(case: Labels, runs: int, seed: int) -> dict[str, float]:
    """Shares of replicates in which a method's 95 % interval leaves the truth out, and mean half-widths."""
    sides, truth = moments(case, runs, seed)
    prompts = case.topics * case.a_topic
    weights, topic = np.full(prompts, 1 / prompts), np.repeat(np.arange(case.topics), case.a_topic)
    strata = topic if case.at_random else None
    z, member, found = z_value(0.95), membership(topic) / case.a_topic, {}
    fine = np.ones(runs, dtype=bool)
    if case.at_random:
        counts = [side.labelled @ membership(topic) for side in sides]
        fine = np.all([(count >= correction.MIN_IN_STRATUM).all(axis=1) for count in counts], axis=0)
    for name, weight in (("ppi", None), ("human-only", 0.0)):
        arms = [correction.ppi(side, weights, strata, weight=weight) for side in sides]
        half = z * np.sqrt(arms[0].variance + arms[1].variance)
        wrong = np.abs(arms[0].mean - arms[1].mean - truth) > half
        found[f"{name} fixed"], found[f"{name} half"] = float(wrong[fine].mean()), float(half[fine].mean())
        if name == "ppi":
            p = population((arms[0].prompts - arms[1].prompts)[fine] @ member)[2]
            found["ppi population"] = float(np.mean(p < 0.05))
    inverse = [correction.rogan_gladen_arm(side, weights) for side in sides]
    half = z * np.sqrt(inverse[0].variance + inverse[1].variance)
    defined = np.isfinite(half) & np.isfinite(inverse[0].rate - inverse[1].rate)
    wrong = np.abs(inverse[0].rate - inverse[1].rate - truth) > half
    found["rogan-gladen fixed"], found["rogan-gladen half"] = float(wrong[defined].mean()), float(half[defined].mean())
    raw = inverse[0].raw - inverse[1].raw
    naive = z * np.sqrt(inverse[0].sampling + inverse[1].sampling)
    found["raw fixed"] = float(np.mean(np.abs(raw - truth) > naive))
    return found
