"""The arm that next-token distributions are held against: its likelihoods come before those of all others."""

from __future__ import annotations

from collections.abc import Sequence

from biasaudit.errors import InputError
from biasaudit.pipeline.arms import backend_of
from biasaudit.pipeline.plan import RunPlan
from biasaudit.records import Arm, Measure


def reference_arm(arms: Sequence[Arm]) -> Arm:
    """The base; without one the placebo, else the first arm."""
    order = {"base": 0, "placebo": 1, "tuned": 2}
    return min(arms, key=lambda arm: order[arm.role])


def needs_reference(measures: Sequence[Measure]) -> bool:
    """Whether any of `measures` holds an arm against the reference."""
    from biasaudit import scoring

    return any(scoring.card(measure.scorer).against_reference for measure in measures)


def known_reference(plan: RunPlan) -> Arm:
    """The reference arm, where measures over next tokens can be held against it.

    Raises:
        InputError: its backend gives no next-token distributions.
    """
    arm = reference_arm(plan.arms)
    if backend_of(arm) != "torch":
        raise InputError(
            f"arm {arm.name} ({backend_of(arm)}) is the reference of this battery's measures over next tokens, and its "
            "backend gives no next-token distributions; leave those measures out, or use a local model as reference."
        )
    return arm
