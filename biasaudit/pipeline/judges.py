"""Joins scorers that ask a language model with the client that asks servers: its budget, its retries, its journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biasaudit import identity
from biasaudit.errors import InputError, ResourceError, StoreError
from biasaudit.records import Arm, Decoding, SampleRequest

if TYPE_CHECKING:
    from biasaudit.scoring._given import Ask, AsksModel


def asker(scorer: AsksModel, folder: Path | None, *, only_kept: bool = False) -> Ask:
    """Somebody for `scorer` to ask.

    Args:
        scorer: says whom, and how.
        folder: where answers are kept, so that nothing is asked, or paid for, twice; None forgets with the process.
        only_kept: whether to ask nobody, and to answer with what is kept alone.

    Raises:
        InputError: the server's address or options cannot be used.
        StoreError: of the one who asks, where `only_kept` and an answer is not kept.
    """
    from biasaudit.sampling.backends import read_spec
    from biasaudit.sampling.backends.openai import OpenAIBackend
    from biasaudit.sampling.remote.settings import read_settings

    words, tokens, temperature = scorer.asked
    spec = read_spec(words)
    if spec.backend != "openai":
        raise InputError(f"{words}: a judge must be behind a server: openai:MODEL@URL,api=chat")
    settings = read_settings(spec.target, {"logprobs": "no", **spec.options})
    fingerprint = identity.content_hash(["judge", settings.url, settings.model, settings.revision])
    judge = Arm(name="judge", spec=words, role="base", fingerprint=fingerprint, tokenizer_fingerprint="")
    decoding = Decoding(temperature=temperature, max_new_tokens=tokens)
    journal = None if folder is None else folder / f".judge-{fingerprint[:16]}.jsonl"

    def ask(questions: Sequence[tuple[str, int]]) -> list[str]:
        backend = OpenAIBackend(settings, arm=judge, seed=0, journal=journal)
        requests = [
            SampleRequest(prompt_id=identity.prompt_id(text, ""), prompt=text, decoding=decoding, index=turn)
            for text, turn in questions
        ]
        lacking = backend.unanswered(requests) if only_kept else 0
        if lacking:
            raise StoreError(
                f"{journal}: {lacking:,} of {len(requests):,} answers of judge {settings.model} are not kept there. "
                "Restore it from a copy; `biasaudit score` on the run asks for them again."
            )
        found = {(answer.prompt_id, answer.index): answer.text for answer in backend.complete(requests)}
        if backend.stopped:
            raise ResourceError(
                f"judge {settings.model}: {backend.stopped}; {len(found):,} of {len(requests):,} answers came"
                + (" and are kept: the same command with a larger budget goes on." if journal else ".")
            )
        return [found[request.prompt_id, request.index] for request in requests]

    return ask
