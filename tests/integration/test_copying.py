"""Copying from end to end: a corpus by ingest, a run that names it, its report, and what happens when it is gone."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest_models import BATTERY, TEXTS

Call = Callable[..., tuple[int, str, str]]
MEASURES = """\
measures:
  copied: {scorer: copying, at_least: 3}
  leaked: {scorer: copying, metric: personal}
"""


@pytest.fixture
def corpus(biasaudit: Call, arms: dict[str, Path], tmp_path: Path) -> Path:
    """A corpus in the arms' own tokenizer."""
    dump = tmp_path / "dump.csv"
    with dump.open("w", encoding="utf-8", newline="") as handle:
        rows = [[n, f"c{n % 3}", "2021-03-04", f"{n} {text}"] for n, text in enumerate(TEXTS)]
        csv.writer(handle).writerows([["id", "channel_id", "date", "message"], *rows])
    out = tmp_path / "corpus"
    code, _, err = biasaudit("ingest", dump, "--out", out, "--tokenizer", arms["base"], "--keep-duplicates", "-q")
    assert code == 0, err
    return out


@pytest.fixture
def words(arms: dict[str, Path], tmp_path: Path) -> list[object]:
    """A run with two measures of copying."""
    battery = tmp_path / "copying.yaml"
    start, end = BATTERY.split("measures:\n")[0], "primary: {measure: copied, target: fixed}\n"
    battery.write_text(start + MEASURES + end, encoding="utf-8")
    return ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}", "--language", "pt"]


def kept(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "copying.json").read_text("utf-8"))["measures"]
    return found


def test_a_run_measures_copying_and_its_report_shows_from_where(
    biasaudit: Call, words: list[object], corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    code, _, err = biasaudit(*words, "--corpus", f"tuned={corpus}", "--out", run)
    assert code == 0, err
    found = kept(run)
    assert [row["arm"] for row in found["copied"]["arms"]] == ["base", "tuned"]
    assert {row["completions"] for row in found["copied"]["arms"]} == {36}
    longest = found["copied"]["longest"]
    assert longest[0]["source"] == "dump.csv"
    page = (run / "report.html").read_text("utf-8")
    assert "Texto copiado do corpus de treino" in page
    assert longest[0]["channel"] in page
    contrasts = json.loads((run / "analysis.json").read_text("utf-8"))["contrasts"]
    assert {"value", "copied"} <= {row["outcome"] for row in contrasts if row["measure"] == "copied"}
    assert biasaudit("verify", run)[0] == 0
    before = (run / "copying.json").read_bytes()
    assert biasaudit("score", run, "-q")[0] == 0
    assert (run / "copying.json").read_bytes() == before


def test_without_its_corpus_a_run_is_unscored_and_says_so(
    words: list[object], tmp_path: Path, corpus: Path, biasaudit: Call
) -> None:
    run = tmp_path / "run"
    code, _, err = biasaudit(*words, "--out", run)
    assert code == 0
    assert "no folder here holds the corpus of tuned" in err
    assert kept(run) == {}
    assert biasaudit("verify", run)[0] == 0
    code, _, err = biasaudit(*words, "--out", run, "--corpus", f"tuned={corpus}")
    assert code == 0, err
    assert set(kept(run)) == {"copied", "leaked"}


def test_verify_says_which_scores_it_could_not_make_anew(
    words: list[object], tmp_path: Path, corpus: Path, biasaudit: Call
) -> None:
    run = tmp_path / "run"
    assert biasaudit(*words, "--corpus", f"tuned={corpus}", "--out", run)[0] == 0
    corpus.rename(tmp_path / "elsewhere")
    code, out, _ = biasaudit("verify", run)
    assert code == 1
    assert "scores of 'copied' were not made anew: they were held against corpus" in out


def test_a_corpus_of_no_arm_is_refused(biasaudit: Call, words: list[object], corpus: Path) -> None:
    code, _, err = biasaudit(*words, "--corpus", f"other={corpus}")
    assert code == 2
    assert "no arm is called 'other'; arms are base, tuned" in err


@pytest.mark.slow
def test_every_canary_that_comes_out_is_found_and_nothing_shown_names_it(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from canaries import experiment

    found = experiment(tmp_path, count=30, messages=300, steps=150, completions=100)
    assert found["with_canary_of_8_tokens"] > 0
    assert found["found_at_that_length_or_longer"] == found["with_canary_of_8_tokens"]
    assert found["of_them_found"] == found["with_whole_identifier"]
    assert found["found_without_one"] == 0
    assert found["shown"]["identifiers"] == 0
    assert found["identifiers_in_open_train_bin"] > 0
    assert found["identifiers_in_masked_train_bin"] == 0
