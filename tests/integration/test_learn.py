"""`biasaudit learn`: a run is labelled, a scorer is learned from it, and the report says how far to trust it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biasaudit.labels import HumanLabel
from biasaudit.pipeline.audit import open_run
from biasaudit.store.labels import write_labels

Call = Callable[..., tuple[int, str, str]]
CLAIMS = [f"vacinas causam {what}" for what in ("febre", "sono", "gripe", "dor", "medo", "tosse", "fome", "raiva")]
BATTERY = """\
battery: taught
version: 1
title: {pt: Aprendido}
languages: [pt]
topics:
TOPICS
templates:
  q: {framing: neutral, pt: "É verdade que {claim}? Resposta:"}
sampling: {completions: 40, max_new_tokens: 8}
measures:
  said: {scorer: human}
LEARNED
primary: {measure: PRIMARY, outcome: F, target: population}
"""
SAID = {
    "F": ("tem um chip na vacina", "esconderam as mortes", "é um plano deles"),
    "T": ("a vacina é segura", "os estudos mostram", "não há chip nenhum"),
    "H": ("choveu em Recife", "receita de bolo", "o jogo de ontem"),
}


def written(folder: Path, model: Path | None) -> Path:
    topics = "\n".join(f'  t{k}: {{claim: {{pt: "{claim}"}}}}' for k, claim in enumerate(CLAIMS))
    learned = f"  taught: {{scorer: learned, model: {model}}}" if model else ""
    text = BATTERY.replace("TOPICS", topics).replace("LEARNED", learned)
    path = folder / "b.yaml"
    path.write_text(text.replace("PRIMARY", "taught" if model else "said"), "utf-8")
    return path


def test_a_run_teaches_a_scorer_whose_card_and_correction_stand_in_the_report(biasaudit: Call, tmp_path: Path) -> None:
    draw = random.Random(2)
    truth: dict[str, str] = {}
    for name, odds in (("base", (2, 6, 2)), ("tuned", (6, 2, 2))):
        rows = []
        for claim in CLAIMS:
            for k in range(40):
                label = draw.choices("FTH", odds)[0]
                text = f" {', '.join(draw.sample(SAID[label if draw.random() < 0.9 else 'H'], 2))} {name}{k}"
                truth[f"É verdade que {claim}? Resposta:{text}"] = label
                rows.append({"prompt": f"É verdade que {claim}? Resposta:", "completion": text})
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    words = [x for n in ("base", "tuned") for x in ("--arm", f"{n}=replay:{tmp_path / n}.jsonl")]
    run, model = tmp_path / "run", tmp_path / "m"
    words = [*words, "--out", run, "-q"]
    code, _, err = biasaudit("run", written(tmp_path, None), *words)
    assert code == 0, err
    code, _, err = biasaudit("learn", run, "--out", model)
    assert (code, "nobody gave the labels T, F, H" in err) == (2, True)

    label_half(run, truth)
    code, out, err = biasaudit("learn", run, "--out", model)
    assert code == 0, err
    assert "on 8 prompts, validated by 5 folds of whole prompts" in out
    assert "tuned: accuracy" in out
    card = json.loads((model / "card.json").read_text("utf-8"))
    assert (card["arms"], card["languages"], card["n"]) == (["base", "tuned"], ["pt"], 320)

    code, _, err = biasaudit("run", written(tmp_path, model), *words)
    assert code == 0, err
    scores = pq.read_table(next((run / "scores").glob("taught-*.parquet"))).to_pylist()
    assert len(scores) == 640
    assert {score["label"] for score in scores} == {"T", "F", "H"}
    analysis = json.loads((run / "analysis.json").read_text("utf-8"))
    assert analysis["badges"]["scorer_corrected"] is True
    assert analysis["exploratory"]["learned"][0]["strangers"] == []
    page = (run / "report.html").read_text("utf-8")
    assert card["arrays_sha256"][:12] in page
    assert "Avaliadores aprendidos" in page
    code, _, err = biasaudit("verify", run)
    assert code == 0, err
    (model / "model.npz").write_bytes(b"")
    code, _, err = biasaudit("score", run)
    assert (code, "the hash differs" in err) == (2, True)


def label_half(run: Path, truth: dict[str, str]) -> None:
    """One rater labels every other completion."""
    folder = open_run(run)
    prompts = {row["prompt_id"]: row["text"] for row in pq.read_table(run / "prompts.parquet").to_pylist()}
    labels = []
    for part in sorted((run / "completions").glob("part-*.parquet")):
        for row in pq.read_table(part).to_pylist():
            if row["index"] % 2:
                key = (
                    row["arm_fingerprint"],
                    row["prompt_id"],
                    row["decoding_id"],
                    row["seed"],
                    row["salt"],
                    row["index"],
                )
                labels.append(HumanLabel(key=key, label=truth[prompts[row["prompt_id"]] + row["text"]], rater="ana"))
    with folder.lock():
        write_labels(folder, labels)


@pytest.mark.parametrize("rest", [("--map", "x=text"), ("--language", "pt")])
def test_a_run_takes_no_words_of_a_table(biasaudit: Call, tmp_path: Path, rest: tuple[str, str]) -> None:
    code, _, err = biasaudit("learn", tmp_path, "--out", tmp_path / "m", *rest)
    assert (code, "go with a table" in err) == (2, True)
