"""`biasaudit lock`: a hash before sampling, kept or not kept, and the report that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biasaudit.identity import content_hash
from biasaudit.pipeline.lock_content import lock_badges

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def words(arms: dict[str, Path], battery: Path) -> list[object]:
    fast = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "-n", 2)
    return [battery, "--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}", *fast]


def analysis(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "analysis.json").read_text("utf-8"))
    return found


def lock(tmp_path: Path, biasaudit: Call, words: list[object], name: str = "tiny.lock.json") -> Path:
    path = tmp_path / name
    code, out, err = biasaudit("lock", *words, "-q", "--reports", tmp_path / "reports", "--out", path)
    assert code == 0, err
    assert re.match(r"[0-9a-f]{64}  ", out)
    return path


def test_a_kept_lock_makes_the_verdict_confirmatory(tmp_path: Path, biasaudit: Call, words: list[object]) -> None:
    path = lock(tmp_path, biasaudit, words)
    run = tmp_path / "run"
    code, out, err = biasaudit("run", *words, "--out", run, "--report-language", "en")
    assert code == 0, err
    assert f"found beside the battery: {path}" in err
    found = analysis(run)
    assert found["badges"]["locked"] == "kept"
    assert found["lock"]["deviations"] == []
    assert "The question was locked before sampling and kept (lock " in out
    page = (run / "report.html").read_text("utf-8")
    assert "Nothing differs from the lock." in page
    assert found["lock"]["hash"] in page
    assert biasaudit("verify", run)[0] == 0
    code, out, err = biasaudit("run", *words, "--out", run, "--report-language", "en")
    assert "everything that this command asks for is stored" in err


def test_a_changed_question_is_exploratory_and_says_in_what(
    tmp_path: Path, biasaudit: Call, words: list[object], battery: Path
) -> None:
    path = lock(tmp_path, biasaudit, words, "elsewhere.json")
    battery.write_text(battery.read_text("utf-8").replace("margin: 0.02", "margin: 0.5"), encoding="utf-8")
    run = tmp_path / "run"
    code, out, err = biasaudit("run", *words, "--lock", path, "--out", run, "--report-language", "en", "--seed", 5)
    assert code == 0, err
    assert "not as locked: " in err
    assert "margin (primary question)" in err
    found = analysis(run)
    assert found["lock"]["state"] == "changed"
    assert {"margin", "seed"} <= {row["part"] for row in found["lock"]["deviations"]}
    assert out.startswith("Exploratory: the primary question is not the one that was locked (margin")
    page = (run / "report.html").read_text("utf-8")
    assert "(exploratory)" in page
    assert "not what was locked: exploratory" in page
    assert "the only confirmatory test" not in page
    assert "There is one confirmatory test" not in page


def test_a_lock_that_came_after_completions_is_called_late(
    tmp_path: Path, biasaudit: Call, words: list[object]
) -> None:
    reports = tmp_path / "reports"
    code, _, err = biasaudit("run", *words, "-q", "--reports", reports)
    assert code == 0, err
    path = lock(tmp_path, biasaudit, words)
    assert json.loads(path.read_text("utf-8"))["existing"]
    code, out, err = biasaudit("run", *words, "--reports", reports, "--report-language", "pt")
    assert "made after completions existed" in err
    assert out.startswith("Exploratório: a pergunta só foi travada depois de existirem respostas")
    code, out, err = biasaudit("run", *words, "--fresh", "--no-lock", "--reports", reports, "--report-language", "en")
    assert "xploratory" not in out


def test_a_lock_is_made_once_and_no_run_changes_its_own(tmp_path: Path, biasaudit: Call, words: list[object]) -> None:
    path = lock(tmp_path, biasaudit, words)
    before = path.read_bytes()
    assert "of exactly this" in biasaudit("lock", *words, "--out", path)[2]
    code, _, err = biasaudit("lock", *words, "--seed", 3, "--out", path)
    assert code == 2
    assert "of something else" in err
    assert path.read_bytes() == before
    run = tmp_path / "run"
    assert biasaudit("run", *words, "-q", "--out", run)[0] == 0
    other = lock(tmp_path, biasaudit, [*words, "--temperature", 0.5], "other.json")
    code, _, err = biasaudit("run", *words, "--lock", other, "--out", run)
    assert code == 2
    assert "a run keeps its lock" in err


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: "no json", "is not JSON"),
        (lambda text: "[]", "is not a lock of this kind"),
        (lambda text: text.replace('"alpha": 0.05', '"alpha": 0.5'), "does not match its hash"),
        (lambda text: re.sub(r'"made": "[^"]*"', '"made": "yesterday"', text), "a damaged lock"),
    ],
)
def test_a_lock_that_was_tampered_with_is_refused(
    tmp_path: Path, biasaudit: Call, words: list[object], damage: Callable[[str], str], told: str
) -> None:
    path = lock(tmp_path, biasaudit, words)
    path.write_text(damage(path.read_text("utf-8")), encoding="utf-8")
    code, _, err = biasaudit("run", *words, "--out", tmp_path / "run")
    assert code == 2
    assert told in err


def test_a_lock_that_is_missing_and_a_lock_with_no_lock_are_refused(
    tmp_path: Path, biasaudit: Call, words: list[object]
) -> None:
    code, _, err = biasaudit("run", *words, "--lock", tmp_path / "none.json")
    assert code == 2
    assert "cannot be read" in err
    code, _, err = biasaudit("run", *words, "--lock", tmp_path / "none.json", "--no-lock")
    assert "contradict each other" in err
    code, _, err = biasaudit("lock", *words, "--out", tmp_path / "nowhere" / "x.json")
    assert code == 2
    assert "does not exist" in err


def test_a_lock_whose_content_no_version_wrote_is_refused(tmp_path: Path, biasaudit: Call, words: list[object]) -> None:
    path = lock(tmp_path, biasaudit, words)
    held = json.loads(path.read_text("utf-8"))
    for content in ({}, {**held["content"], "arms": []}, {**held["content"], "decodings": 5}):
        path.write_text(json.dumps({**held, "content": content, "hash": content_hash(content)}), encoding="utf-8")
        code, _, err = biasaudit("run", *words, "--out", tmp_path / "run")
        assert code == 2
        assert "what it locks cannot be read" in err


@pytest.mark.parametrize(
    ("lock_of", "said"),
    [
        ({}, {"locked": False}),
        ({"state": "kept", "late": False, "counted": True, "deviations": []},
         {"locked": "kept", "n_fixed_in_advance": True}),
        ({"state": "late", "late": True, "counted": True, "deviations": []},
         {"locked": "late", "n_fixed_in_advance": False}),
        ({"state": "changed", "late": False, "counted": True, "deviations": [{"part": "completions"}]},
         {"locked": "changed", "n_fixed_in_advance": False}),
        ({"state": "kept", "late": False, "counted": False, "deviations": []},
         {"locked": "kept", "n_fixed_in_advance": None}),
    ],
)  # fmt: skip
def test_only_a_lock_says_that_n_was_fixed_in_advance(lock_of: dict[str, Any], said: dict[str, Any]) -> None:
    assert lock_badges(lock_of) == said
