"""What a user declares of arms for designs with several trained models: their dose, and their condition.

Both go into the arm's card, where a model's own `card.json` may hold them already (`dose`, `condition`); what is said
on the command line counts. They change no completion and no fingerprint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from biasaudit.errors import InputError, UsageError
from biasaudit.pipeline.plan import RunPlan, parse_pairs
from biasaudit.records import Arm

PLACEBO = "placebo"
"""The condition whose arms are placebos, whatever their names."""


def with_declared(plan: RunPlan, doses: Sequence[str], conditions: Sequence[str]) -> RunPlan:
    """The plan, doses and conditions in its arms' cards.

    Args:
        plan: with its arms.
        doses: `NAME=VALUE` words; a value is a number or a percentage.
        conditions: `NAME=WORD` words; arms of one word are runs of one condition.

    Raises:
        UsageError: a word is broken or names no arm.
        InputError: a dose, here or in a card, is no number of 0 or more, or one model has two.
    """
    said = {"dose": parse_pairs(doses, "--dose"), "condition": parse_pairs(conditions, "--condition")}
    names = [arm.name for arm in plan.arms]
    for option, words in said.items():
        unknown = sorted(set(words) - set(names))
        if unknown:
            raise UsageError(f"--{option} names no arm of this run: {', '.join(unknown)}; arms are {', '.join(names)}")
    arms = tuple(_declared(arm, said) for arm in plan.arms)
    check_one_dose(arms)
    return dataclasses.replace(plan, arms=arms)


def check_one_dose(arms: Sequence[Arm]) -> None:
    """Refuse a model that is said to have two doses.

    Raises:
        InputError: two arms of the same weights have different doses.
    """
    first: dict[str, Arm] = {}
    for arm in arms:
        held = first.setdefault(arm.fingerprint, arm) if arm.card.get("dose") is not None else arm
        if held.card.get("dose") != arm.card.get("dose"):
            raise InputError(
                f"arms {held.name} and {arm.name} are one model, but their doses are {held.card['dose']:g} and "
                f"{arm.card['dose']:g}; a model was trained on one dose: give both the same --dose, or leave one out"
            )


def _declared(arm: Arm, said: Mapping[str, Mapping[str, str]]) -> Arm:
    """One arm with what is said of it."""
    found: dict[str, Any] = {name: words[arm.name] for name, words in said.items() if arm.name in words}
    dose = found.get("dose", arm.card.get("dose"))
    if dose is not None:
        found["dose"] = _number(arm.name, dose)
    role = "placebo" if found.get("condition") == PLACEBO and arm.role == "tuned" else arm.role
    return dataclasses.replace(arm, role=role, card={**arm.card, **found}) if found else arm


def _number(name: str, dose: Any) -> float:
    """A dose as a number.

    Raises:
        InputError: it is none.
    """
    from biasaudit.stats.dose import parse_dose

    try:
        return parse_dose(str(dose))
    except ValueError:
        raise InputError(
            f"arm {name}: its dose is '{dose}'; expected a number of 0 or more, or a percentage, for instance "
            f"--dose {name}=0.25 or --dose {name}=25%"
        ) from None
