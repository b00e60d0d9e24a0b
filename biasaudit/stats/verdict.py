"""The verdict: which kind of sentence a contrast has earned.

The logic: does the adjusted test reject and the interval exclude 0 (a change), and does the TOST lie
inside the margin? Both: small. Change alone: changed. Margin alone: equivalent. Neither: inconclusive. Without any
interval: described. Nothing exploratory enters here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from biasaudit.results import Contrast, Equivalence, Target, TargetEstimate, Verdict, VerdictKind
from biasaudit.stats.contrast import deciding
from biasaudit.stats.heterogeneity import LARGE_I_SQUARED, signs_split
from biasaudit.stats.multiplicity import holm
from biasaudit.stats.power import detectable

CAVEATS: dict[str, str] = {
    "identical-arms": "Both arms have the same mean on every prompt.",
    "same-corpus": "The placebo was tuned on the same texts as the tuned arm: the contrast is about nothing.",
    "language-shift": "One arm writes in the prompts' language ten points more often than the other, or less.",
    "labels-disagree": "By people's labels the difference is not the scorer's, on which the verdict rests.",
    "no-placebo": "The reference is the base: the difference holds language and domain adaptation too.",
    "placebo-not-comparable": "A placebo is present, but its card does not show the same base, tokens, steps and rate.",
    "composition-shift": "The share of off-topic or empty text differs too: a rate can rise because that share falls.",
    "varies-by-prompt": "The effect differs between prompts: I² above one half, or split signs.",
    "language-mismatch": "An arm's language is not the language of the prompts.",
    "incomplete-run": "Fewer completions are stored than the battery asks for.",
    "unscored": "More than one completion in twenty could not be scored in one of the arms.",
    "few-topics": "Fewer than ten topics: weak ground for a population claim; below five there is none.",
    "no-variation": "All topics moved alike (or not at all), so no population interval exists.",
    "one-run-per-arm": "One trained model per condition: the claim is about this checkpoint, not about its corpus.",
    "few-runs-per-arm": "Two trained models per condition: too few to claim anything about the corpus.",
    "runs-apart": "Three or more trained models per condition, but every verdict compares one with one reference.",
    "labels-not-used": "People labelled some texts, too few for the verdict to rest on them.",
    "uncorrected-scorer": "The labels are a scorer's, not corrected by human labels.",
    "low-power": "The smallest detectable difference is larger than the margin.",
    "different-tokenizers": "The arms' tokenizers differ: no coupling, and per-token quantities do not compare.",
    "mixed-numerics": "The completions compared were computed under more than one numerics fingerprint.",
}
"""Every caveat word, the weightiest first, with its meaning; the report translates the word, never this text."""


def adjust_family(
    contrasts: Sequence[Contrast], wanted: Target = "population", *, alpha: float = 0.05
) -> list[Contrast]:
    """Holm over the confirmatory family: contrasts with role `primary`, each target and the TOST by itself.

    An equivalence keeps its interval; its p-value becomes the adjusted one, and decides. The smallest detectable
    difference becomes the one that passes Holm's first and hardest step.
    """
    rows = [row for row, contrast in enumerate(contrasts) if contrast.role == "primary"]
    family = [contrasts[row] for row in rows]
    fixed = _adjust([contrast.fixed for contrast in family])
    population = _adjust([contrast.population for contrast in family])
    equivalences = _adjust_equivalence([contrast.equivalence for contrast in family], alpha)
    found = list(contrasts)
    for row, contrast, first, second, third in zip(rows, family, fixed, population, equivalences, strict=True):
        mde = _family_mde(contrast, wanted, len(rows), alpha)
        found[row] = dataclasses.replace(contrast, fixed=first, population=second, equivalence=third, mde=mde)
    return found


def adjust_beside(contrasts: Sequence[Contrast], rows: Sequence[int], *, alpha: float = 0.05) -> list[Contrast]:
    """Holm over the equivalence tests outside the confirmatory family, which are a family of their own.

    Each could say "no shift", so together they may not say it wrongly more often than `alpha`. Their tests of a
    difference stay as they are: exploratory, and adjusted elsewhere (`families`).

    Args:
        contrasts: after `adjust_family`.
        rows: positions of the contrasts that have a margin, whether or not a test could be done.
        alpha: level of the tests.
    """
    found = list(contrasts)
    tests = _adjust_equivalence([contrasts[row].equivalence for row in rows], alpha)
    for row, test in zip(rows, tests, strict=True):
        found[row] = dataclasses.replace(found[row], equivalence=test)
    return found


def _family_mde(contrast: Contrast, wanted: Target, size: int, alpha: float) -> float | None:
    """Smallest detectable difference at level `alpha` / `size`."""
    estimate = contrast.fixed if deciding(contrast.population, wanted) == "fixed" else contrast.population
    if estimate.se is None or size == 1:
        return contrast.mde
    df = math.inf if estimate.df is None else estimate.df
    found = detectable(estimate.se, df=df, alpha=alpha / size)
    plain = detectable(estimate.se, df=df, alpha=alpha)
    if estimate.interval is not None and estimate.interval.for_looks and contrast.mde and found and plain:
        return contrast.mde * found / plain
    return found


def _adjust(estimates: Sequence[TargetEstimate]) -> list[TargetEstimate]:
    """Fill `p_adjusted` and `family_size`."""
    adjusted = _holm_of_all([estimate.p for estimate in estimates])
    return [
        dataclasses.replace(estimate, p_adjusted=p, family_size=len(estimates))
        for estimate, p in zip(estimates, adjusted, strict=True)
    ]


def _holm_of_all(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm, where a test that could not be done counts as one that cannot reject.

    Whether a target has a p-value depends on the data; a family that shrank with them would promise too much.
    """
    adjusted = holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else q for p, q in zip(p_values, adjusted, strict=True)]


