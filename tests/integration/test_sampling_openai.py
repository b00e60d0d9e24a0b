"""The backend of servers, against a real server in front of a real model: nothing lost, nothing twice, nothing too much."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai_asker
import pytest
import sampling_support as support
from faulty_server import FAULTS, Complete, FaultyServer, of_backend, running
from openai_asker import ARM, requests

from biasaudit.errors import BiasAuditError, InputError, ResourceError, UsageError
from biasaudit.records import Completion
from biasaudit.sampling.backends.openai import OpenAIBackend
from biasaudit.sampling.remote.client import beyond_the_standard
from biasaudit.sampling.remote.settings import Settings, read_settings


@pytest.fixture(scope="module")
def model() -> Complete:
    """One real model; what it said once is kept, for these tests ask the same again and again."""
    plain, said = of_backend(support.backend(support.gpt2())), {}

    def complete(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        key = json.dumps([prompt, body], sort_keys=True)
        if key not in said:
            said[key] = plain(prompt, body)
        return said[key]

    return complete


@pytest.fixture
def server(model: Complete) -> Iterator[FaultyServer]:
    with running(FaultyServer(model)) as found:
        yield found


def settings(server: FaultyServer, **options: str) -> Settings:
    return openai_asker.settings(server.url, **options)


def backend(server: FaultyServer, journal: Path | None = None, **options: str) -> OpenAIBackend:
    return openai_asker.backend(server.url, journal, **options)


def by_key(found: list[Completion]) -> dict[Any, tuple[str, tuple[float, ...], str]]:
    held = {c.key: (c.text, c.logprobs, c.finish_reason) for c in found}
    assert len(held) == len(found), "no key comes twice"
    return held


def test_a_servers_completions_are_the_models_own(server: FaultyServer, model: Complete) -> None:
    asked = requests(12)
    found = list(backend(server).complete(asked))
    held = by_key(found)
    assert len(held) == 12
    assert len({text for text, _, _ in held.values()}) > 6, "every index has a seed of its own"
    for body in server.bodies:
        text, logprobs, _ = model(body["prompt"], body)
        assert (text, tuple(logprobs)) in {(t, lp) for t, lp, _ in held.values()}
    assert by_key(list(backend(server).complete(asked))) == held, "the same seeds again"
    seen = backend(server)
    list(seen.complete(asked[:1]))
    (numerics,) = seen.numerics_seen.values()
    assert numerics["model"] == "tiny"
    assert numerics["system_fingerprint"] == "fp_1"
    assert numerics["verifiable"] is False


def test_under_every_fault_nothing_is_lost_and_nothing_comes_twice(model: Complete, tmp_path: Path) -> None:
    asked = requests(300)
    with running(FaultyServer(model)) as plain:
        expected = by_key(list(backend(plain).complete(asked)))
    kinds = [kind for kind in FAULTS if kind != "timeout"]  # a server that is too slow bills what nobody hears
    with running(FaultyServer(model, share=0.3, faults=kinds)) as faulty:
        answering = backend(faulty, tmp_path / "journal.jsonl", concurrency="16")
        found = by_key(list(answering.complete(asked)))
        assert found == expected
        assert set(faulty.failed) == set(kinds)
        assert set(faulty.billed.values()) == {1}, "a whole answer is never asked for again"
        assert len(faulty.billed) == 300
        assert faulty.asked == answering.journal.requests == 300 + sum(faulty.failed.values())
    assert "asked again after" in answering.notes[0]


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(model: Complete) -> None:
    with running(FaultyServer(model, share=0.2, faults=("timeout",), hang=1.5)) as server:
        impatient = replace(settings(server), timeout=1.0)
        answering = OpenAIBackend(impatient, arm=ARM, seed=5)
        assert len(by_key(list(answering.complete(requests(12))))) == 12
        assert server.failed["timeout"] > 0
        assert "timeout" in answering.notes[0]


def test_chat_is_asked_and_read_as_chat(model: Complete) -> None:
    with running(FaultyServer(model, share=0.3, faults=("cut-json", "empty-choices", "unfinished"))) as server:
        found = by_key(list(backend(server, api="chat").complete(requests(30))))
        with running(FaultyServer(model)) as plain:
            assert found == by_key(list(backend(plain).complete(requests(30))))
        assert [{"role": "user", "content": "ab"}] in [body["messages"] for body in server.bodies]
        assert all(body["logprobs"] is True for body in server.bodies)


def test_a_killed_run_pays_again_only_for_what_was_under_way(server: FaultyServer, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    script = [sys.executable, openai_asker.__file__, server.url, str(journal), "60", "20", "4"]
    killed = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    early = [json.loads(line) for line in killed.stdout.splitlines()]
    assert len(early) == 20
    last = journal.read_bytes().splitlines()[-1]
    with journal.open("ab") as file:
        file.write(last[: len(last) // 2])  # the write that the kill cut
    second = backend(server, journal, concurrency="4")
    found = list(second.complete(requests(60)))
    assert len(by_key(found)) == 60
    texts = {(c.prompt_id, c.index): c.text for c in found}
    assert all(texts[prompt, index] == text for prompt, index, text in early)
    assert len(server.billed) == 60
    assert sum(server.billed.values()) - 60 <= 4, "no more is paid twice than was under way"
    assert server.asked <= second.journal.requests <= server.asked + 4
    second.journal.settle()
    assert journal.stat().st_size < 100
    assert backend(server, journal).journal.requests == second.journal.requests


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_budget_of_requests_is_never_exceeded(model: Complete, share: float, tmp_path: Path) -> None:
    with running(FaultyServer(model, share=share, faults=("500", "429", "cut-json"))) as server:
        journal = tmp_path / "journal.jsonl"
        for _ in range(2):  # what an earlier process spent counts
            answering = backend(server, journal, requests="25")
            found = list(answering.complete(requests(60)))
            assert "budget of 25 requests is spent" in answering.stopped
            assert server.asked == 25
        assert len(found) == len(server.billed), "what was paid for is there"
        more = backend(server, journal, requests="500")
        assert len(by_key(list(more.complete(requests(60))))) == 60
        assert set(server.billed.values()) == {1}


def test_a_budget_of_money_is_never_exceeded(server: FaultyServer) -> None:
    answering = backend(server, cost="0.002", price="1/10")
    found = list(answering.complete(requests(60)))
    assert 0 < len(found) < 60
    assert "budget of 0.002 is spent" in answering.stopped
    assert 0.001 < answering.spent["cost"] <= 0.002
    tokens = backend(server, tokens="250")
    list(tokens.complete(requests(60)))
    spent = tokens.spent["prompt_tokens"] + tokens.spent["completion_tokens"]
    assert 150 < spent <= 250
    assert "budget of 250 tokens" in tokens.stopped


def test_concurrency_and_rate_are_kept(server: FaultyServer, model: Complete) -> None:
    def together(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        deadline = time.monotonic() + 10
        while server.most_at_once < 3 and time.monotonic() < deadline:
            time.sleep(0.002)
        return model(prompt, body)

    server.complete = together
    list(backend(server, concurrency="3").complete(requests(30)))
    assert server.most_at_once == 3
    began = time.monotonic()
    list(backend(server, rate="1200").complete(requests(9)))
    assert time.monotonic() - began >= 8 * 60 / 1200


def test_retry_after_holds_every_request_back(model: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(FaultyServer(model)) as server:
        shares = iter([1.0])
        plain = server.fault

        def fault() -> str:
            server.share = next(shares, 0.0)
            return plain()

        monkeypatch.setattr(server, "fault", fault)
        server.faults = ("429-retry-after",)
        start = time.monotonic()
        assert len(list(backend(server, concurrency="1").complete(requests(3)))) == 3
        assert server.times[1] - server.times[0] >= 0.02
        assert time.monotonic() - start < 5


def test_a_server_that_never_answers_ends_the_run_with_words(model: Complete) -> None:
    words = r"3 tries for one completion failed, the last by status 503: inside"
    with (
        running(FaultyServer(model, share=1.0, faults=("503",))) as server,
        pytest.raises(BiasAuditError, match=words),
    ):
        list(backend(server, attempts="3").complete(requests(6)))
    with pytest.raises(BiasAuditError, match="no connection"):
        list(backend(server, attempts="2").complete(requests(3)))


def test_a_wrong_model_is_rejected_unless_it_is_named(model: Complete) -> None:
    with running(FaultyServer(model, model="tiny-2025-01-01")) as server:
        assert len(list(backend(server).complete(requests(3)))) == 3
        server.model = "tiny-turbo"
        with pytest.raises(BiasAuditError, match="it came from the model 'tiny-turbo', not 'tiny'"):
            list(backend(server, attempts="2").complete(requests(3)))
        assert len(list(backend(server, echo="tiny-turbo").complete(requests(3)))) == 3


def test_what_a_server_does_not_take_is_left_away_and_said(model: Complete) -> None:
    with running(FaultyServer(model, refuses=("logprobs", "seed"))) as server:
        answering = backend(server)
        found = list(answering.complete(requests(6)))
        assert len(found) == 6
        assert all(c.logprobs == () for c in found)
        assert [note.split(":")[0] for note in answering.notes] == [
            "the server takes no logprobs", "the server takes no seed",
        ]  # fmt: skip
        assert not next(iter(answering.numerics_seen.values()))["seeds"] or len(answering.numerics_seen) > 1
    with (
        running(FaultyServer(model, refuses=("top_k",))) as server,
        pytest.raises(InputError, match="status 400: Unrecognized request argument supplied: top_k"),
    ):
        list(backend(server).complete(requests(3, top_k=5)))


def test_servers_are_told_to_truncate_nothing_for_their_own_defaults_do(model: Complete) -> None:
    nothing = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    with running(FaultyServer(model)) as server:
        list(backend(server).complete(requests(3)))
        assert all(nothing.items() <= body.items() for body in server.bodies)
    with running(FaultyServer(model, refuses=("top_k", "min_p"))) as server:
        answering = backend(server, concurrency="1")
        assert len(list(answering.complete(requests(3)))) == 3
        assert {"top_k", "min_p"}.isdisjoint(server.bodies[-1])
        assert [note for note in answering.notes if "truncates by a default of its own" in note]
        assert [seen["left_out"] for seen in answering.numerics_seen.values()] == [["min_p", "top_k"]]
    own = read_settings("tiny@https://api.openai.com/v1", {})
    decoding = requests(3, top_k=5)[0].decoding
    assert beyond_the_standard(decoding, own) == {"top_k": 5}


def test_answers_without_log_probabilities_and_always_the_same_are_told(model: Complete) -> None:
    def cached(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        return "always the very same words", [], "length"

    with running(FaultyServer(cached)) as server:
        answering = backend(server)
        list(answering.complete(requests(15)))
        assert answering.notes[0] == "15 of 15 answers came without the log-probabilities asked for"
        assert "3 of 3 prompts got one and the same text every time" in answering.notes[1]


def test_a_server_that_wants_to_hear_from_us_tomorrow_loses_nothing(
    model: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faulty_server import Handler

    def respond(self: Handler, body: dict[str, Any]) -> None:
        self.send(429, {"error": {"message": "daily limit."}}, {"Retry-After": "86400"})

    monkeypatch.setattr(Handler, "respond", respond)
    with (
        running(FaultyServer(model)) as server,
        pytest.raises(ResourceError, match=r"86,400 seconds \(status 429: daily limit\).*the same command goes on"),
    ):
        list(backend(server).complete(requests(3)))


def test_the_key_comes_from_the_environment_and_stands_nowhere(
    model: Complete, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-this-server")
    with running(FaultyServer(model, key="sk-secret-123")) as server:
        with pytest.raises(InputError, match="status 401"):
            list(backend(server).complete(requests(3)))
        assert not any("Authorization" in headers for headers in server.headers), "no key goes where none was named"
        monkeypatch.setenv("MY_KEY", "sk-wrong-999")
        with pytest.raises(InputError, match="status 401: Incorrect API key provided: …") as refused:
            list(backend(server, key="MY_KEY").complete(requests(3)))
        assert "999" not in str(refused.value)
        monkeypatch.setenv("MY_KEY", "sk-secret-123")
        answering = backend(server, tmp_path / "journal.jsonl", key="MY_KEY")
        found = list(answering.complete(requests(3)))
        told = repr(found) + json.dumps([answering.numerics_seen, answering.spent, answering.notes])
        assert "sk-secret" not in told + (tmp_path / "journal.jsonl").read_text()
        monkeypatch.delenv("MY_KEY")
        with pytest.raises(UsageError, match="MY_KEY holds no key"):
            backend(server, key="MY_KEY")


def test_a_redirect_is_refused(model: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    from faulty_server import Handler

    def respond(self: Handler, body: dict[str, Any]) -> None:
        self.send(307, {}, {"Location": "http://127.0.0.1:9/v1/completions"})

    monkeypatch.setattr(Handler, "respond", respond)
    with running(FaultyServer(model)) as server, pytest.raises(InputError, match="only the address that was named"):
        list(backend(server).complete(requests(3)))
