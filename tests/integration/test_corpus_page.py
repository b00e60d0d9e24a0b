"""From a corpus to the report of a model trained on it: the data card travels, is checked and is linked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus_card_example
import pytest

from biasaudit.pipeline.corpus_page import CARD, corpus_page, matches, model_card
from biasaudit.report.corpus_page import COMPLETE

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "-q")


@pytest.fixture
def trained(arms: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """`base` without a data card, `tuned` with one whose hash its card names."""
    found = {name: shutil.copytree(arms[name], tmp_path / name) for name in ("base", "tuned")}
    card = corpus_card_example.make(200)
    (found["tuned"] / CARD).write_text(json.dumps(card), encoding="utf-8")
    named = {"corpora": [{"name": "grupo", "fingerprint": card["fingerprint"]}]}
    (found["tuned"] / "card.json").write_text(json.dumps(named), encoding="utf-8")
    return found


def run_of(biasaudit: Call, battery: Path, trained: dict[str, Path], out: Path, *more: object) -> Path:
    words = [word for name, path in trained.items() for word in ("--arm", f"{name}={path}")]
    code, _, err = biasaudit("run", battery, *words, *FAST, "-n", 2, "--out", out, *more)
    assert code == 0, err
    return out


def test_the_page_of_the_corpus_stands_beside_the_report_and_is_linked(
    biasaudit: Call, battery: Path, trained: dict[str, Path], tmp_path: Path
) -> None:
    run = run_of(biasaudit, battery, trained, tmp_path / "run", "--report-language", "en")
    pages = sorted(path.name for path in run.glob("corpus-*.html"))
    assert len(pages) == 1
    page, report = (run / pages[0]).read_text(encoding="utf-8"), (run / "report.html").read_text(encoding="utf-8")
    assert COMPLETE in page
    assert "hash for hash" in page
    assert f'href="{pages[0]}"' in report
    assert "no data card" in report
    listed = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert {pages[0], pages[0].replace(".html", ".json"), "report.html"} <= set(listed)
    assert biasaudit("verify", run)[0] == 0


def test_a_later_report_does_not_need_the_models(
    biasaudit: Call, battery: Path, trained: dict[str, Path], tmp_path: Path
) -> None:
    run = run_of(biasaudit, battery, trained, tmp_path / "run")
    for path in trained.values():
        shutil.rmtree(path)
    assert biasaudit("report", run, "--report-language", "pt")[0] == 0
    page = next(run.glob("corpus-*.html")).read_text(encoding="utf-8")
    assert "ficha de dados biasaudit" in page
    assert next(run.glob("corpus-*.html")).name in (run / "report.html").read_text(encoding="utf-8")


def test_another_corpus_s_card_is_called_that(
    biasaudit: Call, battery: Path, trained: dict[str, Path], tmp_path: Path
) -> None:
    other = corpus_card_example.make(210, shards={"train.bin": "1" * 64, "val.bin": "2" * 64})
    (trained["tuned"] / CARD).write_text(json.dumps(other), encoding="utf-8")
    run = run_of(biasaudit, battery, trained, tmp_path / "run", "--report-language", "en")
    assert "the hashes differ" in (run / "report.html").read_text(encoding="utf-8")
    assert "names another corpus than this one" in next(run.glob("corpus-*.html")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"kind": "biasaudit corpus", "x": "\\ud800"}', "[" * 9999,
     '{"kind": "biasaudit corpus", "x": ' + "[" * 60 + "]" * 60 + "}", '{"kind": 5}', "\xff"],
)  # fmt: skip
def test_a_damaged_card_is_no_card_and_stops_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / CARD).write_bytes(text.encode("latin-1"))
    assert model_card(str(tmp_path)) is None


def test_a_hub_name_takes_no_card_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CARD).write_text('{"kind": "biasaudit corpus"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert model_card("gpt2") is None
    assert model_card(".") == {"kind": "biasaudit corpus"}


@pytest.mark.parametrize(
    ("card", "model", "expected"),
    [
        ({"fingerprint": "a"}, {"corpora": [{"fingerprint": "a"}]}, "same"),
        ({"fingerprint": "a"}, {"corpora": [{"fingerprint": "b"}]}, "differs"),
        ({}, {"corpora": [{"fingerprint": "b"}]}, "unknown"),
        ({"fingerprint": "a"}, {}, "unknown"),
        ({"fingerprint": "a"}, {"corpora": "abc"}, "unknown"),
        ({"fingerprint": ["a"]}, {"corpora": [{"fingerprint": "a"}, 5]}, "unknown"),
    ],
)
def test_hashes_decide_whether_a_card_is_the_models_own(
    card: dict[str, Any], model: dict[str, Any], expected: str
) -> None:
    assert matches(card, model) == expected


@pytest.mark.parametrize("name", ["base", "placebo", "telegram"])
def test_the_embedded_arms_come_with_the_card_of_what_they_were_trained_on(name: str) -> None:
    from biasaudit.lm import embedded

    card = model_card(f"embedded:{name}")
    assert card is not None
    model = json.loads((embedded.folder(name) / "card.json").read_text(encoding="utf-8"))
    assert matches(card, model) == "same"
    assert card["train_tokens"] == model["train_tokens"]
    assert COMPLETE in corpus_page(card, "pt", arm=name, match="same")


def test_finetune_takes_the_card_of_its_corpus_along(biasaudit: Call, arms: dict[str, Path], tmp_path: Path) -> None:
    dump = tmp_path / "grupo.csv"
    rows = "".join(f"{i},5,2021-03-{i % 28 + 1:02} 10:00:00+00:00,bom dia a todos {i}\n" for i in range(300))
    dump.write_text(f"id,channel_id,date,message\n{rows}", encoding="utf-8")
    corpus, out = tmp_path / "corpus", tmp_path / "tuned"
    assert biasaudit("ingest", dump, "--out", corpus, "--tokenizer", arms["base"], "-q")[0] == 0
    code, _, err = biasaudit(
        "finetune", corpus, "--base", arms["base"], "--out", out, "--steps", 2, "--batch-size", 2, "--block-size", 16, "-q",
    )  # fmt: skip
    assert code == 0, err
    card = model_card(str(out))
    assert card is not None
    own = json.loads((corpus / "card.json").read_text(encoding="utf-8"))
    assert {**own, "fingerprint": card["fingerprint"]} == card
    assert matches(card, json.loads((out / "card.json").read_text(encoding="utf-8"))) == "same"
