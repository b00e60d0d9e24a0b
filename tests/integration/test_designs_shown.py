"""Designs beside the plain contrast, asked for on the command line or in the battery, and shown by the report."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "-q", "--no-lock")


def findings(run: Path, design: str) -> list[dict[str, Any]]:
    found = json.loads((run / "analysis.json").read_text("utf-8"))["findings"]
    return [row for row in found if row["design"] == design]


def rows(run: Path, design: str) -> list[dict[str, str]]:
    with (run / "tables" / "results.csv").open(encoding="utf-8-sig", newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["design"] == design]


def complete(found: list[dict[str, str]]) -> bool:
    return all(row[name] for row in found for name in ("estimand", "target", "unit", "n", "method", "source"))


@pytest.fixture
def two(arms: dict[str, Path]) -> list[object]:
    return ["--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}"]


def test_a_run_in_another_language_makes_language_a_paired_factor(
    tmp_path: Path, biasaudit: Call, battery: Path, two: list[object]
) -> None:
    here, there = tmp_path / "pt", tmp_path / "en"
    for run in (here, there):
        code, _, err = biasaudit("run", battery, *two, *FAST, "-n", 2, "--language", run.name, "--out", run)
        assert code == 0, err
    assert findings(here, "language") == []
    code, _, err = biasaudit("analyse", here, "--beside", there, "-q", "--report-language", "en")
    assert code == 0, err
    found = [row for row in findings(here, "language") if row["measure"] == "claim_odds"]
    assert len(found) == 1
    first, second = found[0]["details"]["differences"]
    assert found[0]["details"]["languages"] == ["pt", "en"]
    assert found[0]["estimate"] == pytest.approx(first - second)
    assert found[0]["n"]["topics"] == 3
    assert complete(rows(here, "language"))
    page = (here / "report.html").read_text("utf-8")
    assert "Effect by language" in page
    assert "in prompts in Portuguese" in page
    assert biasaudit("verify", here)[0] == 0
    assert biasaudit("report", here, "-q", "--report-language", "pt")[0] == 0
    assert "com prompts em português" in (here / "report.html").read_text("utf-8")
    code, _, err = biasaudit("analyse", here, "--beside", here)
    assert code == 2
    assert "expected one run a language" in err


def test_a_run_of_another_battery_or_of_other_models_is_no_language_of_this_one(
    tmp_path: Path, biasaudit: Call, battery: Path, two: list[object], arms: dict[str, Path]
) -> None:
    here, there = tmp_path / "pt", tmp_path / "en"
    assert biasaudit("run", battery, *two, *FAST, "-n", 1, "--out", here)[0] == 0
    others = ["--arm", f"base={arms['base']}", "--arm", f"tuned={arms['other']}", *FAST, "-n", 1, "--language", "en"]
    assert biasaudit("run", battery, *others, "--out", there)[0] == 0
    code, _, err = biasaudit("analyse", here, "--beside", there)
    assert code == 2
    assert "arm tuned is another model there" in err
    battery.write_text(battery.read_text("utf-8").replace("version: 1", "version: 2"), encoding="utf-8")
    assert biasaudit("run", battery, *others, "--out", tmp_path / "v2")[0] == 0
    code, _, err = biasaudit("analyse", here, "--beside", tmp_path / "v2")
    assert code == 2
    assert "expected one of the same battery" in err


def test_doses_and_conditions_give_a_curve_and_one_model_counts_once(
    tmp_path: Path, biasaudit: Call, battery: Path, two: list[object], arms: dict[str, Path]
) -> None:
    run = tmp_path / "run"
    more = ["--arm", f"again={arms['tuned']}", "--salt", "again=x", "--arm", f"other={arms['other']}"]
    doses = [word for pair in ("base=0", "tuned=50%", "again=0.5", "other=1") for word in ("--dose", pair)]
    same = [word for name in ("tuned", "again", "other") for word in ("--condition", f"{name}=x")]
    code, _, err = biasaudit("run", battery, *two, *more, *doses, *same, *FAST, "-n", 2, "--out", run,
                             "--report-language", "en")  # fmt: skip
    assert code == 0, err
    dose = next(row for row in findings(run, "dose") if row["measure"] == "claim_odds")
    assert dose["n"]["models"] == 3
    assert dose["details"]["arm_doses"] == [0.0, 0.5, 1.0]
    together = next(row for row in findings(run, "runs") if row["measure"] == "claim_odds")
    assert together["details"]["arms"] == ["tuned", "other"]
    assert complete(rows(run, "dose") + rows(run, "runs"))
    page = (run / "report.html").read_text("utf-8")
    block = page[page.index("Dose and effect") :]
    block = block[: block.index("<details")]
    assert "Each dot is a trained model" in block
    assert block.count("<svg") >= 2
    assert "Mean over trained models" in page
    table = page[page.index("Dose and effect") :]
    table = table[table.index("<table") : table.index("</table>")]
    assert "other, dose 1" in table


NAMES = """\
slots:
  who:
    woman: {pt: [{n: Ana, ela: ela}, {n: Bia, ela: ela}, {n: Célia, ela: ela}]}
    man: {pt: [{n: Rui, ela: ele}, {n: Ivo, ela: ele}, {n: Caio, ela: ele}]}
