"""A judge in a run from end to end, behind a real server: scored, killed, resumed, verified, and never asked twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from conftest_models import BATTERY
from faulty_server import FaultyServer, running

from tests import children

Call = Callable[..., tuple[int, str, str]]
SUPPORTS = "the text supports or repeats the claim"


def honest(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
    """Gives its answer by what it means; endorses the half of the texts whose length is even."""
    text = prompt.split("<<<\n")[1].split("\n>>>")[0]
    meaning = SUPPORTS if len(text) % 2 == 0 else "the text denies the claim or argues against it"
    return next(line[0] for line in prompt.split("\n") if line[1:].startswith(f". {meaning}")), [], "stop"


def words(folder: Path, arms: dict[str, Path], url: str) -> list[str]:
    start = BATTERY.split("measures:\n")[0]
    battery = folder / "judged.yaml"
    measures = (
        f'measures:\n  said: {{scorer: judge, server: "openai:tiny@{url},api=chat,concurrency=2"}}\n'
        "  repetition: {scorer: degeneration}\nprimary: {measure: said, target: fixed}\n"
    )
    battery.write_text(start + measures, encoding="utf-8")
    named = [f"{name}={arms[name]}" for name in ("base", "tuned")]
    return [
        "run",
        str(battery),
        "--arm",
        named[0],
        "--arm",
        named[1],
        "--language",
        "pt",
        "--out",
        str(folder / "run"),
        "-n",
        "3",
    ]


def scores(run: Path) -> list[dict[str, Any]]:
    (path,) = (run / "scores").glob("said-*.parquet")
    return list(pq.read_table(path).to_pylist())


def journal(run: Path) -> Path:
    (path,) = run.glob(".judge-*.jsonl")
    return path


def test_verify_asks_a_judge_nothing_and_says_which_answers_are_lost(
    biasaudit: Call, arms: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with running(FaultyServer(honest)) as server:
        code, _, err = biasaudit(*words(tmp_path, arms, server.url))
        assert code == 0, err
        asked = server.asked
        assert {row["label"] for row in scores(run)} <= {"endorse", "refute", "empty"}
        assert asked <= 2 * len(scores(run))
        assert biasaudit("verify", run)[0] == 0
        kept = journal(run).read_bytes()

        wrong = kept.replace(b'"text":"A', b'"text":"B', 1).replace(b'"text": "A', b'"text": "B', 1)
        assert wrong != kept
        journal(run).write_bytes(wrong)
        code, out, _ = biasaudit("verify", run)
        assert code == 1
        assert "scores of 'said': a new scoring of what is stored differs" in out

        lines = kept.splitlines(keepends=True)
        gone = next(n for n, line in enumerate(lines) if b'"got"' in line)
        journal(run).write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
        code, out, _ = biasaudit("verify", run)
        assert code == 1
        assert "answers of judge tiny are not kept there" in out
        journal(run).unlink()
        assert biasaudit("verify", run)[0] == 1
        assert server.asked == asked, "verify asked the server"

        before = scores(run)
        assert biasaudit("score", run)[0] == 0
        assert scores(run) == before
        assert server.asked == 2 * asked, "score asks again for what is lost"
        assert biasaudit("verify", run)[0] == 0


def test_a_killed_scoring_goes_on_and_asks_again_only_for_what_was_under_way(
    arms: dict[str, Path], tmp_path: Path
) -> None:
    struck = threading.Event()

    def held(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        if server.asked >= 20:
            struck.wait(120)
        return honest(prompt, body)

    run = tmp_path / "run"
    with running(FaultyServer(held)) as server:
        call = words(tmp_path, arms, server.url)
        with children.running(*call) as started:
            deadline = time.monotonic() + 120
            while server.asked < 20 and started.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            os.killpg(started.pid, signal.SIGKILL)
            assert started.wait() == -signal.SIGKILL
        struck.set()
        assert server.asked >= 20
        assert not list((run / "scores").glob("said-*.parquet"))
        kept = sum(b'"got"' in line for line in journal(run).read_bytes().splitlines())
        code, _, err = children.ended(*call)
        assert code == 0, err
        questions = {json.dumps([b["messages"], b.get("seed")], sort_keys=True) for b in server.bodies}
        assert kept > 0
        assert len(questions) <= server.asked <= len(questions) + 4, "two requests were under way, perhaps two written"
        assert all(row["value"] is not None for row in scores(run))
