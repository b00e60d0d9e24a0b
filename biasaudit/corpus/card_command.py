"""The ingest command of a data card: every setting that is not the default, in one canonical form."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any


def command(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], sources: Sequence[str], *, out: str = "CORPUS"
) -> str:
    """The command that makes this corpus, for a shell.

    Cleaning rules become `--disable`, `--enable` or `--legacy`; other settings the option of their name.

    Args:
        settings: of the ingest, by the names of `IngestSettings`.
        defaults: the same settings when the user says nothing.
        sources: as the user wrote them; nothing is made absolute, so that no machine's paths come in.
        out: the corpus folder as it is to be written.
    """
    words = ["biasaudit", "ingest", *sources, "--out", out]
    for name in sorted(settings):
        value, default = settings[name], defaults.get(name)
        if value == default:
            continue
        if name == "clean":
            words += _switched(value, default or ())
        elif name == "privacy":
            words += [] if value else ["--no-privacy"]
        else:
            words += _option(name, value)
    return shlex.join(words)


def _switched(rules: Sequence[str], usual: Sequence[str]) -> list[str]:
    if list(rules) == ["legacy"]:
        return ["--legacy"]
    off = [word for rule in usual if rule not in rules for word in ("--disable", rule)]
    return off + [word for rule in rules if rule not in usual for word in ("--enable", rule)]


def _option(name: str, value: Any) -> list[str]:
    flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
    if isinstance(value, Mapping):
        return [word for key, inner in sorted(value.items()) for word in (flag, f"{key}={inner}")]
    if isinstance(value, (list, tuple)):
        return [word for inner in value for word in (flag, str(inner))]
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    return [] if value is None or value == "" else [flag, str(value)]


_FLAGS = {"column_map": "--map", "kind": "--source", "only_language": "--language", "language": "--language-tag"}
"""Options that are not named as their setting is."""
