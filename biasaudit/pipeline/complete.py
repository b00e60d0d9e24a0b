"""The part of a run that needs models: likelihoods first (they are cheap and exact), then completions, unit by unit."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import InputError, ResourceError
from biasaudit.pipeline.arms import answers_likelihoods, backend_of, own_precision
from biasaudit.pipeline.elsewhere import sample_elsewhere
from biasaudit.pipeline.plan import Machine, RunPlan
from biasaudit.pipeline.progress import Console, Task
from biasaudit.pipeline.reference import known_reference, needs_reference, reference_arm
from biasaudit.pipeline.sample import open_backend
from biasaudit.records import Arm, Completion, Measure, SampleRequest

if TYPE_CHECKING:
    from biasaudit.sampling.backends.torch import TorchBackend
    from biasaudit.sampling.distributions import Compared, Reference
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
    precision = [plan.precision, *own_precision(arm)]
    parts = ["likelihoods", *precision, arm.fingerprint, measure, plan.language, pairs, neutral, plan.prompts]
    if needs_reference([measure]):
        parts.append(reference_arm(plan.arms).fingerprint)
    return identity.content_hash(parts)[: identity.ID_HEX]


def ask_arms(plan: RunPlan, folder: RunFolder, machine: Machine, console: Console) -> None:
    """Score the likelihoods and sample the completions that are missing, one model at a time in memory."""
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
    owed = {
        arm.name: [m for m in likelihood_measures(plan) if likelihood_unit(plan, arm, m) not in done]
        for arm in plan.arms
    }
    compared = needs_reference([m for arm in plan.arms if answers_likelihoods(arm) for m in owed[arm.name]])
    first = known_reference(plan) if compared else None
    mine = {arm.name: [u for u in units if (u.arm_fingerprint, u.salt) == (arm.fingerprint, arm.salt)]
            for arm in plan.arms}  # fmt: skip
    for arm in plan.arms:
        if mine[arm.name] and answers_likelihoods(arm):
            check_room(plan, arm, console)  # of every arm before the first samples: that may take hours
    recorded = [arm for arm in plan.arms if backend_of(arm) == "replay"]
    _take_recorded(recorded, lambda arm: sample_elsewhere(plan, folder, arm, mine[arm.name], [], machine, console))
    laws = Laws(plan, first)
    for arm in sorted((arm for arm in plan.arms if arm not in recorded), key=lambda arm: arm is not first):
        if backend_of(arm) != "torch":
            sample_elsewhere(plan, folder, arm, mine[arm.name], owed[arm.name], machine, console)
        else:
            _ask_weights(plan, folder, arm, mine[arm.name], owed[arm.name], laws, machine, console)


@dataclass(slots=True)
class Laws:
    """The reference's distributions of the next token, once its turn has come."""

    plan: RunPlan
    arm: Arm | None
    """The reference; None where nothing that is owed is held against it."""
    found: Reference | None = None

    def beside(self, arm: Arm, backend: TorchBackend) -> Compared:
        """What scorers ask of `arm`."""
        from biasaudit.sampling.distributions import Compared, Reference

        if arm is self.arm:
            self.found = Reference(backend, [prompt.text for prompt in self.plan.prompts])
        return Compared(backend, self.found)


def _ask_weights(
    plan: RunPlan,
    folder: RunFolder,
    arm: Arm,
    units: Sequence[WorkUnit],
    measures: Sequence[Measure],
    laws: Laws,
    machine: Machine,
    console: Console,
) -> None:
    """Do what one arm of weights owes; nothing of it stays in memory."""
    backend = None
    if measures or arm is laws.arm:
        backend = open_for_likelihoods(plan, arm, machine, console)
        score_arm_likelihoods(plan, folder, arm, measures, laws.beside(arm, backend), console)
    if not units:
        return
    if backend is None or not samples_too(machine):
        backend = None
        gc.collect()  # the weights that scored are gone before those that sample come
        if machine.processes == 1:
            backend = open_backend(arm, machine, seed=plan.seed, memory=plan.memory.get(arm.name, 0), console=console)
    with console.task(f"sample {arm.name}", sum(u.count for u in units), COMPLETIONS) as task:
        if backend is not None:
            _sample(plan, folder, units, backend, task)
        else:
            from biasaudit.pipeline.worker import sample_in_processes

            sample_in_processes(plan, folder, arm, units, machine, task)


def _take_recorded(arms: Sequence[Arm], take: Callable[[Arm], None]) -> None:
    """Take what files have before any model is loaded, so that a fault in one costs nothing.

    Raises:
        InputError: files that cannot be used, all of them.
    """
    faults = []
    for arm in arms:
        try:
            take(arm)
        except InputError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise InputError("\n".join(map(str, faults)))


def open_for_likelihoods(plan: RunPlan, arm: Arm, machine: Machine, console: Console) -> TorchBackend:
    """The arm's weights in the precision of likelihoods.

    Raises:
        ResourceError: they do not fit.
    """
    from biasaudit.lm.device import BYTES, pick_device, pick_dtype

    place = pick_device(machine.device)
    sampling, scoring = pick_dtype(machine.dtype, place), pick_dtype(machine.likelihood_dtype, place)
    memory = plan.memory.get(arm.name, 0) * BYTES[scoring] // BYTES[sampling]
    try:
        found: TorchBackend = open_backend(arm, machine.for_likelihoods, seed=plan.seed, memory=memory, console=console)
    except ResourceError as error:
        raise ResourceError(
            f"{error} Likelihoods are computed in {scoring} whatever --dtype says; --likelihood-dtype bf16 needs less."
        ) from error
    return found


def samples_too(machine: Machine) -> bool:
    """Whether what was opened for likelihoods samples as well: in the same precision, in this process."""
    from biasaudit.lm.device import pick_device, pick_dtype

    place = pick_device(machine.device)
    return machine.processes == 1 and pick_dtype(machine.dtype, place) == pick_dtype(machine.likelihood_dtype, place)


def check_room(plan: RunPlan, arm: Arm, console: Console) -> None:
    """Refuse prompts that fill an arm's context, and say how many leave less of it than a completion may need.

    Raises:
        InputError: a prompt leaves no room; it is named.
    """
    from biasaudit.lm.load import reading_room
    from biasaudit.sampling.backends import read_spec

    longest = max((decoding.max_new_tokens for decoding in plan.decodings), default=0)
    context, tokenizer = reading_room(read_spec(arm.spec).target)
    sizes = [max(1, len(tokenizer.encode(prompt.text))) for prompt in plan.prompts]
    full = [(prompt, size) for prompt, size in zip(plan.prompts, sizes, strict=True) if size >= context]
    if full:
        prompt, size = full[0]
        raise InputError(
            f"arm {arm.name}: {len(full)} of {len(plan.prompts)} prompts leave no room for a completion in its context "
            f"of {context} tokens. The first is of topic `{prompt.topic}`, template `{prompt.template}`: {size} "
            f"tokens ('{prompt.text[:60]}'). Shorten it, or leave the arm out"
        )
    short = sum(size + longest > context for size in sizes)
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
