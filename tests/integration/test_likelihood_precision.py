"""Likelihoods are computed in fp32 whatever completions are sampled in, and no model is loaded more often than needed."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import GPT2LMHeadModel

from biasaudit.battery.read import read_battery
from biasaudit.lm.tokenizer import load_tokenizer
from biasaudit.pipeline import sample

Call = Callable[..., tuple[int, str, str]]
NEXT = """
  next: {scorer: js}
  words: {scorer: nexttoken, words: {pt: [" o", " a"], en: [" the"]}}
primary:"""


@pytest.fixture
def words(arms: dict[str, Path], battery: Path) -> list[object]:
    """A run that samples in bf16, with measures over next tokens."""
    battery.write_text(battery.read_text(encoding="utf-8").replace("\nprimary:", NEXT, 1), encoding="utf-8")
    given = [word for name in ("tuned", "base") for word in ("--arm", f"{name}={arms[name]}")]
    return ["run", battery, *given, "--threads", 1, "--tile", 16, "--dtype", "bf16", "-n", 1, "-q"]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(arm, dtype) of every model that is loaded; at most one is alive."""
    found: list[tuple[str, str]] = []
    alive: list[weakref.ref[Any]] = []
    real = sample.open_backend

    def counted(arm: Any, machine: Any, **options: Any) -> Any:
        gc.collect()
        assert not [backend for backend in alive if backend() is not None]
        backend = real(arm, machine, **options)
        alive.append(weakref.ref(backend))
        found.append((arm.name, backend.numerics["dtype"]))
        return backend

    monkeypatch.setattr("biasaudit.pipeline.complete.open_backend", counted)
    return found


def scores(run: Path, measure: str) -> dict[tuple[str, str, str, str], float]:
    rows = pq.read_table(next((run / "scores").glob(f"{measure}-*"))).to_pylist()
    return {(r["arm_fingerprint"], r["prompt_id"], r["topic"], r["item"]): r["value"] for r in rows}


def plain(model: Any, tokenizer: Any, stem: str, text: str) -> float:
    """Nats per byte of a continuation, from one forward of transformers in fp32."""
    start, more = tokenizer.encode(stem), tokenizer.encode(text)
    with torch.inference_mode():
        law = torch.log_softmax(model(input_ids=torch.tensor([start + more])).logits[0].double(), -1)
    total = sum(float(law[len(start) - 1 + place, token]) for place, token in enumerate(more))
    return total / len(text.encode())


def test_likelihoods_are_those_of_transformers_in_fp32_though_sampling_is_in_bf16(
    biasaudit: Call, words: list[object], arms: dict[str, Path], battery: Path, tmp_path: Path
) -> None:
    run = tmp_path / "r"
    assert biasaudit(*words, "--out", run)[0] == 0
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["precision"] == "float32 on cpu"
    assert {n["dtype"] for n in manifest["numerics"].values()} == {"bfloat16"}
    prints = {arm["name"]: arm["fingerprint"] for arm in manifest["arms"]}
    read = read_battery(battery)
    odds, laws = scores(run, "claim-odds"), {}
    for name in ("base", "tuned"):
        model = GPT2LMHeadModel.from_pretrained(arms[name], dtype=torch.float32).eval()
        tokenizer = load_tokenizer(arms[name])
        pairs = [pair for pair in read.pairs if pair.stem.language == "pt"]
        assert pairs
        for pair in pairs:
            claim, counter = (plain(model, tokenizer, pair.stem.text, text) for text in (pair.claim, pair.counter))
            found = odds[prints[name], pair.stem.prompt_id, pair.topic, pair.item]
            assert found == pytest.approx(claim - counter, abs=1e-5)
        for prompt in (p for p in read.prompts if p.language == "pt"):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([tokenizer.encode(prompt.text)])).logits[0, -1].double()
            laws[name, prompt.prompt_id] = torch.softmax(logits[: tokenizer.vocab_size], 0)
    for key, value in scores(run, "next").items():
        if key[0] == prints["tuned"]:
            p, q = laws["tuned", key[1]], laws["base", key[1]]
            middle = (p + q) / 2
            js = float((p * (p / middle).log() + q * (q / middle).log()).sum() / 2)
            assert value == pytest.approx(js, abs=1e-5)


def test_each_arm_is_loaded_once_to_score_and_once_to_sample_and_never_beside_another(
    biasaudit: Call, words: list[object], loads: list[tuple[str, str]], tmp_path: Path
) -> None:
    assert biasaudit(*words, "--out", tmp_path / "r")[0] == 0
    half, full = "bfloat16", "float32"
    assert loads == [("base", full), ("base", half), ("tuned", full), ("tuned", half)]
    loads.clear()
    alike = ["fp32" if word == "bf16" else word for word in words]
    assert biasaudit(*alike, "--out", tmp_path / "alike")[0] == 0
    assert loads == [("base", full), ("tuned", full)]
    loads.clear()
    assert biasaudit(*words, "-n", 2, "--out", tmp_path / "r")[0] == 0
    assert loads == [("tuned", half), ("base", half)], "likelihoods that are stored load nothing"


def test_half_precision_is_used_where_it_is_asked_for_and_kept_apart(
    biasaudit: Call, words: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "r"
    assert biasaudit(*words, "--likelihood-dtype", "bf16", "--out", run)[0] == 0
    halves = scores(run, "claim-odds")
    assert json.loads((run / "manifest.json").read_text(encoding="utf-8"))["precision"] == "bfloat16 on cpu"
    assert biasaudit(*words, "--out", run)[0] == 0
    assert all(abs(value - halves[key]) > 0 for key, value in scores(run, "claim-odds").items())
    assert biasaudit("verify", run)[0] == 0
