"""`biasaudit lock`: what an audit asks, fixed by a hash before anything is sampled; and how `run` keeps to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import __version__, identity
from biasaudit.errors import InputError, UsageError
from biasaudit.pipeline.lock_content import SHOWN, content_of, deviations
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.progress import Console

if TYPE_CHECKING:
    from biasaudit.store.run import RunFolder

FORMAT = "biasaudit-lock-1"
MAX_BYTES = 1 << 24
"""Largest lock file; a battery of a thousand arms stays far below it."""


def lock_command(*, out: Path | None, **given: Any) -> Outcome:
    """Write the lock of what `run` with the same options would do; a lock that is there already is never replaced.

    Args:
        out: the lock file; else beside the battery.
        given: the fields of `pipeline.asked.Asked`.
    """
    from biasaudit.pipeline.asked import Asked

    asked = Asked(**given)
    plan = asked.plan(Console(quiet=asked.quiet))
    made = make_lock(plan, existing_runs(plan, asked.reports))
    path = out or beside(asked.battery)
    _write_once(path, made)
    return Outcome(text=_told(path, made, plan), data={"file": str(path), **made})


def beside(battery: Path) -> Path:
    """Where a lock of a battery stands when nobody says otherwise: `vaccines.lock.json` beside `vaccines.yaml`."""
    return battery.with_name(f"{battery.stem}.lock.json")


def make_lock(plan: RunPlan, existing: Sequence[str]) -> dict[str, Any]:
    """The lock of a plan.

    Args:
        plan: what will be run.
        existing: names of runs that hold answers to its question already.
    """
    content = content_of(plan)
    return {
        "format": FORMAT,
        "hash": identity.content_hash(content),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "existing": list(existing),
        "content": content,
    }


def existing_runs(plan: RunPlan, reports: Path) -> list[str]:
    """Runs of the battery that hold answers of one of the plan's arms to the question, newest first.

    Completions of another seed are a pilot; likelihoods, which no seed changes, are the answer itself.
    """
    from biasaudit.pipeline.complete import COMPLETIONS, LIKELIHOODS
    from biasaudit.store.names import runs

    asked = {(arm.fingerprint, arm.salt) for arm in plan.arms}
    primary = content_of(plan)["primary"]
    found = []
    for run in runs(reports / plan.battery.name):
        held = {(arm["fingerprint"], arm["salt"]) for arm in run.manifest.get("arms", [])}
        if run.manifest.get("language") != plan.language or not asked & held:
            continue
        sampled = run.manifest.get("seed") == plan.seed and bool(run.units_done(COMPLETIONS))
        read = (primary is None or primary["reads"] == "likelihoods") and bool(run.units_done(LIKELIHOODS))
        if sampled or read:
            found.append(run.path.name)
    return found


def _write_once(path: Path, made: Mapping[str, Any]) -> None:
    """Write a lock, or find the same one there.

    Raises:
        UsageError: another lock stands there, or the folder does not.
    """
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(json.dumps(made, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    except FileExistsError:
        held = read_lock(path)
        when = f"{path}: a lock of {held['made']} stands here already, "
        if held["hash"] == made["hash"]:
            raise UsageError(when + "of exactly this; nothing was written, and it stays in force") from None
        raise UsageError(
            when + f"of something else ({held['hash'][:SHOWN]}, now {made['hash'][:SHOWN]}). A lock is made once: "
            "give --out another file and say in your paper why, or delete it if nothing was sampled under it"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"--out {path}: the folder {path.parent} does not exist; make it first") from None


def read_lock(path: Path) -> dict[str, Any]:
    """A lock file whose content matches its hash.

    Raises:
        InputError: missing, no lock, or changed since it was made.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; expected a lock that `biasaudit lock` wrote")
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a lock, see `biasaudit lock`") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON; expected a lock that `biasaudit lock` wrote") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(f"{path}: is not a lock of this kind ({FORMAT}); make one with `biasaudit lock`")
    kinds = {"hash": str, "made": str, "version": str, "existing": list, "content": dict}
    broken = [key for key, kind in kinds.items() if not isinstance(value.get(key), kind)]
    if broken or not _is_time(value["made"]):
        raise InputError(f"{path}: a damaged lock (see {', '.join(broken) or 'made'}); take the one that was published")
    if identity.content_hash(value["content"]) != value["hash"]:
        raise InputError(
            f"{path}: its content does not match its hash {value['hash'][:SHOWN]}, so it was changed after it was "
            "made; take the one that was published, or make a new one"
        )
    return {key: value[key] for key in ("format", *kinds)}


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def with_lock(plan: RunPlan, battery: Path, lock: Path | None, *, ignore: bool, console: Console) -> RunPlan:
    """The plan with the lock that the user gives, else with the one beside the battery.

    Raises:
        UsageError: a lock is given and none is wanted.
        InputError: the lock cannot be read.
    """
    if ignore and lock is not None:
        raise UsageError("--lock and --no-lock contradict each other; give one of them")
    path = lock or beside(battery)
    if ignore or (lock is None and not path.is_file()):
        return plan
    found = read_lock(path)
    if lock is None:
        console.say(f"lock {found['hash'][:SHOWN]} of {found['made']} found beside the battery: {path} "
                    "(--no-lock leaves it out)")  # fmt: skip
    try:
        deviations(found["content"], content_of(plan))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: what it locks cannot be read ({type(error).__name__}); it was made by biasaudit "
            f"{found['version']}, this is {__version__}. Make it again, or use that version"
        ) from None
    return dataclasses.replace(plan, lock={**found, "file": path.name})


