"""Arms that our engine does not sample: recorded completions, servers, vLLM."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import InputError, ResourceError, UsageError
from biasaudit.pipeline.arms import UNVERIFIABLE, backend_of, describe_arm, read_arm_files
from biasaudit.pipeline.plan import Machine, RunPlan, parse_pairs
from biasaudit.pipeline.progress import Console, Task
from biasaudit.records import Arm, Measure

if TYPE_CHECKING:
    from biasaudit.scale.units import WorkUnit
    from biasaudit.store.run import RunFolder

RECORDED = "recorded"


def open_elsewhere(arm: Arm, machine: Machine, *, seed: int, journal: Path | None = None) -> Any:
    """The backend of an arm that our engine does not sample.

    Args:
        arm: with its spec.
        machine: precision of weights, for vLLM.
        seed: of the run.
        journal: where a server's requests and answers are kept until they are stored; None keeps none.

    Raises:
        InputError: the file, server or model cannot be used.
    """
    from biasaudit.sampling import backends

    spec = backends.read_spec(arm.spec)
    if spec.backend == "replay":
        from biasaudit.sampling.recorded.read import FIELDS, read_recording

        columns = {name: value for name, value in spec.options.items() if name in FIELDS}
        recording = read_recording(Path(spec.target), kind=spec.options.get("format", ""), columns=columns)
        return backends.build("replay", recording=recording, arm=arm, seed=seed, choose=spec.options.get("arm", ""))
    if spec.backend == "openai":
        from biasaudit.sampling.remote.settings import read_settings

        settings = read_settings(spec.target, spec.options)
        return backends.build("openai", settings=settings, arm=arm, seed=seed, journal=journal)
    from biasaudit.lm.load import describe, reading_room

    context, tokenizer = reading_room(spec.target)
    folder = str(describe(spec.target).folder)
    given = {"folder": folder, "tokenizer": tokenizer, "context": context, "dtype": machine.dtype}
    return backends.build("vllm", spec=spec, arm=arm, seed=seed, **given)


def sample_elsewhere(
    plan: RunPlan,
    folder: RunFolder,
    arm: Arm,
    units: Sequence[WorkUnit],
    measures: Sequence[Measure],
    machine: Machine,
    console: Console,
) -> None:
    """Do for one such arm what the run still owes, and say what it cannot answer.

    Raises:
        ResourceError: a budget is spent; what came back is stored.
    """
    from biasaudit.pipeline.complete import likelihood_measures, score_arm_likelihoods

    kind = backend_of(arm)
    skipped = [measure.name for measure in likelihood_measures(plan)] if kind in UNVERIFIABLE else []
    if skipped:
        console.warn(
            f"arm {arm.name} ({kind}) gives completions only: {', '.join(skipped)} cannot be measured on it and "
            "will be missing from the report"
        )
    if not units and (skipped or not measures):
        return
    journal = folder.path / f".asked-{arm.fingerprint[:16]}.jsonl"
    console.say(f"opening {arm.name} ({arm.spec})")
    if likelihood_measures(plan):  # one engine answers both, so it keeps to the precision of likelihoods
        machine = machine.for_likelihoods
    backend = open_elsewhere(arm, machine, seed=plan.seed, journal=journal)
    try:
        if measures and not skipped:
            score_arm_likelihoods(plan, folder, arm, measures, backend, console)
        if units:
            _sample(plan, folder, arm, units, backend, console)
    finally:
        if kind == "vllm":
            backend.close()  # before the next arm's engine asks for the same memory


def _sample(
    plan: RunPlan, folder: RunFolder, arm: Arm, units: Sequence[WorkUnit], backend: Any, console: Console
) -> None:
    """Store the completions of `units`, and account for what they took."""
    kind = backend_of(arm)
    with console.task(f"sample {arm.name}", sum(unit.count for unit in units), "completions") as task:
        if kind == "replay":
            _take(plan, folder, arm, units, backend, task)
        else:
            _ask(plan, folder, units, backend, task)
    if kind == "replay":
        _account(plan, folder, arm, backend, console)
    elif kind == "openai":
        _settle(folder, arm, backend, console)


def _ask(plan: RunPlan, folder: RunFolder, units: Sequence[WorkUnit], backend: Any, task: Task) -> None:
    from biasaudit.pipeline.complete import COMPLETIONS, complete_units, note_numerics
    from biasaudit.store.tables import completions_table

    for unit, completions in complete_units(plan, units, backend, task):
        note_numerics(folder, completions, backend.numerics_seen)
        folder.commit_part(COMPLETIONS, unit.unit_id, completions_table(completions))


def _settle(folder: RunFolder, arm: Arm, backend: Any, console: Console) -> None:
    """Keep what an arm cost, and stop where its budget did.

    Raises:
        ResourceError: the budget is spent.
    """
    if not backend.stopped:
        backend.journal.settle()
    spent = dict(folder.manifest.get("spent", {}))
    folder.update_manifest({"spent": {**spent, arm.name: backend.spent}})
    for note in backend.notes:
        console.warn(f"arm {arm.name}: {note}")
    if backend.stopped:
        raise ResourceError(
            f"arm {arm.name}: {backend.stopped}; every answer that came is stored. The same command with a larger "
            f"budget goes on, `biasaudit score {folder.path}` reports on what there is."
        )


def _take(plan: RunPlan, folder: RunFolder, arm: Arm, units: Sequence[WorkUnit], backend: Any, task: Task) -> None:
    """Commit what the file has of each unit, column-wise; a unit that it has nothing of is none."""
    from biasaudit.pipeline.complete import COMPLETIONS
    from biasaudit.store.tables import COMPLETIONS as SCHEMA

    backend.answer_for(plan.decodings[0])
    prompts = {p.prompt_id: p for p in plan.prompts}
    decodings = {d.decoding_id: d for d in plan.decodings}
    known = dict(folder.manifest.get("numerics", {}))
    if backend.numerics_id not in known:
        folder.update_manifest({"numerics": {**known, **backend.numerics_seen}})
    done = 0
    for unit in units:
        wanted = [(prompts[prompt_id], start, stop) for prompt_id, start, stop in sorted(unit.items)]
        items, rows = backend.take(wanted, decodings[unit.decoding_id])
        if items:
            order = {item: place for place, item in enumerate(unit.items)}
            there = dataclasses.replace(unit, items=unit.items if set(items) == set(order) else items)
            folder.commit_part(COMPLETIONS, there.unit_id, rows.select(SCHEMA.names).cast(SCHEMA))
        done += unit.count
        task.update(done)
    _keep_labels(plan, folder, arm, backend)


def _keep_labels(plan: RunPlan, folder: RunFolder, arm: Arm, backend: Any) -> None:
    """Store the labels that the file has for completions of this run, and where each completion stood."""
    import pyarrow as pa

    tables = []
    for decoding in plan.decodings:
        wanted = [(prompt, 0, plan.completions_of(decoding)) for prompt in plan.prompts]
        _, rows = backend.take(wanted, decoding)
        if rows is not None and rows.column("label").null_count < rows.num_rows:
            tables.append(rows.select(["prompt_id", "decoding_id", "index", "label", "row"]))
    if tables:
        folder.write_table(f"{RECORDED}/{identity.safe_name(arm.name)}.parquet", pa.concat_tables(tables))


def _account(plan: RunPlan, folder: RunFolder, arm: Arm, backend: Any, console: Console) -> None:
    """Say where every row of the file went, here and in the manifest."""
    found = backend.account(plan.prompts, {d: plan.completions_of(d) for d in plan.decodings})
    kept = dict(folder.manifest.get(RECORDED, {}))
    folder.update_manifest(
        {RECORDED: {**kept, arm.name: {**identity.plain(found), "notes": list(backend.recording.notes)}}}
    )
    if found.rows and not found.used:
        rows = ", ".join(map(str, found.first_unmatched))
        raise UsageError(
            f"arm {arm.name} ({arm.spec}): none of its {found.rows:,} rows answers a prompt of {plan.battery.name} "
            f"({plan.language}), letter by letter; look at rows {rows}. "
            + (f"{found.blanks:,} differ from a prompt in blanks alone. " if found.blanks else "")
            + "`biasaudit check` shows the prompts."
        )
    console.say(f"{arm.name}: {found.used:,} of {found.rows:,} recorded completions are used")
    for note in [*left_out(found), *backend.recording.notes]:
        console.warn(f"arm {arm.name}: {note}")


def refuse_short_recordings(plan: RunPlan) -> None:
    """Refuse looks at arms that cannot be asked for more.

    Raises:
        UsageError: a file has fewer completions than the looks may ask for.
        InputError: a file cannot be used.
    """
    for arm in (arm for arm in plan.arms if backend_of(arm) == "replay"):
        backend = open_elsewhere(arm, Machine(), seed=plan.seed)
        first = plan.decodings[0]
        backend.answer_for(first)
        missing = backend.account(plan.prompts, {first: plan.completions_of(first)}).missing
        if missing:
            raise UsageError(
                f"--until: arm {arm.name} ({arm.spec}) lacks {missing:,} of the "
                f"{len(plan.prompts) * plan.completions:,} completions that looks may ask for, and a file cannot be "
                "asked for more; give a smaller --completions, a file that has them, or leave --until out"
            )


def left_out(found: Any) -> list[str]:
    """A sentence for every kind of row that is not used, and for what is missing."""
    rows = ", ".join(map(str, found.first_unmatched))
    said = [
        (found.missing, f"{found.missing:,} completions that this run asks for are not in the file (not available)"),
        (found.unmatched, f"{found.unmatched:,} rows answer no prompt of this battery (first: rows {rows})"),
        (
            found.blanks,
            f"{found.blanks:,} of these differ from a prompt in blanks alone; write them as the battery does",
        ),
        (
            found.from_one and found.missing,
            "the file numbers completions from 1, and here they count from 0: subtract 1",
        ),
        (found.surplus, f"{found.surplus:,} rows go beyond the completions asked for (--completions takes more)"),
        (found.duplicates, f"{found.duplicates:,} rows repeat the prompt and index of an earlier row"),
        (found.other_decodings, f"{found.other_decodings:,} rows were sampled under other decodings"),
        (found.other_arms, f"{found.other_arms:,} rows belong to other arms"),
    ]
    return [sentence for count, sentence in said if count]


def examine_arms(words: Sequence[str]) -> list[dict[str, str]]:
    """What each arm is and whether it could answer; no weights are loaded and no server is asked."""
    arms, _ = read_arm_files(words, ())
    found = []
    for name, spec in parse_pairs(arms, "--arm").items():
        entry = {"name": name, "spec": spec, "what": "", "fault": ""}
        try:
            entry["what"] = _what(spec)
        except InputError as error:
            entry["fault"] = str(error)
        found.append(entry)
    return found


def _what(spec: str) -> str:
    """One line on an arm.

    Raises:
        InputError: it could not answer.
    """
    from biasaudit.sampling.backends import read_spec

    told, parts = describe_arm(spec), read_spec(spec)
    start = f"{told.backend}, fingerprint {told.fingerprint[:12]}"
    if told.backend == "replay":
        from biasaudit.sampling.recorded.read import FIELDS, read_recording

        columns = {name: value for name, value in parts.options.items() if name in FIELDS}
        recording = read_recording(Path(parts.target), kind=parts.options.get("format", ""), columns=columns)
        arms = [value for value in recording.table.column("arms").unique().to_pylist() if value is not None]
        whose = f" of {', '.join(sorted(arms)[:12])}" if arms else ""
        notes = "".join(f"; {note}" for note in recording.notes)
        return f"{start}, completions only: {recording.table.num_rows:,} rows ({recording.kind}){whose}{notes}"
    if told.backend == "openai":
        from biasaudit.sampling.remote.settings import read_key, read_settings

        settings = read_settings(parts.target, parts.options)
        key = f"key in {settings.key_variable}" if read_key(settings) else "no key"
        return f"{start}, completions only: {settings.model} at {settings.url} ({settings.api}), {key}; not asked"
    return f"{start}, completions and likelihoods, language {told.language or 'not stated'}"
