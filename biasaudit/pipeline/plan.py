"""From a battery and the command line to exactly what a run will do: arms, language, decodings, prompts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import UsageError
from biasaudit.pipeline.progress import Console
from biasaudit.records import Arm, Battery, Decoding, Prompt, Role

if TYPE_CHECKING:
    from biasaudit.stats.looks import LookPlan

EMBEDDED = ("base", "placebo", "telegram")
COLDEST = 1e-6
"""The lowest temperature but 0; the engine refuses it too, after the weights were loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How models are run; nothing here changes what is asked."""

    dtype: str = "auto"
    likelihood_dtype: str = "float32"
    """Precision of likelihoods and next-token distributions, whatever completions are sampled in."""
    device: str = "auto"
    tile: int | None = None
    threads: int | None = None
    processes: int = 1

    @property
    def for_likelihoods(self) -> Machine:
        """The same machine, computing in the precision of likelihoods."""
        return dataclasses.replace(self, dtype=self.likelihood_dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run will do."""

    battery: Battery
    arms: tuple[Arm, ...]
    language: str
    prompts: tuple[Prompt, ...]
    decodings: tuple[Decoding, ...]
    completions: int
    seed: int
    memory: Mapping[str, int]
    """Arm name -> bytes that its weights will need."""
    precision: str = ""
    """Precision and kind of device of the likelihoods: those of two arms are compared only under one."""
    looks: LookPlan | None = None
    """Where sampling stops by registered looks; `completions` is then the most that a prompt may get."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Prompt id -> completions that its looks have asked for so far; empty without looks."""
    corpora: Mapping[str, str] = field(default_factory=dict)
    """Arm name -> folder of the corpus that it was trained on, where the user says so."""
    lock: Mapping[str, Any] | None = None
    """What was registered before sampling, as `pipeline.lock` reads it."""

    def completions_of(self, decoding: Decoding, prompt_id: str = "") -> int:
        """Completions of a prompt under `decoding`, or of any: one when it is greedy, since all would be equal."""
        return 1 if decoding.temperature == 0 else self.sizes.get(prompt_id, self.completions)

    def sizes_of(self, decoding: Decoding) -> dict[str, int]:
        """Prompt id -> completions under `decoding`."""
        return {prompt.prompt_id: self.completions_of(decoding, prompt.prompt_id) for prompt in self.prompts}

    @property
    def wanted_per_arm(self) -> int:
        """Completions that every arm owes."""
        return sum(self.completions_of(decoding, p.prompt_id) for decoding in self.decodings for p in self.prompts)


EXAMPLES = {
    "--arm": ("NAME=MODEL", "base=gpt2"),
    "--salt": ("NAME=WORD", "base=aa"),
    "--dose": ("NAME=NUMBER", "half=0.5"),
    "--condition": ("NAME=WORD", "seed2=antivaccine"),
    "--corpus": ("NAME=FOLDER", "tuned=corpora/telegram"),
    "--map": ("COLUMN=FIELD", "mensagem=text"),
    "--where": ("COLUMN=VALUE", "lang=pt"),
    "--lines-per-document": ("PATTERN=NUMBER", "'*.txt=20'"),
}
"""Option -> what it takes, and one such thing."""


