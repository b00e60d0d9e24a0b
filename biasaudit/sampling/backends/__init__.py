"""One file a backend; the file's name is the backend's name. An arm's spec says which one answers for it.

    gpt2 · models/x · ckpt.pt · embedded:base                    weights on this machine, sampled by our engine
    replay:answers.csv,completion=resposta                       completions that somebody else sampled
    openai:llama-3@http://127.0.0.1:8000/v1,api=chat,key=MY_KEY  a server that speaks OpenAI's protocol
    vllm:models/x,gpus=2                                         weights on this machine, sampled by vLLM

Options follow the target as `,NAME=VALUE`; what follows a comma and is no `word=` belongs to the target.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from biasaudit.errors import UnknownNameError, UsageError
from biasaudit.records import Backend

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "replay": ("arm", "arms", "prompt", "prompt_id", "completion", "index", "token_ids", "logprobs", "finish_reason",
               "label", "temperature", "top_k", "top_p", "format", "language"),
    "openai": ("api", "key", "revision", "echo", "concurrency", "rate", "attempts", "timeout", "requests", "tokens",
               "cost", "price", "logprobs", "language"),
    "vllm": ("gpus", "memory", "context", "dtype"),
}  # fmt: skip
"""Backend -> the options of its specs. Backends that are not here take weights, and no option."""
_OPTION = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSpec:
    """A spec, taken apart."""

    backend: str
    target: str
    """What the backend answers from: weights, a file, `MODEL@URL`."""
    options: Mapping[str, str] = field(default_factory=dict)


def names() -> list[str]:
    """Names of the backends, without importing any of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(name: str, **options: Any) -> Backend:
    """Import the backend `name` and build it with `options`.

    Raises:
        UnknownNameError: there is no such backend.
    """
    if name not in names():
        raise UnknownNameError("backend", name, names())
    backend: Backend = importlib.import_module(f"{__name__}.{name}").build(**options)
    return backend


def read_spec(spec: str) -> ArmSpec:
    """Take a spec apart; one without the name of a backend names weights for `torch`.

    Raises:
        UsageError: nothing stands after the backend's name, or an option is given twice.
        UnknownNameError: the backend has no such option.
    """
    backend, sign, rest = spec.partition(":")
    if not sign or backend not in OPTIONS:
        return ArmSpec(backend="torch", target=spec)
    parts = rest.split(",")
    options: dict[str, str] = {}
    while len(parts) > 1 and (found := _OPTION.fullmatch(parts[-1].strip())):
        name, value = found.groups()
        if name not in OPTIONS[backend]:
            raise UnknownNameError(f"option of a {backend} arm", name, OPTIONS[backend])
        if name in options or not value:
            raise UsageError(f"{backend}:…,{found[0]}: expected each option once, as in ,{name}=VALUE")
        options[name] = value
        parts.pop()
    target = ",".join(parts).strip()
    if not target:
        raise UsageError(f"{spec}: nothing stands after '{backend}:'; expected for instance {EXAMPLES[backend]}")
    return ArmSpec(backend=backend, target=target, options=dict(reversed(options.items())))


EXAMPLES = {
    "replay": "replay:answers.csv",
    "openai": "openai:MODEL@http://127.0.0.1:8000/v1",
    "vllm": "vllm:models/x",
}
