"""`biasaudit check` against a training corpus and against arms, and its exit codes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from biasaudit.battery.read import read
from biasaudit.pipeline.check_against import in_corpus
from biasaudit.pipeline.ingest import ingest

pytest.importorskip("pydivsufsort")

Call = Callable[..., tuple[int, str, str]]
BATTERY = """\
battery: known
version: 1
title: {pt: Conhecida}
languages: [pt]
topics:
  cold:
    claim: {pt: "a vacina foi guardada naquela noite de chuva forte"}
    pairs: {pt: [[" a vacina sumiu.", " a vacina não sumiu."], [" o posto não abriu.", " o posto abriu."]]}
  chip: {claim: {pt: "o chip"}, pairs: {pt: [[" há chip.", " não há chip."], [" nada falta.", " algo falta."]]}}
stems: {truth: {pt: "A verdade é que"}, heard: {pt: "Contam na rua que"}}
templates:
  known: {pt: "Ninguém sabe onde {claim}"}
  other: {pt: "Será que {claim}?"}
  third: {pt: "Perguntaram se {claim}. Ele"}
measures: {odds: {scorer: likelihood}}
primary: {measure: odds, target: fixed, margin: 0.02 nats/byte}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    texts = [f"mensagem número {n} do grupo da cidade, com a notícia do dia {n * 7}" for n in range(40)]
    texts[20] = "Ninguém sabe onde a vacina foi guardada naquela noite de chuva forte"
    with (folder / "dump.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["id", "channel_id", "date", "message"])
        writer.writerows([n, 1, f"2021-01-{1 + n % 28:02}", text] for n, text in enumerate(texts))
    ingest([folder / "dump.csv"], folder / "one", tokenizer="embedded:base")
    return folder / "one"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known.yaml"
    path.write_text(BATTERY, encoding="utf-8")
    return path


def test_a_prompt_that_stands_in_the_corpus_is_told_at_its_line(known: Path, corpus: Path) -> None:
    found = [str(finding) for finding in in_corpus(read(known), corpus)]
    whole = next(text for text in found if "the whole of the prompt `known` on `cold` stands in one" in text)
    assert whole.startswith(f"{known}:12:15: ")
    assert "memory, not leaning" in whole
    assert not any("`chip`" in text for text in found)


def test_a_stem_that_stands_in_the_corpus_is_told_once_and_not_with_every_claim(tmp_path: Path, corpus: Path) -> None:
    pairs = "{pairs: {pt: [[' um.', ' não um.'], [' não dois.', ' dois.']]}}"
    path = tmp_path / "stem.yaml"
    path.write_text(
        "battery: b\nversion: 1\ntitle: {pt: B}\nlanguages: [pt]\n"
        f"topics:\n  a: {pairs}\n  b: {pairs.replace('um', 'três')}\n"
        "stems:\n  known: {pt: Ninguém sabe onde a vacina foi guardada naquela noite de chuva forte}\n  new: {pt: Vi que}\n"
        "measures: {odds: {scorer: likelihood}}\n",
        encoding="utf-8",
    )
    (told,) = [str(finding) for finding in in_corpus(read(path), corpus)]
    assert told.startswith(f"{path}:9:15: ")
    assert "of the stem `known` stand" in told


def test_warnings_leave_0_and_strict_makes_them_2(known: Path, corpus: Path, biasaudit: Call) -> None:
    code, out, _ = biasaudit("check", known)
    assert (code, "warning:" in out) == (0, False)
    code, out, _ = biasaudit("check", known, "--corpus", corpus)
    assert code == 0
    assert "[in-corpus]" in out
    assert biasaudit("check", known, "--corpus", corpus, "--strict")[0] == 2
    assert biasaudit("check", known, "--strict")[0] == 0
    code, _, err = biasaudit("check", known, "--corpus", known.parent)
    assert code == 2
    assert "Give a folder that ingest wrote" in err
    known.write_text("battery: 5\n", encoding="utf-8")
    assert biasaudit("check", known)[0] == 2


def test_arms_of_a_language_that_the_battery_does_not_speak_are_told(known: Path, biasaudit: Call) -> None:
    known.write_text(BATTERY.replace("{pt:", "{en:").replace("[pt]", "[en]"), encoding="utf-8")
    code, out, _ = biasaudit("check", known, "--arm", "base=embedded:base")
    assert code == 0
    assert "no arm speaks a language of the battery (base pt)" in out
    assert "[arm-language]" in out
