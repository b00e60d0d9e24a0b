"""The part of a run that needs models: likelihoods first (they are cheap and exact), then completions, unit by unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.pipeline.arms import answers_likelihoods, backend_of
from biasaudit.pipeline.elsewhere import sample_elsewhere
from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.pipeline.progress import Console, Task
from biasaudit.pipeline.reference import needs_reference, open_reference, reference_arm
from biasaudit.pipeline.sample import open_backend
from biasaudit.records import Arm, Completion, Measure, SampleRequest

if TYPE_CHECKING:
    from biasaudit.sampling.backends.torch import TorchBackend
    from biasaudit.scale.units import Held, WorkUnit
    from biasaudit.store.run import RunFolder

LIKELIHOODS = "likelihoods"
COMPLETIONS = "completions"
BYTES_PER_TOKEN = 10
BYTES_PER_COMPLETION = 40
"""Room that a stored completion takes: token id, log-probability and text of every token, and its key."""


def likelihood_measures(plan: RunPlan) -> list[Measure]:
    """The battery's measures that read likelihoods."""
    from biasaudit import scoring

    return [m for m in plan.battery.measures if scoring.card(m.scorer).reads == "likelihoods"]


def likelihood_unit(plan: RunPlan, arm: Arm, measure: Measure) -> str:
    """Id of one arm's likelihoods for one measure: hash of everything that they depend on."""
    pairs = [p for p in plan.battery.pairs if p.stem.language == plan.language]
    neutral = plan.battery.neutral_stems.get(plan.language)
    parts = ["likelihoods", plan.precision, arm.fingerprint, measure, plan.language, pairs, neutral, plan.prompts]
    if needs_reference([measure]):
        parts.append(reference_arm(plan.arms).fingerprint)
    return identity.content_hash(parts)[: identity.ID_HEX]


def ask_arms(plan: RunPlan, folder: RunFolder, machine: Machine, console: Console) -> None:
    """Score the likelihoods and sample the completions that are missing, one model at a time in memory."""
    from biasaudit.sampling.distributions import Compared
    from biasaudit.store.files import require_space

    units = missing_units(plan, folder)
    wanted = len(plan.arms) * plan.wanted_per_arm
    todo = sum(unit.count for unit in units)
    longest = max((decoding.max_new_tokens for decoding in plan.decodings), default=0)
    require_space(folder.path, todo * (BYTES_PER_TOKEN * longest + BYTES_PER_COMPLETION))
    if todo < wanted:
        console.say(f"{wanted - todo:,} of {wanted:,} completions are stored already")
    folder.quarantine_damaged(LIKELIHOODS)
    done = folder.units_done(LIKELIHOODS)
    asked = [arm for arm in plan.arms if answers_likelihoods(arm)]
    owed = [m for arm in asked for m in likelihood_measures(plan) if likelihood_unit(plan, arm, m) not in done]
    reference = open_reference(plan, machine, console) if needs_reference(owed) else None
    for arm in plan.arms:
        mine = [u for u in units if (u.arm_fingerprint, u.salt) == (arm.fingerprint, arm.salt)]
        measures = [m for m in likelihood_measures(plan) if likelihood_unit(plan, arm, m) not in done]
        if backend_of(arm) != "torch":
            sample_elsewhere(plan, folder, arm, mine, measures, machine, console)
            continue
        alone = machine.processes == 1
        if not measures and (not mine or not alone):
            backend = None
        else:
            backend = open_backend(arm, machine, seed=plan.seed, memory=plan.memory.get(arm.name, 0), console=console)
        if backend is not None:
            score_arm_likelihoods(plan, folder, arm, measures, Compared(backend, reference), console)
        if mine:
            warn_of_short_room(plan, arm, console)
            with console.task(f"sample {arm.name}", sum(u.count for u in mine), COMPLETIONS) as task:
                if backend is not None and alone:
                    _sample(plan, folder, mine, backend, task)
                else:
                    from biasaudit.pipeline.worker import sample_in_processes

                    backend = None  # the workers load their own
                    sample_in_processes(plan, folder, arm, mine, machine, task)


def warn_of_short_room(plan: RunPlan, arm: Arm, console: Console) -> None:
    """Say how many prompts leave less of the arm's context than the longest completion may need."""
    from biasaudit.lm.load import reading_room

    longest = max((decoding.max_new_tokens for decoding in plan.decodings), default=0)
    context, tokenizer = reading_room(arm.spec)
    short = sum(max(1, len(tokenizer.encode(prompt.text))) + longest > context for prompt in plan.prompts)
    if short:
        console.warn(
            f"arm {arm.name}: after {short} of {len(plan.prompts)} prompts its context of {context} tokens has no room "
            f"for max_new_tokens {longest}; completions that reach its end are cut there"
        )


