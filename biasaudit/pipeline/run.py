"""`biasaudit run`: battery -> completions of every arm -> scores -> statistics -> report, resumable at every point."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import __version__, identity
from biasaudit.errors import StoreError, UsageError
from biasaudit.pipeline.asked import Asked
from biasaudit.pipeline.copying import with_corpora
from biasaudit.pipeline.lock import attach, with_lock
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.same_run import differences, fits, identity_of
from biasaudit.pipeline.until import sample_until

if TYPE_CHECKING:
    from biasaudit.results import Analysis
    from biasaudit.store.run import RunFolder

LARGE_RUN = 200_000
"""Completions above which the count is announced as large before any model is loaded."""


def run_command(
    *,
    corpora: Sequence[str] = (),
    lock: Path | None = None,
    no_lock: bool = False,
    out: Path | None,
    fresh: bool,
    report_language: str | None,
    **given: Any,
) -> Outcome:
    """Plan, find or make the run folder, and do whatever is not done yet.

    Args:
        corpora: `NAME=FOLDER` words.
        lock: what was registered; else the lock beside the battery.
        no_lock: leave that one out.
        out: run folder.
        fresh: start a new run.
        report_language: of the report.
        given: the fields of `Asked`.
    """
    asked = Asked(**given)
    console = Console(quiet=asked.quiet)
    plan = with_corpora(asked.plan(console, out), corpora, console)
    plan = with_lock(plan, asked.battery, lock, ignore=no_lock, console=console)
    folder = find_folder(plan, asked.reports, out, fresh=fresh)
    return execute(plan, folder, asked.battery.read_bytes(), asked.machine, console, report_language)


def find_folder(plan: RunPlan, reports: Path, out: Path | None, *, fresh: bool) -> RunFolder:
    """The run that this command continues, or a new one.

    A run fits when it is of the same battery, language and seed, and all of its arms that have answered are asked for
    again; so more completions, prompts, decodings or arms extend it, and another model starts a new one.

    Raises:
        UsageError: the folder that was given holds another run; what differs is said.
    """
    from biasaudit.store.names import new_run_name, runs
    from biasaudit.store.run import RunFolder

    if out is not None:
        if (out / "manifest.json").exists():
            found = RunFolder.open(out)
            differing = differences(found, plan)
            if differing:
                raise UsageError(
                    f"{out} holds another run: {'; '.join(differing)}. Give --out another folder, or ask for what it "
                    "was made with"
                )
            if fresh:
                raise UsageError(f"--fresh with --out {out}: that run exists; delete it or give another folder")
            return found
        _refuse_foreign(out)
        return RunFolder.create(out, identity_of(plan))
    _refuse_files(reports, "--reports")
    parent = reports / plan.battery.name
    going_on = None if fresh else next((run for run in runs(parent) if fits(run, plan)), None)
    if going_on is not None:
        return going_on
    moment, seed_material = datetime.now(UTC), identity.content_hash(identity_of(plan))
    while (path := parent / new_run_name(moment, seed_material)).exists():
        moment += timedelta(seconds=1)  # the same command was started in this second already
    return RunFolder.create(path, identity_of(plan))


def _refuse_foreign(out: Path) -> None:
    """A run's manifest vouches for every file in its folder, so it never starts among somebody else's."""
    _refuse_files(out, "--out")
    if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(f"--out {out}: holds something that is no run; give an empty or a new folder")


def _refuse_files(folder: Path, option: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option} {folder}: is a file; give a folder")


def execute(
    plan: RunPlan, folder: RunFolder, battery_text: bytes, machine: Machine, console: Console, locale: str | None
) -> Outcome:
    """Hold the run, sample what is missing, then score, analyse and report."""
    from biasaudit.pipeline import audit
    from biasaudit.pipeline.complete import ask_arms
    from biasaudit.pipeline.stored import Stored
    from biasaudit.store.tables import prompts_table

    locale = locale or plan.language
    with folder.lock():
        plan = attach(plan, folder, console)
        console.say(announce(plan, folder))
        warn_of_less(plan, folder, console)
        analysis = finished(plan, folder, battery_text, locale)
        if analysis is not None:
            console.say("everything that this command asks for is stored and reported already")
            return audit.outcome(folder, plan, analysis, locale)
        folder.write_bytes("battery.yaml", battery_text)
        folder.write_table("prompts.parquet", prompts_table(plan.prompts))
        folder.update_manifest({**identity_of(plan), **describe(plan), "status": "running"})
        if plan.looks is None:
            ask_arms(plan, folder, machine, console)
        else:
            plan = sample_until(plan, folder, machine, console)
        stored = Stored(folder, plan)
        audit.score(stored, console)
        audit.analyse(stored, console)
        return audit.report(stored, locale)


def finished(plan: RunPlan, folder: RunFolder, battery_text: bytes, locale: str) -> Analysis | None:
    """The analysis, if this very command was carried out to its end before and all that it needs is undamaged."""
    from biasaudit.pipeline import audit
    from biasaudit.pipeline.complete import LIKELIHOODS, missing_units

    now, passing = {**identity_of(plan), **describe(plan)}, ("command", "machine")
    before = folder.manifest
    same = all(before.get(key) == value for key, value in identity.plain(now).items() if key not in passing)
    if not (same and folder.sealed and before.get("status") == "done" and before.get("report_language") == locale):
        return None
    try:
        unchanged = folder.read_bytes("battery.yaml") == battery_text and bool(folder.read_bytes(audit.REPORT))
        analysis = audit.read_analysis(folder)
    except StoreError:
        return None  # missing or damaged: the stages make it again
    missing = missing_units(plan, folder)
    folder.quarantine_damaged(LIKELIHOODS)
    return analysis if unchanged and not missing and audit.complete(folder, plan, analysis) else None


def warn_of_less(plan: RunPlan, folder: RunFolder, console: Console) -> None:
    """Say when a run holds more than is asked for now: the report then speaks of the smaller part only."""
    before = folder.manifest
    left = {entry["decoding_id"] for entry in before.get("decodings", [])} - {d.decoding_id for d in plan.decodings}
    fewer = before.get("completions", 0) > plan.completions
    prompts = prompts_outside(plan, folder)
    if left or fewer or prompts:
        said = [
            (fewer, f"{before.get('completions')} completions a prompt"),
            (left, f"{len(left)} other decoding(s)"),
            (prompts, f"{prompts} other prompt(s)"),
        ]
        what = ", ".join(words for there, words in said if there)
        labels = labels_outside(plan, folder)
        what += f", and {labels} labels of people," if labels else ","
        console.warn(
            f"{folder.path} holds {what} which this command does not ask for: they stay stored, and the new report "
            "leaves them out (--fresh or --out starts a run of its own)"
        )


def prompts_outside(plan: RunPlan, folder: RunFolder) -> int:
    """How many of the prompts that a run was last asked for `plan` does not ask for."""
    if not folder.has("prompts.parquet"):
        return 0
    try:
        known = folder.read_table("prompts.parquet", ["prompt_id"]).column("prompt_id").to_pylist()
    except StoreError:
        return 0  # damaged: it is written anew
    return len(set(known) - {prompt.prompt_id for prompt in plan.prompts})


def labels_outside(plan: RunPlan, folder: RunFolder) -> int:
    """How many of a run's labels are of completions that `plan` does not ask for."""
    from biasaudit.store.labels import read_labels

    asked = {decoding.decoding_id for decoding in plan.decodings}
    prompts = {prompt.prompt_id for prompt in plan.prompts}
    keys = [label.key for label in read_labels(folder)]
    return sum(d not in asked or p not in prompts or i >= plan.completions for _, p, d, _, _, i in keys)


