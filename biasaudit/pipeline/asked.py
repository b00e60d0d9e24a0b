"""What the verbs `run` and `lock` are asked alike, as the command line gives it; and the plan that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biasaudit.errors import UsageError
from biasaudit.pipeline.declared import with_declared
from biasaudit.pipeline.elsewhere import refuse_short_recordings
from biasaudit.pipeline.plan import Machine, RunPlan, make_plan
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.until import RULES, add_looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Options by the names that `cli_options` gives them; help texts there say what each means."""

    battery: Path
    arms: Sequence[str]
    salts: Sequence[str]
    doses: Sequence[str]
    conditions: Sequence[str]
    dtype: str
    likelihood_dtype: str = "float32"
    device: str
    tile: int | None
    threads: int | None
    processes: int = 1
    temperature: Sequence[float]
    top_k: Sequence[int]
    top_p: Sequence[float]
    greedy: bool
    max_new_tokens: int | None
    seed: int | None
    completions: int | None
    until: str | None
    looks: int | None
    anytime: bool
    look_at: str
    language: str | None
    reports: Path
    quiet: bool

    @property
    def machine(self) -> Machine:
        """How models are to be run."""
        names = ("dtype", "likelihood_dtype", "device", "tile", "threads", "processes")
        return Machine(**{name: getattr(self, name) for name in names})

    def plan(self, console: Console, out: Path | None = None) -> RunPlan:
        """What a run would do; `out` is its folder, where the user names one."""
        names = ("temperature", "top_k", "top_p", "greedy", "max_new_tokens")
        plan = make_plan(
            self.battery,
            arms=self.arms,
            salts=self.salts,
            language=self.language,
            completions=self.completions,
            seed=self.seed,
            decoding={name: getattr(self, name) for name in names},
            machine=self.machine,
            console=console,
            accepted=lambda name: described_before(self.reports / name, out),
        )
        plan = with_declared(plan, self.doses, self.conditions)
        return with_looks(plan, until=self.until, looks=self.looks, anytime=self.anytime, look_at=self.look_at)


def with_looks(plan: RunPlan, *, until: str | None, looks: int | None, anytime: bool, look_at: str) -> RunPlan:
    """The plan with the looks that the command asks for.

    Raises:
        UsageError: options of looks without --until, or looks that cannot be.
    """
    if until is not None:
        plan = add_looks(plan, until=until, looks=looks, anytime=anytime, look_at=look_at)
        refuse_short_recordings(plan)
        return plan
    given = [name for name, value in (("--looks", looks), ("--anytime", anytime), ("--look-at", look_at)) if value]
    if given:
        raise UsageError(f"{given[0]} goes with --until, which says when sampling stops: {', '.join(RULES)}")
    return plan


def described_before(parent: Path, out: Path | None) -> set[str]:
    """Fingerprints of the models of the run that may go on: planning need not build these models again."""
    from biasaudit.store.names import runs
    from biasaudit.store.run import RunFolder

    found = runs(parent)[:1]
    if out is not None:
        found = [RunFolder.open(out)] if (out / "manifest.json").exists() else []
    return {arm["fingerprint"] for run in found for arm in run.manifest.get("arms", [])}
