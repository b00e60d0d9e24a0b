"""Which arms may be compared with which, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasaudit import identity
from biasaudit.errors import InputError
from biasaudit.records import Arm, Measure, Primary

COMPARABLE = ("base_fingerprint", "tokens", "steps", "learning_rate")
"""Entries of a model card that a placebo must share with the arm that it stands against (CONTRACT §2)."""
SHARES = {"": 1.0, "share": 1.0, "probability": 1.0}
POINTS = dict.fromkeys(("points", "point", "pp", "%", "pontos", "ponto"), 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """A tuned arm, the arm that it is held against, and what that choice costs."""

    tuned: Arm
    reference: Arm
    caveats: tuple[str, ...]


def comparable(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two model cards state the same base, tokens, steps and learning rate; an unstated one is not equal."""
    return all(first.get(key) is not None and first.get(key) == second.get(key) for key in COMPARABLE)


def same_corpora(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two model cards name the same texts by fingerprint; cards that name none do not."""

    def fingerprints(card: Mapping[str, Any]) -> set[str]:
        listed = card.get("corpora") or ()
        return {str(entry.get("fingerprint", "")) if isinstance(entry, Mapping) else str(entry) for entry in listed}

    held = fingerprints(first)
    return bool(held) and "" not in held and held == fingerprints(second)


def versus(arms: Sequence[Arm]) -> tuple[Versus, ...]:
    """Each tuned arm with its reference: a comparable placebo, else the base, else any placebo; none without both.

    Among comparable placebos those of other texts go first, then the one with the same training seed, else the first.
    """
    found = []
    base = next((arm for arm in arms if arm.role == "base"), None)
    placebos = [arm for arm in arms if arm.role == "placebo"]
    for tuned in (arm for arm in arms if arm.role == "tuned"):
        fit = [arm for arm in placebos if comparable(arm.card, tuned.card)]
        fit = [arm for arm in fit if not same_corpora(arm.card, tuned.card)] or fit
        same_seed = [arm for arm in fit if arm.card.get("seed") == tuned.card.get("seed")]
        if fit:
            reference = (same_seed or fit)[0]
            words = ("same-corpus",) if same_corpora(reference.card, tuned.card) else ()
            found.append(Versus(tuned=tuned, reference=reference, caveats=words))
        elif base is not None:
            word = "placebo-not-comparable" if placebos else "no-placebo"
            found.append(Versus(tuned=tuned, reference=base, caveats=(word,)))
        elif placebos:
            found.append(Versus(tuned=tuned, reference=placebos[0], caveats=("placebo-not-comparable",)))
    return tuple(found)


def descriptive_pairs(arms: Sequence[Arm], main: Sequence[Versus]) -> tuple[tuple[Arm, Arm], ...]:
    """(arm, base) for every arm that the main contrasts do not already hold against the base."""
    base = next((arm for arm in arms if arm.role == "base"), None)
    if base is None:
        return ()
    held = {(pair.tuned.name, pair.reference.name) for pair in main}
    return tuple((arm, base) for arm in arms if arm.role != "base" and (arm.name, base.name) not in held)


def coupled(first: Arm, second: Arm) -> bool:
    """Whether completions of both arms used one noise (CONTRACT §1)."""
    return first.tokenizer_fingerprint == second.tokenizer_fingerprint and first.salt == second.salt


def condition_of(arm: Arm) -> str | None:
    """What was trained on what, but for the training seed: declared (`condition` in the card), else read from the card.

    None for an arm that declares nothing and whose card names no corpora or no seed.
    """
    card = arm.card
    if card.get("condition"):
        return f"declared {card['condition']}"
    if not card.get("corpora") or card.get("seed") is None:
        return None
    return identity.canonical_json([card.get("corpora"), *(card.get(key) for key in COMPARABLE)]).decode()


def runs_like(arm: Arm, arms: Sequence[Arm]) -> int:
    """Trained models of `arm`'s condition, itself among them: different seeds, or different weights where declared."""
    condition = condition_of(arm)
    if condition is None:
        return 1
    like = [other for other in arms if condition_of(other) == condition]
    declared = condition.startswith("declared ")
    return max(1, len({other.fingerprint if declared else other.card.get("seed") for other in like}))


def runs_of(pair: Versus, arms: Sequence[Arm]) -> int:
    """Trained models of the condition that has fewer of them; a base is not trained here and counts as given."""
    both = (pair.tuned, pair.reference)
    return min(runs_like(arm, arms) for arm in both if arm.role != "base")


def margin_of(measure: Measure, outcome: str, unit: str, primary: Primary | None) -> float | None:
    """The margin of one outcome of a measure: the primary question's, else the measure's own for its value.

    Args:
        measure: of the battery.
        outcome: `value`, or a label.
        unit: of the outcome.
        primary: the battery's question.

    Raises:
        InputError: as `margin_in`.
    """
    if primary is not None and (primary.measure, primary.outcome) == (measure.name, outcome):
        return margin_in(unit, primary)
    if outcome != "value":
        return None
    return margin_in(unit, Primary(measure=measure.name, margin=measure.margin, unit=measure.unit))


def margin_in(unit: str, primary: Primary) -> float | None:
    """A margin in a measure's `unit`; points become shares.

    Raises:
        InputError: the margin has another unit than the measure, or no difference of shares can be larger than it.
    """
    found = _converted(unit, primary)
    if found is not None and unit in SHARES and found >= 1:
        raise InputError(
            f"the margin {primary.margin:g} {primary.unit or unit} of measure '{primary.measure}' is as wide "
            f"as all differences that shares can have; write it as in '5 points' or '0.05 {unit}'."
        )
    return found


def _converted(unit: str, primary: Primary) -> float | None:
    """The margin in `unit`."""
    if primary.margin is None:
        return None
    given = "".join(primary.unit.split()).casefold()
    if not given or given == "".join(unit.split()).casefold():
        return primary.margin
    factors = {**SHARES, **POINTS} if unit in SHARES else {}
    if given not in factors:
        raise InputError(
            f"the margin is in '{primary.unit}', but measure '{primary.measure}' is in '{unit}'; "
            f"write the margin in {unit}{', or in points' if unit in SHARES else ''}."
        )
    return primary.margin * factors[given]


def arm_caveats(
    pair: Versus,
    arms: Sequence[Arm],
    language: str,
    numerics: Mapping[str, Collection[str]],
    stored: Mapping[str, int],
    wanted: Mapping[str, int],
) -> list[str]:
    """Caveat words that follow from the two arms of a contrast and from how they were sampled."""
    both = (pair.tuned, pair.reference)
    found = list(pair.caveats)
    runs = runs_of(pair, arms)
    found.append({1: "one-run-per-arm", 2: "few-runs-per-arm"}.get(runs, "runs-apart"))
    if pair.tuned.tokenizer_fingerprint != pair.reference.tokenizer_fingerprint:
        found.append("different-tokenizers")
    if any(arm.language and arm.language != language for arm in both):
        found.append("language-mismatch")
    if len({name for arm in both for name in numerics.get(arm.name, ())}) > 1:
        found.append("mixed-numerics")
    if any(stored.get(arm.name, 0) < wanted[arm.name] for arm in both if arm.name in wanted):
        found.append("incomplete-run")
    return found
