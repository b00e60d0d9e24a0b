"""What an arm's spec names, before anything is loaded or asked: weights here, a file, a server, another engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import InputError, UsageError
from biasaudit.records import Arm

if TYPE_CHECKING:
    from biasaudit.sampling.backends import ArmSpec

UNVERIFIABLE = ("replay", "openai")
"""Backends whose weights nobody here can look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of an arm from its spec."""

    backend: str
    fingerprint: str
    tokenizer_fingerprint: str
    """Of its own where the tokenizer is not known, so that such an arm is coupled with no other."""
    language: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    bytes_needed: Mapping[str, int] = field(default_factory=dict)
    """Bytes of memory for the weights, by precision; empty where none are loaded here."""
    salt: str = ""
    """Keeps an arm whose noise is not our engine's from being coupled with one whose is."""


def backend_of(arm: Arm) -> str:
    """Name of the backend that answers for an arm."""
    from biasaudit.sampling.backends import read_spec

    return read_spec(arm.spec).backend


def answers_likelihoods(arm: Arm) -> bool:
    """Whether an arm can be asked for log P of a continuation that it did not write itself."""
    return backend_of(arm) not in UNVERIFIABLE


def own_precision(arm: Arm) -> list[str]:
    """The precision that the spec itself asks for, as vLLM's may; empty where the machine's settings rule."""
    from biasaudit.sampling.backends import read_spec

    return [value for name, value in read_spec(arm.spec).options.items() if name == "dtype"]


def conditions(arms: Sequence[Arm], *, likelihoods: bool) -> dict[str, bool]:
    """What a report must say first of arms that nobody can look into.

    Args:
        arms: of the run.
        likelihoods: whether the battery has measures that read them.
    """
    closed = any(not answers_likelihoods(arm) for arm in arms)
    return {"unverifiable_arm": True, **({"likelihoods_left_out": True} if likelihoods else {})} if closed else {}


def describe_arm(spec: str, accepted: Collection[str] = ()) -> Described:
    """Describe what `spec` names; see `lm.load.describe` for `accepted`.

    Raises:
        InputError: there is no such model, file or option.
    """
    from biasaudit.sampling.backends import read_spec

    found = read_spec(spec)
    if found.backend == "replay":
        return _recorded(found)
    if found.backend == "openai":
        return _served(found)
    from biasaudit.lm.load import describe

    info = describe(found.target, accepted=accepted)
    weights = found.backend == "torch"
    return Described(
        backend=found.backend,
        fingerprint=info.fingerprint if weights else identity.content_hash([found.backend, info.fingerprint]),
        tokenizer_fingerprint=info.tokenizer_fingerprint,
        language=info.language,
        card=info.card if weights else {**info.card, "backend": found.backend},
        bytes_needed=info.bytes_needed,
        salt="" if weights else found.backend,
    )


def _recorded(spec: ArmSpec) -> Described:
    """A file is what its bytes are, read as its options say."""
    from biasaudit.sampling.recorded.read import kind_of

    path = Path(spec.target)
    kind = kind_of(path, spec.options.get("format", ""))
    meaning = {name: value for name, value in spec.options.items() if name != "language"}
    digest = identity.file_hash(path)
    return _unverifiable(
        spec,
        ["replay", digest, kind, meaning],
        {"backend": "replay", "file": path.name, "sha256": digest, "verifiable": False},
    )


def _served(spec: ArmSpec) -> Described:
    """A remote model is its address, its name and the revision that the user declares; nobody can look behind."""
    from biasaudit.sampling.remote.settings import read_settings

    found = read_settings(spec.target, spec.options)
    card = {"backend": "openai", "server": found.url, "model": found.model, "api": found.api}
    return _unverifiable(
        spec,
        ["openai", found.url, found.model, found.revision],
        {**card, "revision": found.revision, "verifiable": False},
    )


def _unverifiable(spec: ArmSpec, parts: list[Any], card: Mapping[str, Any]) -> Described:
    fingerprint = identity.content_hash(parts)
    return Described(
        backend=spec.backend,
        fingerprint=fingerprint,
        tokenizer_fingerprint=f"unknown-{fingerprint[:24]}",
        language=spec.options.get("language", ""),
        card=card,
    )


def read_arm_files(arms: Sequence[str], salts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Put what `@FILE.yaml` says in the place of such words: `NAME=MODEL` and `NAME=WORD` for arms and salts.

        arms:
          base: embedded:base
          served: {model: "openai:llama@http://127.0.0.1:8000/v1", api: chat, salt: aa}

    Raises:
        InputError: a file that cannot be read, with the line of every fault.
    """
    found: list[str] = []
    noise = list(salts)
    for word in arms:
        if not word.startswith("@"):
            found.append(word)
            continue
        for name, entry in _arms_of(Path(word[1:])).items():
            fields = {"model": entry} if isinstance(entry, str) else dict(entry)
            if "salt" in fields:
                noise.append(f"{name}={fields.pop('salt')}")
            options = "".join(f",{option}={value}" for option, value in fields.items() if option != "model")
            found.append(f"{name}={fields['model']}{options}")
    return found, noise


def _arms_of(path: Path) -> dict[str, Any]:
    """The mapping `arms` of a YAML file."""
    from biasaudit.battery.source import read_source

    if not path.is_file():
        raise UsageError(f"--arm @{path}: there is no such file; expected YAML that begins with `arms:`")
    source, faults = read_source(path)
    if faults:
        raise InputError("\n".join(faults))
    value = source.value
    arms = value.get("arms") if isinstance(value, Mapping) else None
    if not isinstance(arms, Mapping) or not arms or set(value) != {"arms"}:
        raise InputError(f"{path}: expected one entry `arms`, a mapping of names to models")
    for name, entry in arms.items():
        fits = isinstance(entry, str) or (isinstance(entry, Mapping) and isinstance(entry.get("model"), str))
        plain = isinstance(entry, str) or (fits and all(isinstance(v, (str, int, float)) for v in entry.values()))
        if not (fits and plain):
            raise InputError(
                source.fault(("arms", name), f"arm `{name}`: expected MODEL, or {{model: MODEL, OPTION: VALUE}}")
            )
    return {str(name): entry for name, entry in arms.items()}
