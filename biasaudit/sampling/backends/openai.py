"""The backend of servers that speak OpenAI's protocol, for completions or for chat.

Nobody can look at the weights behind a server, so such an arm is what the user says it is: address, model, declared
revision. Its tokenizer is unknown, its noise is its own, and it is coupled with no other arm. What the server said of
itself (model, system fingerprint) is part of the numerics of every completion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import UsageError
from biasaudit.identity import content_hash, key64
from biasaudit.records import Arm, Completion, SampleRequest
from biasaudit.sampling.remote.journal import Journal
from biasaudit.sampling.remote.settings import Settings, read_key

if TYPE_CHECKING:
    from biasaudit.sampling.remote.answers import Answer
    from biasaudit.sampling.remote.client import Client

VERSION = 2
_SEEDS = 2**31 - 1
"""Servers take seeds of 32 bits, some with a sign."""
_WITHOUT = ("logprobs", "seed")
_OFTEN, _LONG = 5, 20
"""Completions of a prompt, and letters of a text, from which on it is odd that all of them are the same."""


class OpenAIBackend:
    """Completions of one remote model."""

    def __init__(self, settings: Settings, *, arm: Arm, seed: int, journal: Path | None = None) -> None:
        """Read the journal and the key; nothing is sent.

        Args:
            settings: whom to ask, and how.
            arm: gives fingerprint and salt.
            seed: of the run; each request's own seed follows from it.
            journal: where requests and answers are kept until they are stored in the run; None keeps none.

        Raises:
            UsageError: the extra [api] is not installed, or there is no key.
        """
        try:
            from biasaudit.sampling.remote.client import BudgetSpentError, Client
        except ModuleNotFoundError as error:
            raise UsageError(f"openai: arms need {error.name}: pip install 'biasaudit[api]'") from error
        self._settings, self._arm, self._seed = settings, arm, seed
        self.journal = Journal(journal)
        self._client: Client = Client(settings, self.journal, key=read_key(settings))
        self._spent_error = BudgetSpentError
        self._seen: dict[str, Mapping[str, Any]] = {}
        self._given = self._bare = 0  # answers, and those without the log-probabilities that were asked for
        self._said: dict[tuple[str, str], tuple[int, str | None]] = {}  # how often, and the text while it is the same
        self.stopped = ""
        """Why no more was asked: the budget; empty while there is some."""

    @property
    def numerics(self) -> Mapping[str, Any]:
        """What is known before the server has said anything."""
        return self._numerics("", "", sorted(self._client.refused))

    @property
    def numerics_seen(self) -> Mapping[str, Mapping[str, Any]]:
        """Every fingerprint under which this backend made a completion, by id."""
        return dict(self._seen)

    @property
    def spent(self) -> Mapping[str, Any]:
        """Requests and tokens so far, those of earlier processes included."""
        tokens = self.journal.tokens
        found: dict[str, Any] = {
            "requests": self.journal.requests, "prompt_tokens": tokens[0], "completion_tokens": tokens[1],
        }  # fmt: skip
        if any(self._settings.price):
            found["cost"] = round(self._settings.price_of(tokens), 6)
        return found

    @property
    def notes(self) -> list[str]:
        """What a reader should know of how the server behaved."""
        client = self._client
        found = [
            f"the server takes no {name}: "
            + (
                "completions come without"
                if name in _WITHOUT
                else "whether it truncates by a default of its own is unknown"
            )
            for name in sorted(client.refused)
        ]
        if self._bare:
            found.append(f"{self._bare:,} of {self._given:,} answers came without the log-probabilities asked for")
        alike = sum(count >= _OFTEN and text is not None and len(text) >= _LONG for count, text in self._said.values())
        if alike:
            found.append(
                f"{alike:,} of {len(self._said):,} prompts got one and the same text every time: the server may ignore "
                "temperature and seed, or answer from a cache; such completions are no sample"
            )
        if client.faults:
            listed = ", ".join(f"{why} {count:,}" for why, count in sorted(client.faults.items()))
            found.append(f"asked again after {sum(client.faults.values()):,} failures ({listed})")
        if len({(n["model"], n["system_fingerprint"]) for n in self._seen.values()}) > 1:
            found.append("the server changed its model or its settings while it answered: the numerics are mixed")
        return found

    def _numerics(self, model: str, fingerprint: str, left_out: Sequence[str]) -> dict[str, Any]:
        return {
            "engine": f"openai {VERSION}",
            "path": "server",
            "server": self._settings.url,
            "api": self._settings.api,
            "model": model,
            "system_fingerprint": fingerprint,
            "seeds": "seed" not in left_out,
            "left_out": list(left_out),
            "verifiable": False,
        }

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield one completion a request, in the order of the answers; fewer when the budget ends (`stopped`).

        Raises:
            InputError: the server refuses what we ask.
            BiasAuditError: it failed too often; what came is in the journal.
        """
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            portal.call(self._client.open)
            under_way: dict[Future[Answer], SampleRequest] = {}
            try:
                for request in requests:
                    key = self._key(request)
                    if key in self.journal.answers:
                        yield self._completion(request)
                        continue
                    sent = portal.start_task_soon(self._client.answer, key, request, self._seed_of(request))
                    under_way[sent] = request
                    if len(under_way) >= self._settings.concurrency:
                        yield from self._come(under_way)
                    if self.stopped:
                        break
                while under_way:
                    yield from self._come(under_way)
            finally:
                for sent in under_way:
                    sent.cancel()
                portal.call(self._client.close)
                self.journal.close()

    def unanswered(self, requests: Iterable[SampleRequest]) -> int:
        """How many of `requests` the journal holds no answer to; nothing is sent."""
        return sum(self._key(request) not in self.journal.answers for request in requests)

    def _come(self, under_way: dict[Future[Answer], SampleRequest]) -> Iterator[Completion]:
        """Wait for at least one answer and yield all that have come."""
        for sent in wait(under_way, return_when=FIRST_COMPLETED).done:
            request = under_way.pop(sent)
            try:
                sent.result()
            except self._spent_error as error:
                self.stopped = str(error)
                continue
            yield self._completion(request)

    def _key(self, request: SampleRequest) -> str:
        arm, decoding = self._arm, request.decoding.decoding_id
        return content_hash([arm.fingerprint, request.prompt_id, decoding, self._seed, arm.salt, request.index])[:32]

    def _seed_of(self, request: SampleRequest) -> int:
        return key64("openai", self._seed, self._arm.salt, request.prompt_id, request.index) % _SEEDS

    def _completion(self, request: SampleRequest) -> Completion:
        answer = self.journal.answers.pop(self._key(request))  # the file keeps it until all are stored
        left_out = answer.get("left_out", [])
        numerics = self._numerics(answer["model"], answer["system_fingerprint"], left_out)
        self._watch(request, answer, bare="logprobs" not in left_out and not answer["logprobs"])
        numerics_id = content_hash(numerics)[:16]
        self._seen.setdefault(numerics_id, numerics)
        return Completion(
            arm_fingerprint=self._arm.fingerprint,
            prompt_id=request.prompt_id,
            decoding_id=request.decoding.decoding_id,
            seed=self._seed,
            salt=self._arm.salt,
            index=request.index,
            text=answer["text"],
            token_ids=(),
            logprobs=tuple(answer["logprobs"]),
            finish_reason=answer["finish_reason"],
            numerics=numerics_id,
        )

    def _watch(self, request: SampleRequest, answer: Mapping[str, Any], *, bare: bool) -> None:
        """Count what `notes` tells."""
        self._given += 1
        self._bare += self._settings.logprobs and bare and bool(answer["text"])
        if request.decoding.temperature:
            place = (request.prompt_id, request.decoding.decoding_id)
            count, text = self._said.get(place, (0, answer["text"]))
            self._said[place] = (count + 1, text if text == answer["text"] else None)


def build(**options: Any) -> OpenAIBackend:
    """The door of this backend: see `OpenAIBackend` for the options."""
    return OpenAIBackend(**options)
