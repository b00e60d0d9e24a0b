"""Asks one server for completions: at its pace, within a budget, again where an answer is none.

Only the address that the user named is ever asked: no redirect is followed and no proxy of the environment is used.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import anyio
import httpx2

from biasaudit import __version__
from biasaudit.errors import BiasAuditError, InputError, ResourceError
from biasaudit.records import Decoding, SampleRequest
from biasaudit.sampling.remote.answers import Answer, PartialAnswerError, read_answer, retry_after, server_message
from biasaudit.sampling.remote.journal import Journal, Tokens
from biasaudit.sampling.remote.settings import Settings

_LONGEST_BODY = 32 << 20
_AGAIN = frozenset({408, 409, 425, 429})
_TEMPLATE = 64
"""Tokens that a chat template may put around a prompt."""
_OPTIONAL = ("logprobs", "seed")
"""What a server may refuse without harm: the answer then comes without it, which is recorded."""
_OURS_ALONE = ("top_k", "min_p", "repetition_penalty")
"""Parameters that OpenAI's own servers do not know and others do."""
_KEPT = "Every answer that came is kept; the same command goes on."


class BudgetSpentError(Exception):
    """The next request could cost more than the budget still holds."""


class Client:
    """One server and one model; lives in one event loop."""

    def __init__(self, settings: Settings, journal: Journal, *, key: str = "") -> None:
        """Nothing is sent before `answer`."""
        self._settings, self._journal, self._key = settings, journal, key
        self._http: httpx2.AsyncClient | None = None
        self._next = 0.0  # monotonic seconds before which nothing is sent
        self._longer_name = False
        self.refused: set[str] = set()
        """Optional parameters that the server does not take."""
        self.faults: dict[str, int] = {}
        """What went wrong, and how often; every one was asked again."""

    async def open(self) -> None:
        """Make the connection pool, inside the loop that will use it."""
        headers = {"User-Agent": f"biasaudit/{__version__}"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            timeout=self._settings.timeout,
            limits=httpx2.Limits(max_connections=self._settings.concurrency),
        )

    async def close(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    async def answer(self, key: str, request: SampleRequest, seed: int) -> Answer:
        """One whole answer; it stands in the journal before it is returned.

        Raises:
            BudgetSpentError: nothing more may be sent.
            InputError: the server refuses what we ask.
            BiasAuditError: it failed too often.
        """
        bound = (len(request.prompt.encode("utf-8")) + _TEMPLATE, request.decoding.max_new_tokens)
        why, failed = "", 0
        while failed < self._settings.attempts:
            await self._turn()
            await self._enter(key, bound)
            cost: Tokens = bound
            wait = None
            try:
                asked = self._body(request, seed)
                status, headers, body = await self._post(key, asked)
                if status == 200:
                    found = read_answer(body, self._settings, stops=bool(request.decoding.stop))
                    told = {**asdict(found), "tokens": found.tokens, "left_out": sorted(self.refused)}
                    self._journal.got(key, found.tokens or bound, told)
                    return found
                cost = (0, 0)
                if self._without(asked, request.decoding, status, body):
                    continue
                why, wait = self._judge(status, headers, body)
            except PartialAnswerError as error:
                why, cost = f"partial answer: {error}", error.tokens or bound
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
                why, cost = f"no connection: {error or type(error).__name__} (is a server running there?)", (0, 0)
            except (httpx2.TimeoutException, TimeoutError):
                why = f"timeout: no answer within {self._settings.timeout:g} seconds; ,timeout= waits longer"
            except httpx2.TransportError as error:
                why = f"connection broke: {type(error).__name__}"
            finally:
                if key not in self._journal.answers:
                    self._journal.end(key, cost)
            failed += 1
            kind = why.partition(":")[0]
            self.faults[kind] = self.faults.get(kind, 0) + 1
            await self._pause(failed, wait)
        raise BiasAuditError(
            f"{self._settings.url}: {failed} tries for one completion failed, the last by {why}. {_KEPT} "
            ",attempts= allows more tries, ,rate= asks less often."
        )

    async def _post(self, key: str, body: Mapping[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        assert self._http is not None
        path = "chat/completions" if self._settings.api == "chat" else "completions"
        with anyio.fail_after(self._settings.timeout):
            async with self._http.stream(
                "POST", f"{self._settings.url}/{path}", json=body, headers={"Idempotency-Key": key}
            ) as response:
                data = bytearray()
                async for block in response.aiter_bytes():
                    data += block
                    if len(data) > _LONGEST_BODY:
                        raise PartialAnswerError(f"it is longer than {_LONGEST_BODY >> 20} MiB")
                return response.status_code, response.headers, bytes(data)

    def _body(self, request: SampleRequest, seed: int) -> dict[str, Any]:
        decoding, chat = request.decoding, self._settings.api == "chat"
        asked = {"messages": [{"role": "user", "content": request.prompt}]} if chat else {"prompt": request.prompt}
        body: dict[str, Any] = {
            "model": self._settings.model,
            **asked,
            "max_completion_tokens" if self._longer_name else "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "n": 1,
            "stream": False,
            **beyond_the_standard(decoding, self._settings),
        }
        for name in self.refused & _neutral(decoding).keys():
            body.pop(name, None)
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if "seed" not in self.refused:
            body["seed"] = seed
        if self._settings.logprobs and "logprobs" not in self.refused:
            body["logprobs"] = True if chat else 1
        return body

    def _without(self, asked: Mapping[str, Any], decoding: Decoding, status: int, body: bytes) -> bool:
        """Whether the server refused a parameter that we can do without, or wants it under its other name."""
        if status not in (400, 422):
            return False
        message = server_message(body)
        if "max_completion_tokens" in message and "max_tokens" in asked:
            self._longer_name = True
            return True
        neutral = [name for name in _neutral(decoding) if name in asked]
        named = [name for name in (*_OPTIONAL, *neutral) if name in message and name in asked]
        named = named or [name for name in neutral if name in _OURS_ALONE]  # it refuses them in other words, perhaps
        self.refused.update(named)
        return bool(named)

    def _judge(self, status: int, headers: httpx2.Headers, body: bytes) -> tuple[str, float | None]:
        """Why this was no answer and how long the server wants us to wait; what no try can mend is raised.

        Raises:
            InputError: the server refuses what we ask.
            ResourceError: its quota is spent, or it wants to hear from us much later.
        """
        message = server_message(body).rstrip(". ")
        if self._key:
            message = message.replace(self._key, "…")
        if 300 <= status < 400:
            raise self._refused(f"it sends us elsewhere (status {status}); only the address that was named is asked")
        if status in _AGAIN or status >= 500:
            if "insufficient_quota" in body.decode("utf-8", "replace"):
                raise ResourceError(f"{self._where}: {message}. {_KEPT}")
            wait = retry_after(headers.get("Retry-After"), time.time())
            if wait is not None and wait > self._settings.patience:
                asks = f"it asks us to wait {wait:,.0f} seconds (status {status}: {message})"
                raise ResourceError(f"{self._where}: {asks}; try again then. {_KEPT}")
            return f"status {status}: {message}", wait
        hint = ""
        if status == 404:
            hint = " Is the address right, up to /v1? A chat model needs ,api=chat."
        if status in (401, 403):
            hint = f" The key comes from {self._settings.key_variable or ',key=VARIABLE'}."
        raise self._refused(f"status {status}: {message}.{hint}")

    @property
    def _where(self) -> str:
        return f"{self._settings.url}, model {self._settings.model}"

    def _refused(self, why: str) -> InputError:
        return InputError(f"{self._where}: {why}")

    async def _turn(self) -> None:
        """Wait for the next place at the rate asked for, and until the server wants to hear from us again."""
        while (ahead := self._next - time.monotonic()) > 0:
            await anyio.sleep(ahead)
        if self._settings.rate:
            self._next = time.monotonic() + 60 / self._settings.rate

    async def _enter(self, key: str, bound: Tokens) -> None:
        """Wait until this request fits into the budget whatever it costs, and note it before it leaves.

        Raises:
            BudgetSpentError: it does not, and nothing is under way whose cost could turn out smaller.
        """
        while why := self._over(bound):
            if not self._journal.under_way:
                raise BudgetSpentError(why)
            await anyio.sleep(0.02)
        self._journal.ask(key, bound)

    def _over(self, bound: Tokens) -> str:
        settings, journal = self._settings, self._journal
        if settings.requests is not None and journal.requests >= settings.requests:
            return f"the budget of {settings.requests:,} requests is spent"
        spent, pending = journal.tokens, journal.pending
        at_most = (spent[0] + pending[0] + bound[0], spent[1] + pending[1] + bound[1])
        if settings.tokens is not None and sum(at_most) > settings.tokens:
            return f"the budget of {settings.tokens:,} tokens is spent ({sum(spent):,}; the next could exceed it)"
        if settings.cost is not None and settings.price_of(at_most) > settings.cost:
            now = settings.price_of(spent)
            return f"the budget of {settings.cost:g} is spent ({now:.4f}; the next request could exceed it)"
        return ""

    async def _pause(self, failed: int, asked: float | None) -> None:
        """Full jitter: between nothing and twice as long each time; never less than the server asks."""
        settings = self._settings
        wait = random.uniform(0, min(settings.longest_wait, settings.backoff * 2 ** (failed - 1)))
        if asked is not None:
            self._next = max(self._next, time.monotonic() + asked)
            wait += asked
        await anyio.sleep(wait)


def beyond_the_standard(decoding: Decoding, settings: Settings) -> dict[str, Any]:
    """Parameters that OpenAI's own servers do not know and others do.

    Those others have defaults of their own, which truncate: llama.cpp takes the best 40 tokens, vLLM what the model's
    generation settings say. So they are told even what changes nothing.
    """
    found: dict[str, Any] = {name: getattr(decoding, name) for name in _OURS_ALONE}
    if settings.own_server:
        return {name: value for name, value in found.items() if name not in _neutral(decoding)}
    return found


def _neutral(decoding: Decoding) -> dict[str, Any]:
    """What of a decoding changes nothing, so that a server may do without hearing it."""
    nothing = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    return {name: value for name, value in nothing.items() if getattr(decoding, name) == value}
