"""What the tests ask of a server; as a script, a process that dies by SIGKILL in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from biasaudit.records import Arm, Decoding, SampleRequest
from biasaudit.sampling.backends.openai import OpenAIBackend
from biasaudit.sampling.remote.settings import Settings, read_settings

ARM = Arm(name="r", spec="openai:x", role="tuned", fingerprint="f" * 64, tokenizer_fingerprint="unknown-f")


def settings(url: str, **options: str) -> Settings:
    return replace(read_settings(f"tiny@{url}", options), backoff=0.005, timeout=120.0)


def backend(url: str, journal: Path | None = None, **options: str) -> OpenAIBackend:
    return OpenAIBackend(settings(url, **options), arm=ARM, seed=5, journal=journal)


def requests(count: int, prompts: int = 3, **decoding: Any) -> list[SampleRequest]:
    chosen = Decoding(max_new_tokens=4, **decoding)
    return [
        SampleRequest(prompt_id=f"p{p}", prompt="ab" * (p + 1), decoding=chosen, index=i)
        for i in range(count // prompts)
        for p in range(prompts)
    ]


def main(url: str, journal: str, count: str, come: str, concurrency: str) -> None:
    """Ask for `count` completions; print [prompt, index, text] of each; die when `come` have come."""
    going = backend(url, Path(journal), concurrency=concurrency).complete(requests(int(count)))
    for number, found in enumerate(going, 1):
        print(json.dumps([found.prompt_id, found.index, found.text]), flush=True)  # noqa: T201
        if number == int(come):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