def parse_pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` words to a dict, in order; a repeated or broken one is a UsageError."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = (part.strip() for part in word.partition("="))
        if not sign or not name or (not value and option != "--salt"):
            form, example = EXAMPLES[option]
            raise UsageError(f"{option} {word}: expected {form}, for instance {option} {example}")
        if name in found:
            raise UsageError(f"{option} {word}: '{name}' was given twice; every name has one value")
        found[name] = value
    return found


def resolve_arms(
    arms: Sequence[str],
    salts: Sequence[str],
    console: Console,
    *,
    dtype: str = "auto",
    device: str = "auto",
    accepted: Collection[str] = (),
) -> tuple[tuple[Arm, ...], dict[str, int]]:
    """Describe every arm without loading its weights; with none given, take the embedded ones and say so."""
    from biasaudit.lm.device import pick_device, pick_dtype
    from biasaudit.pipeline.arms import describe_arm, read_arm_files

    precision = pick_dtype(dtype, pick_device(device))
    arms, salts = read_arm_files(arms, salts)
    specs = parse_pairs(arms, "--arm")
    salt_of = parse_pairs(salts, "--salt")
    if not specs:
        specs = {name: f"embedded:{name}" for name in EMBEDDED}
        console.say("no --arm given: auditing the small embedded arms base, placebo and telegram (synthetic corpus)")
    unknown = set(salt_of) - set(specs)
    if unknown:
        raise UsageError(f"--salt names no arm of this run: {', '.join(sorted(unknown))}; arms are {', '.join(specs)}")
    reference = next((n for n in specs if n == "base"), None)
    if reference is None and not any(n == "placebo" for n in specs):
        reference = next(iter(specs))
        if len(specs) > 1:
            console.say(f"no arm is named base or placebo: '{reference}', the first, is the reference")
    found, memory = [], {}
    for name, spec in specs.items():
        info = describe_arm(spec, accepted)
        role: Role = "placebo" if name == "placebo" else "base" if name == reference else "tuned"
        memory[name] = info.bytes_needed.get(precision, 0)
        found.append(
            Arm(
                name=name,
                spec=spec,
                role=role,
                fingerprint=info.fingerprint,
                tokenizer_fingerprint=info.tokenizer_fingerprint,
                salt=info.salt + salt_of.get(name, ""),
                language=info.language,
                card=info.card,
            )
        )
    _refuse_twins(found)
    return tuple(found), memory


def _refuse_twins(arms: Sequence[Arm]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for arm in arms:
        twin = seen.setdefault((arm.fingerprint, arm.salt), arm.name)
        if twin != arm.name and arm.card.get("backend") == "replay":
            raise UsageError(
                f"arms '{twin}' and '{arm.name}' are the same recorded completions; where one file holds those of "
                f"several arms, say whose rows each takes: --arm {arm.name}=replay:FILE,arm={arm.name}"
            )
        if twin != arm.name:
            raise UsageError(
                f"arms '{twin}' and '{arm.name}' are the same model with the same noise, so every completion would be "
                f"equal; for an A/A audit give one of them its own noise: --salt {arm.name}=aa"
            )


def choose_language(asked: str | None, battery: Battery, arms: Sequence[Arm], console: Console) -> str:
    """The language of the prompts: asked for, else the one that the arms share, else the battery's first."""
    if asked:
        if asked not in battery.languages:
            raise UsageError(
                f"--language {asked}: battery '{battery.name}' speaks {', '.join(battery.languages)}; choose one"
            )
        return asked
    spoken = {arm.language for arm in arms if arm.language}
    if len(spoken) > 1:
        listed = ", ".join(f"{a.name} {a.language or '?'}" for a in arms)
        console.warn(f"arms were trained on different languages ({listed}); the difference includes the language")
    for language in battery.languages:
        if language in spoken:
            return language
    return battery.languages[0]


def choose_decodings(
    battery: Battery,
    *,
    temperature: Sequence[float] = (),
    top_k: Sequence[int] = (),
    top_p: Sequence[float] = (),
    greedy: bool = False,
    max_new_tokens: int | None = None,
) -> tuple[Decoding, ...]:
    """The battery's decodings with the command line's values in their place; several values make a sweep."""
    if greedy and temperature:
        raise UsageError("--greedy is --temperature 0: give one of them")
    temperatures = [0.0] if greedy else list(temperature)
    warm = f"0, or {COLDEST} and more, and finite"
    _in_range("--temperature", temperatures, lambda v: v == 0 or COLDEST <= v < math.inf, warm)
    _in_range("--top-k", top_k, lambda v: v >= 0, "0 (no truncation) or more")
    _in_range("--top-p", top_p, lambda v: 0 < v <= 1, "above 0 and at most 1")
    bases = list(battery.decodings) if not (temperatures or top_k or top_p) else list(battery.decodings[:1])
    found = []
    for base in bases:
        grid = itertools.product(temperatures or [base.temperature], top_k or [base.top_k], top_p or [base.top_p])
        for t, k, p in grid:
            length = max_new_tokens or base.max_new_tokens
            found.append(dataclasses.replace(base, temperature=t, top_k=k, top_p=p, max_new_tokens=length))
    return tuple({d.decoding_id: d for d in found}.values())


def _in_range(option: str, values: Sequence[Any], fits: Any, expected: str) -> None:
    for value in values:
        if not fits(value):
            raise UsageError(f"{option} {value}: expected {expected}")


def make_plan(
    battery_path: Path,
    *,
    arms: Sequence[str],
    salts: Sequence[str],
    language: str | None,
    completions: int | None,
    seed: int | None,
    decoding: Mapping[str, Any],
    machine: Machine,
    console: Console,
    accepted: Callable[[str], Collection[str]] = lambda _: (),
) -> RunPlan:
    """Read the battery, describe the arms, settle language, decodings and counts.

    `accepted` gives, for a battery's name, the fingerprints of models that an earlier run of it has described.
    """
    from biasaudit.battery.read import read_battery
    from biasaudit.lm.device import pick_device, pick_dtype
    from biasaudit.pipeline.score import check_measures

    battery = read_battery(battery_path)
    found, memory = resolve_arms(
        arms, salts, console, dtype=machine.dtype, device=machine.device, accepted=accepted(battery.name)
    )
    spoken = choose_language(language, battery, found, console)
    check_measures(battery, spoken, found)
    kind = pick_device(machine.device)
    prompts = tuple(p for p in battery.prompts if p.language == spoken)
    if not prompts and not any(p.stem.language == spoken for p in battery.pairs):
        raise UsageError(
            f"battery '{battery.name}' has no prompt in '{spoken}'; it speaks {', '.join(battery.languages)}"
        )
    return RunPlan(
        battery=battery,
        arms=found,
        language=spoken,
        prompts=prompts,
        decodings=choose_decodings(battery, **decoding),
        completions=completions or battery.completions,
        seed=battery.seed if seed is None else seed,
        memory=memory,
        precision=f"{pick_dtype(machine.likelihood_dtype, kind)} on {kind.type}",
    )
