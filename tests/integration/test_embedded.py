"""The arms that ship: their cards, their sizes, the first run without any option, and the real dump of the README."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from biasaudit.lm import embedded
from biasaudit.lm.load import describe

Call = Callable[..., tuple[int, str, str]]
SAME = (
    "base_fingerprint",
    "tokens",
    "steps",
    "learning_rate",
    "batch_size",
    "block_size",
    "seed",
    "tokenizer_fingerprint",
)


def card(name: str) -> dict[str, object]:
    return dict(json.loads((embedded.folder(name) / "card.json").read_text(encoding="utf-8")))


def test_three_arms_ship_and_none_is_larger_than_twelve_megabytes() -> None:
    assert embedded.names() == ["base", "placebo", "telegram"]
    for name in embedded.names():
        assert sum(p.stat().st_size for p in embedded.folder(name).iterdir()) <= 12e6


def test_telegram_and_placebo_differ_in_their_corpus_only() -> None:
    telegram, placebo = card("telegram"), card("placebo")
    assert {k: telegram[k] for k in SAME} == {k: placebo[k] for k in SAME}
    assert telegram["corpora"] != placebo["corpora"]
    assert (telegram["role"], placebo["role"], card("base")["role"]) == ("tuned", "placebo", "base")


@pytest.mark.parametrize("name", ["base", "placebo", "telegram"])
def test_a_card_names_what_the_weights_are(name: str) -> None:
    info, own = describe(f"embedded:{name}"), card(name)
    assert info.fingerprint == own["fingerprint"]
    assert info.tokenizer_fingerprint == own["tokenizer_fingerprint"] == card("base")["tokenizer_fingerprint"]
    assert info.language == "pt"
    assert 4e6 <= info.parameters <= 6e6
    assert "share-alike" in str(own["licence"])
    assert len(own["unselected_completions"]) == 10  # type: ignore[arg-type]
    if name != "base":
        assert own["base_fingerprint"] == describe("embedded:base").fingerprint


def test_the_base_reads_held_out_text_better_than_xz() -> None:
    own = card("base")
    measured = own["against_xz"]
    assert measured["base_bits_per_byte"] < measured["xz_bits_per_byte"]  # type: ignore[index]
    assert measured["portuguese"] >= 0.9 * measured["of"]  # type: ignore[index]


def test_the_first_run_needs_no_option_and_says_which_arms_it_takes(
    biasaudit: Call, battery: Path, tmp_path: Path
) -> None:
    code, out, err = biasaudit("run", battery, "-n", 2, "--out", tmp_path / "r", "--threads", 1)
    assert code == 0, err
    assert "embedded arms base, placebo and telegram" in err
    analysis = json.loads((tmp_path / "r" / "analysis.json").read_text(encoding="utf-8"))
    primary = [c for c in analysis["contrasts"] if c["role"] == "primary"]
    assert [(c["tuned"], c["reference"], c["measure"]) for c in primary] == [("telegram", "placebo", "claim_odds")]
    assert out.strip().endswith("report.html")


def test_a_real_dump_goes_from_csv_to_report(biasaudit: Call, shared_data: Path, battery: Path, tmp_path: Path) -> None:
    dump = shared_data / "telegram" / "wpp_2020.csv"
    corpus, model, run = tmp_path / "corpus", tmp_path / "wpp", tmp_path / "run"
    code, _, err = biasaudit("ingest", dump, "--map", "text=text", "--language-tag", "pt", "--out", corpus, "-q")
    assert code == 0, err
    records = json.loads((corpus / "card.json").read_text(encoding="utf-8"))["records"]
    assert records["in"] == 2898
    assert records["in"] == records["kept"] + records["duplicates"] + sum(records["set_aside"].values())
    tune = ("--base", "embedded:base", "--steps", 6, "--batch-size", 4, "--block-size", 64, "-q")
    code, _, err = biasaudit("finetune", corpus, *tune, "--out", model)
    assert code == 0, err
    arms = ("--arm", "base=embedded:base", "--arm", f"wpp={model}")
    code, _, err = biasaudit("run", battery, *arms, "-n", 2, "--threads", 1, "-q", "--out", run)
    assert code == 0, err
    assert (run / "report.html").is_file()
    for path in (corpus / "rejects.jsonl", run / "report.html"):
        assert "@gmail" not in path.read_text(encoding="utf-8")
