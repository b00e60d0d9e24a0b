"""The arm that next-token distributions are held against, run before all others and out of memory again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from biasaudit.errors import InputError
from biasaudit.pipeline.arms import backend_of
from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.pipeline.progress import Console
from biasaudit.records import Arm, Measure

if TYPE_CHECKING:
    from biasaudit.sampling.distributions import Reference


def reference_arm(arms: Sequence[Arm]) -> Arm:
    """The base; without one the placebo, else the first arm."""
    order = {"base": 0, "placebo": 1, "tuned": 2}
    return min(arms, key=lambda arm: order[arm.role])


def needs_reference(measures: Sequence[Measure]) -> bool:
    """Whether any of `measures` holds an arm against the reference."""
    from biasaudit import scoring

    return any(scoring.card(measure.scorer).against_reference for measure in measures)


def open_reference(plan: RunPlan, machine: Machine, console: Console) -> Reference:
    """Run the reference arm over the plan's prompts and let its weights go.

    Raises:
        InputError: its backend gives no next-token distributions.
    """
    from biasaudit.pipeline.sample import open_backend
    from biasaudit.sampling.distributions import Reference

    arm = reference_arm(plan.arms)
    if backend_of(arm) != "torch":
        raise InputError(
            f"arm {arm.name} ({backend_of(arm)}) is the reference of this battery's measures over next tokens, and its "
            "backend gives no next-token distributions; leave those measures out, or use a local model as reference."
        )
    backend = open_backend(arm, machine, seed=plan.seed, memory=plan.memory.get(arm.name, 0), console=console)
    return Reference(backend, [prompt.text for prompt in plan.prompts])
