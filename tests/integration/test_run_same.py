"""What keeps a run folder from going on is said by name; faults of recorded arms come first and are repaired in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from biasaudit.battery.read import read_battery
from biasaudit.store.run import RunFolder

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "-q", "-n", 2)


def record(battery: Path, path: Path, word: str = "texto") -> Path:
    """Two completions of every Portuguese prompt, as a file."""
    prompts = [p for p in read_battery(battery).prompts if p.language == "pt"]
    rows = [{"prompt": p.text, "text": f"{word} {n} sobre o chip"} for p in prompts for n in range(2)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def holdings(run: Path) -> int:
    return len(list((run / "completions").glob("*.parquet"))) if (run / "completions").is_dir() else 0


def test_faults_of_every_recorded_arm_come_before_sampling_and_the_repaired_command_goes_on_in_the_folder(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    run, first, second = tmp_path / "r", tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text('{"prompt": "outra", "text": "x"}\n', encoding="utf-8")
    second.write_text('{"prompt": "outra", "text": "x", "index": -1}\n', encoding="utf-8")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"one=replay:{first}",
             "--arm", f"two=replay:{second}", *FAST]  # fmt: skip
    code, _, err = biasaudit(*words, "--out", run)
    assert code == 2
    assert "none of its 1 rows answers a prompt of tiny (pt)" in err
    assert "an index is empty or below 0" in err
    assert holdings(run) == 0
    record(battery, first)
    code, _, err = biasaudit(*words, "--out", run)
    assert code == 2, "the second file is still broken"
    assert holdings(run) == 1, "what the first file has is stored; no model was asked"
    record(battery, second, "outro")
    code, _, err = biasaudit(*words, "--out", run)
    assert code == 0, err
    assert holdings(run) == 3
    assert biasaudit("verify", run)[0] == 0


def test_a_refused_folder_says_what_differs_and_what_to_do(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "r"
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}", *FAST]
    assert biasaudit(*words, "--out", run)[0] == 0
    prints = {arm["name"]: arm["fingerprint"][:12] for arm in RunFolder.open(run).manifest["arms"]}
    other = [str(word).replace(f"tuned={arms['tuned']}", f"tuned={arms['other']}") for word in words]
    cases = [
        ([*words, "--seed", 8], "seed 7 → 8"),
        ([*words, "--language", "en"], "language pt → en"),
        ([*words, "--salt", "tuned=aa"], "arm tuned: salt '' → 'aa'"),
        (words[:4] + words[6:], "arm tuned → not asked for"),
        (other, f"arm tuned: other content, fingerprint {prints['tuned']} → "),
        ([str(w).replace("tuned=", "new=") for w in words], "arm tuned → called new now"),
    ]
    for asked, said in cases:
        code, _, err = biasaudit(*asked, "--out", run)
        assert code == 2, said
        assert said in err
        assert "Give --out another folder, or ask for what it was made with" in err
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(battery.read_text(encoding="utf-8").replace("battery: tiny", "battery: small"), encoding="utf-8")
    code, _, err = biasaudit("run", renamed, *words[2:], "--out", run)
    assert (code, "battery tiny → small" in err) == (2, True), err


@pytest.mark.parametrize(
    ("measure", "said"),
    [("stance", "lacks 12 of the 24 completions"), ("people", "'people' is what people say afterwards")],
)
def test_looks_at_what_cannot_grow_or_is_labelled_later_are_refused_before_anything_is_made(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path, measure: str, said: str
) -> None:
    text = battery.read_text(encoding="utf-8")
    text = text.replace("\nprimary:", "\n  people: {scorer: human}\nprimary:", 1)
    battery.write_text(text, encoding="utf-8")
    file = record(battery, tmp_path / "answers.jsonl")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned=replay:{file}", *FAST, "-n", 4]
    code, _, err = biasaudit(*words, "--until", "decided", "--look-at", measure, "--out", tmp_path / "r")
    assert code == 2
    assert said in err
    assert not (tmp_path / "r").exists()