def announce(plan: RunPlan, folder: RunFolder) -> str:
    """One line before any work: what, how many, where."""
    total = len(plan.arms) * plan.wanted_per_arm
    large = " (large: think of --completions)" if total > LARGE_RUN else ""
    most = "" if plan.looks is None else "at most "
    counts = f"{len(plan.prompts)} prompts × {most}{plan.completions} completions"
    if len(plan.decodings) > 1:
        counts += f" × {len(plan.decodings)} decodings"
    names = ", ".join(a.name for a in plan.arms)
    return (
        f"{plan.battery.name} ({plan.language}): {counts} × {len(plan.arms)} arms ({names}) = {total:,}{large}"
        f" → {folder.path}"
    )


def describe(plan: RunPlan) -> dict[str, Any]:
    """The manifest's account of a run; nothing in it changes when the same command is repeated."""
    import importlib.metadata

    packages = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pyarrow", "vl-convert-python")
    return {
        "battery": {
            "name": plan.battery.name,
            "version": plan.battery.version,
            "hash": plan.battery.battery_hash,
            "path": plan.battery.path,
        },
        "completions": plan.completions,
        "precision": plan.precision,
        "corpora": dict(plan.corpora),
        **({} if plan.lock is None else {"lock": plan.lock}),
        "decodings": [{**identity.plain(d), "decoding_id": d.decoding_id} for d in plan.decodings],
        "versions": {
            "biasaudit": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