def score_arm_likelihoods(
    plan: RunPlan,
    folder: RunFolder,
    arm: Arm,
    measures: Sequence[Measure],
    backend: Any,
    console: Console,
) -> None:
    """Ask one arm for the likelihoods of `measures` and commit them, a part a measure."""
    from biasaudit.pipeline.score import score_likelihoods
    from biasaudit.store.tables import scores_table

    if not measures:
        return
    with console.task(f"likelihoods {arm.name}", len(measures), "measures") as task:
        for measure in measures:
            scores = score_likelihoods(plan.battery, plan.language, backend, [measure])[measure.name]
            folder.commit_part(LIKELIHOODS, likelihood_unit(plan, arm, measure), scores_table(scores))
            task.advance()


def missing_units(plan: RunPlan, folder: RunFolder) -> list[WorkUnit]:
    """What is wanted and not stored, in canonical order; damaged parts are set aside and wanted again.

    A part is named after the unit that it holds, so what stands there under a planned name needs no reading.
    """
    from biasaudit.store.tables import KEY_COLUMNS, held_ranges

    folder.quarantine_damaged(COMPLETIONS)
    parts = folder.units(COMPLETIONS)
    whole = _planned(plan, {})
    done = [unit for unit in whole if parts.pop(unit.unit_id, None) is not None]
    if not parts:
        finished = {unit.unit_id for unit in done}
        return [unit for unit in whole if unit.unit_id not in finished]
    others = (folder.read_part(part, KEY_COLUMNS) for part in parts.values())
    return _planned(plan, held_ranges(others, [stretch for unit in done for stretch in unit.stretches()]))


def _planned(plan: RunPlan, held: Held) -> list[WorkUnit]:
    """The units that a plan asks for, without what is held."""
    from biasaudit.scale.units import plan_units

    return [
        unit
        for arm in plan.arms
        for decoding in plan.decodings
        for unit in plan_units([arm], plan.prompts, [decoding], plan.sizes_of(decoding), plan.seed, have=held)
    ]


def _sample(plan: RunPlan, folder: RunFolder, units: Sequence[WorkUnit], backend: TorchBackend, task: Task) -> None:
    from biasaudit.store.tables import completions_table

    done = 0
    for unit, completions in complete_units(plan, units, backend, task):
        note_numerics(folder, completions, backend.numerics_seen)
        folder.commit_part(COMPLETIONS, unit.unit_id, completions_table(completions))
        done += unit.count
        task.update(max(done, task.done))


def note_numerics(folder: RunFolder, completions: Sequence[Completion], spelled: Mapping[str, Any]) -> None:
    """Spell out in the manifest the numerics that `completions` carry, before they are committed."""
    known = dict(folder.manifest.get("numerics", {}))
    new = {c.numerics for c in completions} - set(known)
    if new:
        folder.update_manifest({"numerics": {**known, **{key: spelled[key] for key in sorted(new)}}})


def complete_units(
    plan: RunPlan, units: Sequence[WorkUnit], backend: Any, task: Task | None = None
) -> Iterator[tuple[WorkUnit, list[Completion]]]:
    """Feed all units to the backend as one queue and yield each as soon as its last completion is there.

    One queue keeps the engine's tile full across the seams between units. A backend that cannot give every completion
    (a server's budget was spent) leaves units unfinished; they come last, with what they have.
    """
    texts = {p.prompt_id: p.text for p in plan.prompts}
    decodings = {d.decoding_id: d for d in plan.decodings}
    owner: dict[tuple[str, str, int], int] = {}

    def requests() -> Iterator[SampleRequest]:
        for number, unit in enumerate(units):
            for prompt_id, index in unit.indices():
                owner[unit.decoding_id, prompt_id, index] = number
                yield SampleRequest(
                    prompt_id=prompt_id, prompt=texts[prompt_id], decoding=decodings[unit.decoding_id], index=index
                )

    open_units: dict[int, list[Completion]] = {}
    for count, completion in enumerate(backend.complete(requests()), start=1):
        number = owner.pop((completion.decoding_id, completion.prompt_id, completion.index))
        got = open_units.setdefault(number, [])
        got.append(completion)
        if task is not None and count % 32 == 0:
            task.update(max(task.done, count))
        if len(got) == units[number].count:
            yield units[number], sorted(open_units.pop(number), key=lambda c: c.key)
    for number, got in sorted(open_units.items()):
        got.sort(key=lambda c: c.key)
        items = tuple((c.prompt_id, c.index, c.index + 1) for c in got)
        yield dataclasses.replace(units[number], items=items), got