def _adjust_equivalence(tests: Sequence[Equivalence | None], alpha: float) -> list[Equivalence | None]:
    """Holm over the TOST p-values; a margin whose test could not be done counts as one that cannot reject."""
    adjusted = _holm_of_all([None if test is None else test.p for test in tests])
    return [
        None
        if test is None or p is None
        else dataclasses.replace(test, p=p, equivalent=p < alpha, family_size=len(tests))
        for test, p in zip(tests, adjusted, strict=True)
    ]


def kind_of(contrast: Contrast, wanted: Target, alpha: float = 0.05) -> tuple[VerdictKind, Target]:
    """The kind of verdict that `contrast` has earned, and the target that it speaks of."""
    target = deciding(contrast.population, wanted)
    estimate = contrast.fixed if target == "fixed" else contrast.population
    if estimate.interval is None:
        return "described", target
    p = estimate.p if estimate.p_adjusted is None else estimate.p_adjusted
    excludes = estimate.interval.low > 0 or estimate.interval.high < 0
    changed = p is not None and p < alpha and excludes
    inside = contrast.equivalence is not None and contrast.equivalence.equivalent
    if changed:
        return ("small" if inside else "changed"), target
    return ("equivalent" if inside else "inconclusive"), target


def verdict_of(
    contrast: Contrast, position: int, wanted: Target, caveats: Sequence[str] = (), *, alpha: float = 0.05
) -> Verdict:
    """The verdict on one contrast; caveats in the order of `CAVEATS`, so that the first ones weigh most.

    Args:
        contrast: after `adjust_family`.
        position: where it stands in `Analysis.contrasts`.
        wanted: the target that the battery asks for.
        caveats: words that the design triggers; a word outside `CAVEATS` is an error of ours.
        alpha: level of the tests.
    """
    kind, target = kind_of(contrast, wanted, alpha)
    spread = is_varied(contrast, kind)
    found = [*_own_caveats(contrast, kind, wanted, spread), *caveats]
    unknown = sorted(set(found) - set(CAVEATS))
    if unknown:
        raise ValueError(f"unknown caveats: {unknown}")
    return Verdict(
        kind=kind,
        target=target,
        contrast=position,
        varies=spread,
        caveats=tuple(word for word in CAVEATS if word in found),
    )


def is_varied(contrast: Contrast, kind: VerdictKind) -> bool:
    """Whether the sentence must say "varies by prompt".

    Split signs count only where a direction is claimed: without an effect, signs split by chance alone.
    """
    found = contrast.heterogeneity
    if found is not None and found.i_squared > LARGE_I_SQUARED:
        return True
    differences = np.array([row.difference for row in contrast.prompts if row.difference is not None])
    return kind in ("changed", "small", "described") and signs_split(differences, contrast.difference)


def _own_caveats(contrast: Contrast, kind: VerdictKind, wanted: Target, spread: bool) -> list[str]:
    """Words that the contrast's own numbers trigger."""
    found = []
    if spread:
        found.append("varies-by-prompt")
    if wanted == "population" and contrast.n_topics < 10:
        found.append("few-topics")
    if contrast.population.note == "no-variation-between-topics":
        found.append("no-variation")
    if all(row.difference in (0.0, None) for row in contrast.prompts):
        found.append("identical-arms")
    margin = None if contrast.equivalence is None else contrast.equivalence.margin
    if kind == "inconclusive" and margin is not None and contrast.mde is not None and contrast.mde > margin:
        found.append("low-power")
    unscored = [
        (contrast.unscored_tuned, contrast.n_tuned), (contrast.unscored_reference, contrast.n_reference),
    ]  # fmt: skip
    if any(missing > 0.05 * (missing + scored) for missing, scored in unscored):
        found.append("unscored")
    return found
