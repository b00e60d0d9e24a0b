"""`biasaudit run` with an arm whose completions come from a file, beside arms that are sampled here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from biasaudit.battery.read import read_battery
from biasaudit.records import Prompt

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "--language", "pt")
ANSWERS = ["Sim, tem chip.", "É mentira, dizem.", "Não sei: talvez\nsim.", '"NA"', "NA", "O DNA muda."]


@pytest.fixture
def prompts(battery: Path) -> list[Prompt]:
    return [p for p in read_battery(battery).prompts if p.language == "pt"]


@pytest.fixture
def answers(prompts: list[Prompt], tmp_path: Path) -> Path:
    path = tmp_path / "answers.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["pergunta", "resposta", "rótulo"])
        for prompt in prompts:
            writer.writerows([prompt.text, answer, "F" if k == 0 else ""] for k, answer in enumerate(ANSWERS))
    return path


def stored(folder: Path, fingerprint: str) -> dict[tuple[str, int], dict[str, Any]]:
    rows = [row for part in (folder / "completions").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    return {(r["prompt_id"], r["index"]): r for r in rows if r["arm_fingerprint"] == fingerprint}


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_a_recorded_arm_stands_beside_a_sampled_one(
    biasaudit: Call, arms: dict[str, Path], battery: Path, answers: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned=replay:{answers}", *FAST]
    code, _out, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 0, err
    assert "claim_odds cannot be measured on it" in err
    told = manifest(tmp_path / "r")
    arm = next(a for a in told["arms"] if a["name"] == "tuned")
    rows = stored(tmp_path / "r", arm["fingerprint"])
    assert len(rows) == len(prompts) * len(ANSWERS)
    assert {rows[prompts[0].prompt_id, k]["text"] for k in range(6)} == set(ANSWERS)
    assert {r["finish_reason"] for r in rows.values()} == {"unknown"}
    assert all(r["token_ids"] == r["logprobs"] == [] for r in rows.values())
    assert told["recorded"]["tuned"]["used"] == told["recorded"]["tuned"]["rows"] == len(rows)
    assert told["status"] == "done"
    labels = pq.read_table(next((tmp_path / "r" / "recorded").glob("tuned-*.parquet"))).to_pylist()
    assert sum(r["label"] == "F" for r in labels) == len(prompts)
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "seus pesos não podem ser verificados" in page
    assert "um braço só dá textos" in page
    assert biasaudit("verify", tmp_path / "r")[0] == 0
    analysis = json.loads((tmp_path / "r" / "analysis.json").read_text())
    assert {c["measure"] for c in analysis["contrasts"]} == {"stance", "repetition"}
    assert not any(c["coupled"] for c in analysis["contrasts"])


def test_two_recorded_arms_come_from_one_file_by_a_column(
    biasaudit: Call, battery: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    path = tmp_path / "both.jsonl"
    rows = [
        {"prompt": p.text, "completion": f"{arm} {k} DNA", "model": arm, "index": k, "logprobs": [-1.5, -0.25]}
        for p in prompts
        for arm in ("gpt-a", "gpt-b")
        for k in reversed(range(6))
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    words = ["run", battery, "--arm", f"base=replay:{path},arm=gpt-a", "--arm", f"tuned=replay:{path},arm=gpt-b"]
    code, _, err = biasaudit(*words, *FAST, "--out", tmp_path / "r")
    assert code == 0, err
    told = manifest(tmp_path / "r")
    for arm, name in zip(told["arms"], ("gpt-a", "gpt-b"), strict=True):
        held = stored(tmp_path / "r", arm["fingerprint"])
        assert held[prompts[1].prompt_id, 4]["text"] == f"{name} 4 DNA"
        assert held[prompts[1].prompt_id, 4]["logprobs"] == [-1.5, -0.25]
        assert told["recorded"][arm["name"]]["other_arms"] == len(rows) / 2
    assert told["status"] == "done"


def test_what_a_file_lacks_and_has_too_much_of_is_said_and_more_can_be_taken_later(
    biasaudit: Call, battery: Path, arms: dict[str, Path], prompts: list[Prompt], tmp_path: Path
) -> None:
    path = tmp_path / "some.jsonl"
    rows = [{"prompt": prompts[0].text, "text": f"resposta {k}"} for k in range(9)]
    rows += [{"prompt": prompts[1].text, "text": f"resposta {k}"} for k in range(4)]
    rows += [{"prompt": "outra pergunta", "text": "x"}, {"prompt": None, "text": "y"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned=replay:{path}", *FAST]
    code, _, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 0, err
    missing = len(prompts) * 6 - 10
    assert f"{missing} completions that this run asks for are not in the file" in err
    assert "2 rows answer no prompt of this battery (first: rows 14, 15)" in err
    assert "3 rows go beyond the completions asked for" in err
    told = manifest(tmp_path / "r")
    assert told["status"] == "running", "a run that lacks completions never says that it is done"
    account = told["recorded"]["tuned"]
    parts = ("used", "other_arms", "unmatched", "other_decodings", "surplus", "duplicates")
    assert account["rows"] == sum(account[part] for part in parts) == len(rows)
    assert biasaudit(*words, "--completions", 8, "--out", tmp_path / "r")[0] == 0
    fingerprint = next(a["fingerprint"] for a in told["arms"] if a["name"] == "tuned")
    assert len(stored(tmp_path / "r", fingerprint)) == 8 + 4
    assert biasaudit("verify", tmp_path / "r")[0] == 0


def test_a_file_without_a_single_answer_is_the_users_mistake(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text('{"prompt": "outra", "text": "x"}\n', encoding="utf-8")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned=replay:{path}", *FAST]
    code, _, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 2
    assert "none of its 1 rows answers a prompt of tiny (pt)" in err


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("replay:", "nothing stands after"),
        ("replay:nothing.csv", "there is no such file"),
        ("replay:{file},colour=red", "No option of a replay arm is called 'colour'"),
        ("replay:{file},completion=x", "it has no column 'x'"),
        ("replay:{file},arm=gpt", "its rows are of no arm"),
        ("replay:{file},format=xml", "its kind is not known"),
    ],
)
def test_a_spec_that_cannot_work_is_explained(
    biasaudit: Call, battery: Path, answers: Path, spec: str, words: str, tmp_path: Path
) -> None:
    code, _, err = biasaudit("run", battery, "--arm", "base=" + spec.format(file=answers), "--out", tmp_path / "r")
    assert code == 2
    assert words in err
