"""The verbs whose stage needs little more than a call: ingest, finetune, check, new, ls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import UsageError
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import Console, Task, clock

if TYPE_CHECKING:
    from biasaudit.lm.finetune import FinetuneProgress

PRECISIONS = {"auto": "auto", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
UNITS = {
    "reading": "bytes",
    "hashing sources": "files",
    "tokenising": "documents",
    "validating before training": "tokens",
    "validating": "tokens",
    "validating after training": "tokens",
}


class StageProgress:
    """Turns (stage, done, total, note) calls of a stage into one counted task after another."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self.console = console
        self.task: Task | None = None

    def __call__(self, stage: str, done: float, total: float | None, note: str = "") -> None:
        """Show where `stage` stands."""
        if self.task is None or self.task.name != stage or done < self.task.done:
            self.task = Task(self.console, stage, total, UNITS.get(stage, ""), done=done)
        self.task.update(done, total, note)


class TrainingProgress:
    """Shows where a training run stands."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self.console = console
        self.loss = ""

    def __call__(self, report: FinetuneProgress) -> None:
        """Show step, loss, rate and what validation says."""
        rate = f"{report.tokens_per_second:,.0f} tokens/s, ETA {clock(report.eta_seconds)}"
        line = f"training: step {report.step:,}/{report.steps:,}, {rate}"
        if report.validation is not None and report.validation.bits_per_byte is not None:
            self.console.say(f"{line}, validation {report.validation.bits_per_byte:.3f} bits per byte")
            return
        if report.loss is not None:
            self.loss = f", loss {report.loss:.3f} nats per token"
        self.console.status(line + self.loss, last=report.step == report.steps and report.loss is None)


def find_command(
    *, query: str, folder: Path, regex: bool, case: bool, accents: bool, limit: int, nearest: bool, quiet: bool
) -> Outcome:
    """Search a corpus."""
    from biasaudit.pipeline.corpus_find import find

    return find(
        folder, query, regex=regex, ignore_case=not case, accents=accents, limit=limit, nearest=nearest, quiet=quiet
    )


def finetune_command(*, corpus: Path, out: Path, quiet: bool, **settings: Any) -> Outcome:
    """Fine-tune and say what came of it."""
    from biasaudit.pipeline.finetune import finetune

    given = {key: value for key, value in settings.items() if value is not None}
    shape = [key for key in ("n_layer", "n_embd", "n_head") if key in given]
    if shape and given["base"] != "scratch":
        option = "--" + shape[0].replace("_", "-")
        raise UsageError(f"{option} goes with --base scratch only: {given['base']} has a shape of its own")
    given["precision"] = PRECISIONS[given.pop("dtype")]
    if not any(key in given for key in ("steps", "epochs", "tokens")):
        given["epochs"] = 1.0
    console = Console(quiet=quiet)
    card = finetune(corpus, out, progress=TrainingProgress(console), stages=StageProgress(console), **given)
    before, after = card.get("validation_before") or {}, card.get("validation_after") or {}
    lines = []
    if after:
        key, unit = "bits_per_byte", "bits per byte"
        if after.get(key) is None:
            key, unit = "nats_per_token", "nats per token"
        start = f"{before[key]:.3f} → " if before.get(key) is not None else ""
        used, held_out = after.get("tokens"), card.get("val_tokens")
        part = f", on {used:,} of {held_out:,} held-out tokens" if used and held_out and used < held_out - 1 else ""
        lines.append(f"validation: {start}{after[key]:.3f} {unit}{part}")
    lines.append(str(out))
    return Outcome(text="\n".join(lines), data=card)


def check_command(
    batteries: Sequence[Path], corpora: Sequence[Path] = (), arms: Sequence[str] = (), *, strict: bool = False
) -> Outcome:
    """Check every battery; exit code 2 when one has a fault, or with `strict` a warning."""
    from biasaudit.pipeline.check import check
    from biasaudit.pipeline.plan import resolve_arms

    described = resolve_arms(arms, (), Console(quiet=True))[0] if arms else ()
    results = [check(path, corpora=corpora, arms=described) for path in batteries]
    return Outcome(
        text="\n\n".join(result.text() for result in results),
        data={"batteries": [result.data() for result in results]},
        exit_code=0 if all(result.ok and not (strict and result.warnings) for result in results) else 2,
    )


def new_command(kind: str, name: str, folder: Path | None) -> Outcome:
    """Write a commented start of a battery."""
    from biasaudit.pipeline.check import new_battery

    path = new_battery(name, folder or Path("prompts"))
    return Outcome(text=str(path), data={"kind": kind, "path": path})


def list_command(reports: Path) -> Outcome:
    """List what is here: runs, batteries, corpora, models, embedded arms, scorers."""
    from biasaudit import scoring
    from biasaudit.lm import embedded

    data: dict[str, list[str]] = {
        "runs": [str(p.parent) for p in sorted(reports.glob("*/*/manifest.json"))],
        "labelled runs": labelled(reports),
        "batteries": [str(p) for p in sorted(Path("prompts").glob("*.yaml"))],
        "corpora": [str(p.parent) for p in sorted(Path("corpora").glob("*/card.json"))],
        "models": [str(p.parent) for p in sorted(Path("models").glob("*/card.json"))],
        "embedded arms": [f"embedded:{name}" for name in embedded.names()],
        "scorers": list(scoring.names()),
    }
    searched = {
        "runs": f"{reports}/",
        "labelled runs": f"{reports}/",
        "batteries": "prompts/",
        "corpora": "corpora/",
        "models": "models/",
    }
    lines = []
    for kind, names in data.items():
        none = f"none in {searched[kind]}" if kind in searched else "none"
        lines.append(f"{kind}: {', '.join(names) or none}")
    return Outcome(text="\n".join(lines), data=data)


def labelled(reports: Path) -> list[str]:
    """Runs with human labels, each with the names of those who labelled it."""
    from biasaudit.store.labels import raters

    found = {path.parent: raters(path.parent) for path in sorted(reports.glob("*/*/manifest.json"))}
    return [f"{run} ({', '.join(names)})" for run, names in found.items() if names]
