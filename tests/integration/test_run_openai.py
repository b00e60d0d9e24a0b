"""`biasaudit run` with an arm behind a server, beside an arm that is sampled here."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sampling_support as support
from faulty_server import FaultyServer, of_backend, running

from tests import children

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "--language", "pt", "--max-new-tokens", 4)
TOTAL = 6 * 6


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    faults = ("500", "cut-json", "empty-choices", "reset")
    with running(FaultyServer(of_backend(support.backend(support.gpt2())), share=0.2, faults=faults)) as found:
        yield found


@pytest.fixture
def words(battery: Path, arms: dict[str, Path], server: FaultyServer) -> list[object]:
    return ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned=openai:tiny@{server.url},key=MY_KEY",
            *FAST]  # fmt: skip


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def remote_rows(folder: Path) -> list[dict[str, Any]]:
    fingerprint = next(a["fingerprint"] for a in manifest(folder)["arms"] if a["name"] == "tuned")
    rows = [row for part in (folder / "completions").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    return [row for row in rows if row["arm_fingerprint"] == fingerprint]


def test_a_remote_arm_is_audited_and_its_key_stands_in_no_file(
    biasaudit: Call, words: list[object], server: FaultyServer, tmp_path: Path
) -> None:
    code, _, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 0, err
    assert "claim_odds cannot be measured on it" in err
    told = manifest(tmp_path / "r")
    assert told["status"] == "done"
    card = next(a["card"] for a in told["arms"] if a["name"] == "tuned")
    assert (card["server"], card["model"], card["verifiable"]) == (server.url, "tiny", False)
    assert told["spent"]["tuned"]["requests"] == server.asked
    assert len({(r["prompt_id"], r["index"]) for r in remote_rows(tmp_path / "r")}) == TOTAL
    numerics = [n for n in told["numerics"].values() if n["path"] == "server"]
    assert [(n["model"], n["system_fingerprint"], n["api"]) for n in numerics] == [("tiny", "fp_1", "completions")]
    assert all(headers["Authorization"] == "Bearer sk-very-secret" for headers in server.headers)
    for path in (tmp_path / "r").rglob("*"):
        assert path.is_dir() or b"very-secret" not in path.read_bytes(), path
    assert "very-secret" not in err
    asked = server.asked
    assert biasaudit(*words, "--out", tmp_path / "r")[0] == 0
    assert server.asked == asked, "what is stored is not asked for again"
    assert biasaudit("verify", tmp_path / "r")[0] == 0


def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on(
    biasaudit: Call, words: list[object], server: FaultyServer, tmp_path: Path
) -> None:
    small = [f"{word},requests=12" if "openai:" in str(word) else word for word in words]
    code, _, err = biasaudit(*small, "--out", tmp_path / "r")
    assert code == 1
    assert "budget of 12 requests is spent" in err
    assert server.asked == 12
    assert len(remote_rows(tmp_path / "r")) == len(server.billed) > 0
    assert biasaudit("score", tmp_path / "r", "-q")[0] == 0, "a report on what there is"
    assert biasaudit(*words, "--out", tmp_path / "r")[0] == 0
    assert set(server.billed.values()) == {1}
    assert len(remote_rows(tmp_path / "r")) == TOTAL


def test_a_killed_run_pays_again_only_for_what_was_under_way(
    words: list[object], server: FaultyServer, tmp_path: Path, biasaudit: Call
) -> None:
    enough, struck, answer = threading.Event(), threading.Event(), server.complete

    def held(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        if len(server.billed) >= 12:
            enough.set()
            struck.wait(120)
        return answer(prompt, body)

    server.complete = held
    with children.running(*words, "--out", tmp_path / "r") as process:
        assert enough.wait(120)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    struck.set()
    assert biasaudit(*words, "--out", tmp_path / "r")[0] == 0
    rows = remote_rows(tmp_path / "r")
    assert len(rows) == len({(r["prompt_id"], r["index"]) for r in rows}) == TOTAL
    assert sum(count - 1 for count in server.billed.values()) <= 8


def test_sample_asks_a_server_too(biasaudit: Call, server: FaultyServer) -> None:
    arm = f"r=openai:tiny@{server.url}"
    code, out, err = biasaudit("sample", "abc", "--arm", arm, "-n", 2, "--max-new-tokens", 3, "--json")
    assert code == 0, err
    assert len(json.loads(out)["completions"]) == 2


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:tiny", "expected openai:MODEL@URL"),
        ("openai:tiny@http://u:hidden@127.0.0.1/v1", "holds a password"),
        ("openai:tiny@http://127.0.0.1/v1?key=hidden", "holds a password, a query"),
        ("openai:tiny@http://127.0.0.1:1/v1,key=NOT_SET_ANYWHERE", "holds no key"),
        ("openai:tiny@http://example.org/v1,key=MY_KEY", "unencrypted"),
        ("openai:tiny@http://127.0.0.1/v1,cost=1", "what a token costs is not known"),
        ("openai:tiny@http://127.0.0.1/v1,rate=0", "expected a number above 0"),
        ("openai:tiny@http://127.0.0.1/v1,api=soap", "expected api=completions or api=chat"),
        ("openai:tiny@http://127.0.0.1:99999/v1", "cannot be read"),
        ("vllm:{base},gpus=x", "vLLM"),
    ],
)
def test_a_spec_that_cannot_work_is_explained(
    biasaudit: Call, arms: dict[str, Path], spec: str, said: str, tmp_path: Path
) -> None:
    code, _, err = biasaudit("sample", "abc", "--arm", "a=" + spec.format(base=arms["base"]))
    assert code == 2
    assert said in err
    assert "hidden" not in err