def attach(plan: RunPlan, folder: RunFolder, console: Console) -> RunPlan:
    """The plan with the lock of its run, which never changes; `late` says that completions came before it.

    Raises:
        UsageError: the run was made under another lock.
    """
    held = folder.manifest.get("lock")
    if held is not None:
        if plan.lock is not None and plan.lock["hash"] != held["hash"]:
            raise UsageError(
                f"{folder.path} was made under the lock {held['hash'][:SHOWN]}, this is {plan.lock['hash'][:SHOWN]}; a "
                "run keeps its lock. --fresh or another --out starts a run of its own"
            )
        return dataclasses.replace(plan, lock=held)
    if plan.lock is None:
        return plan
    late = bool(plan.lock["existing"]) or _sampled_before(folder, plan.lock["made"])
    entry = {**plan.lock, "late": late}
    if late:
        console.warn("this lock was made after completions existed: the report calls what it locks exploratory")
    told = _differences(dataclasses.replace(plan, lock=entry))
    if told:
        console.warn(f"not as locked: {', '.join(told)}; the report lists it")
    return dataclasses.replace(plan, lock=entry)


def _differences(plan: RunPlan) -> list[str]:
    assert plan.lock is not None
    found = deviations(plan.lock["content"], content_of(plan))
    return [f"{row['part']} {row['name']}".strip() + (" (primary question)" if row["primary"] else "") for row in found]


def _sampled_before(folder: RunFolder, made: str) -> bool:
    """Whether the run holds answers older than the lock; a file's time is the least that a copy leaves of it."""
    from biasaudit.pipeline.complete import COMPLETIONS, LIKELIHOODS

    times = [path.stat().st_mtime for kind in (COMPLETIONS, LIKELIHOODS) for path in folder.parts(kind)]
    return bool(times) and min(times) < datetime.fromisoformat(made).timestamp()


def _told(path: Path, made: Mapping[str, Any], plan: RunPlan) -> str:
    """What the command says: the hash to publish, what is in it, and what it comes too late for."""
    primary = plan.battery.primary
    lines = [f"{made['hash']}  {path}"]
    if primary is None:
        lines.append("warning: the battery names no primary question, so there is nothing confirmatory to lock")
    else:
        margin = "no margin" if primary.margin is None else f"margin {primary.margin:g} {primary.unit}".rstrip()
        lines.append(
            f"question: {primary.measure} ({primary.outcome}), target {primary.target}, {margin}, "
            f"level {plan.battery.alpha:g}; "
            f"{len(plan.prompts)} prompts × {plan.completions} completions × {len(plan.arms)} arms, seed {plan.seed}"
        )
    if made["existing"]:
        lines.append(
            f"warning: completions exist already ({', '.join(made['existing'][:3])}): the report will say that this "
            "lock came after them"
        )
    lines.append("publish the hash (a commit, a tag, OSF) before you sample; a lock that only you have shows no date")
    return "\n".join(lines)
