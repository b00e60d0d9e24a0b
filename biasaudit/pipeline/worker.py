"""Sampling in several processes: each holds the arm's model and answers one work unit at a time; the driver commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.records import Arm, Completion

if TYPE_CHECKING:
    from biasaudit.pipeline.progress import Task
    from biasaudit.scale.processes import Progress
    from biasaudit.scale.units import WorkUnit
    from biasaudit.store.run import RunFolder

Answer = tuple[list[Completion], Mapping[str, Any]]
"""A unit's completions in key order, and their numerics spelled out by id."""


def make_worker(plan: RunPlan, arm: Arm, machine: Machine) -> Callable[[WorkUnit], Answer]:
    """Load the arm and return what answers a unit; called inside the worker process."""
    from biasaudit.pipeline.complete import complete_units
    from biasaudit.pipeline.sample import open_backend

    backend = open_backend(arm, machine, seed=plan.seed)

    def answer(unit: WorkUnit) -> Answer:
        ((_, completions),) = complete_units(plan, [unit], backend)
        return completions, backend.numerics_seen

    return answer


def sample_in_processes(
    plan: RunPlan, folder: RunFolder, arm: Arm, units: Sequence[WorkUnit], machine: Machine, task: Task
) -> None:
    """Sample `units` of one arm in `machine.processes` processes and commit what comes back."""
    from biasaudit.pipeline.complete import COMPLETIONS, note_numerics
    from biasaudit.scale.processes import run_units
    from biasaudit.store.tables import completions_table

    def commit(unit: WorkUnit, answer: Answer) -> None:
        completions, numerics = answer
        note_numerics(folder, completions, numerics)
        folder.commit_part(COMPLETIONS, unit.unit_id, completions_table(completions))

    def show(progress: Progress) -> None:
        task.update(progress.completions)

    run_units(
        units,
        partial(make_worker, plan, arm, machine),
        commit,
        processes=machine.processes,
        threads_per_process=machine.threads,
        progress=show,
    )