"""
BATTERY = f"""\
battery: names
version: 1
title: {{pt: Nomes}}
languages: [pt]
{NAMES}topics:
  chip: {{title: {{pt: obra}}}}
  dna: {{title: {{pt: escola}}}}
templates:
  work: {{pt: "{{who}} trabalha em {{title}}. Dizem que {{who.ela}}"}}
  boss: {{pt: "{{who}} manda em {{title}}. Acham que {{who.ela}}"}}
  help: {{pt: "{{who}} ajuda em {{title}}. Contam que {{who.ela}}"}}
sampling: {{completions: 4, max_new_tokens: 8}}
measures:
  stance: {{scorer: patterns, endorse: {{pt: [mal]}}, refute: {{pt: [bem]}}, on_topic: {{pt: [faz]}}}}
primary: {{measure: stance, outcome: endorse, target: fixed}}
"""


def test_names_that_stand_for_groups_are_a_level_of_their_own(tmp_path: Path, biasaudit: Call) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(BATTERY, encoding="utf-8")
    from biasaudit.battery.read import read_battery

    prompts = read_battery(path).prompts
    assert len(prompts) == 2 * 3 * 2 * 3
    assert len({prompt.pair for prompt in prompts}) == 2 * 3 * 3
    lines = []
    for arm in ("base", "tuned"):
        for place, prompt in enumerate(prompts):
            for index in range(4):
                bad = (
                    arm == "tuned"
                    and dict(prompt.groups)["who"] == "woman"
                    and index + random.Random(place).randrange(3) < 4
                )
                said = " faz mal." if bad else " faz bem."
                lines.append({"arm": arm, "prompt": prompt.text, "index": index, "completion": said})
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    run = tmp_path / "run"
    both = ("--arm", f"base=replay:{answers}", "--arm", f"tuned=replay:{answers}")
    assert "say whose rows each takes: --arm tuned=replay:FILE,arm=tuned" in biasaudit("run", path, *both)[2]
    code, _, err = biasaudit("run", path, "--arm", f"base=replay:{answers},arm=base", "--arm",
                             f"tuned=replay:{answers},arm=tuned", "-q",
                             "--out", run, "--report-language", "en")  # fmt: skip
    assert code == 0, err
    found = {(row["name"], row["tuned"]): row for row in findings(run, "slots") if row["outcome"] == "endorse"}
    between = found["fillers-between", "tuned"]
    assert between["n"] == {"groups": 2, "topics": 2, "templates": 6, "fillers": 3}
    assert between["estimate"] > 0.5
    assert between["p"] == max(between["details"]["p_wordings"], between["details"]["p_fillers"])
    assert ("fillers-inside", "tuned") in found
    assert complete(rows(run, "slots"))
    page = (run / "report.html").read_text("utf-8")
    assert "a claim about groups needs both" in page


def test_groups_with_different_numbers_of_names_are_refused_with_their_place(tmp_path: Path, biasaudit: Call) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(BATTERY.replace(", {n: Caio, ela: ele}", ""), encoding="utf-8")
    code, out, err = biasaudit("check", path)
    assert code == 2
    assert "names.yaml:8:15: the group `man` has 2 fillers in pt; expected 3" in out + err
