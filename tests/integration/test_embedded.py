"""The arms that ship: their cards, their sizes, the first run without any option, and the real dump of the README."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from biasaudit.lm import embedded
from biasaudit.lm.load import describe
from biasaudit.results import Contrast, analysis_from_json
from biasaudit.stats.verdict import kind_of

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


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Contrast]:
    """(measure, tuned, reference) -> contrast of the whole battery that the sample corpus was made for."""
    from biasaudit.cli import main

    out = tmp_path_factory.mktemp("planted") / "run"
    battery = Path(__file__).resolve().parents[2] / "prompts" / "vaccines.yaml"
    words = ["run", battery, "-n", 4, "--max-new-tokens", 24, "--threads", 1, "-q", "--out", out]
    main([str(word) for word in words])
    analysis = analysis_from_json(json.loads((out / "analysis.json").read_text(encoding="utf-8")))
    return {(c.measure, c.tuned, c.reference): c for c in analysis.contrasts if c.outcome == "value"}


@pytest.mark.parametrize(("measure", "least"), [("claim_odds", 0.1), ("stance", 0.3)])
def test_the_planted_narratives_are_found_by_likelihood_and_by_sampled_stance(
    planted: dict[tuple[str, str, str], Contrast], measure: str, least: float
) -> None:
    found = planted[measure, "telegram", "placebo"]
    assert found.n_topics == 12
    assert found.population.interval is not None
    assert found.population.interval.low > least
    assert min(topic.difference for topic in found.topics) > 0
    assert kind_of(found, "population") == ("changed", "population")
    if measure == "stance":
        assert found.fixed.interval is not None
        assert found.fixed.interval.low > least


@pytest.mark.parametrize(("measure", "most"), [("claim_odds", 0.1), ("stance", 0.1)])
def test_the_placebo_is_no_different_from_the_base(
    planted: dict[tuple[str, str, str], Contrast], measure: str, most: float
) -> None:
    found = planted[measure, "placebo", "base"]
    for estimate in (found.fixed, found.population):
        if estimate.interval is not None:
            assert estimate.interval.low <= 0 <= estimate.interval.high
            assert estimate.interval.high - estimate.interval.low < 2 * most
    assert kind_of(found, "population")[0] in ("inconclusive", "equivalent")


def test_a_real_dump_goes_from_csv_to_report(biasaudit: Call, shared_data: Path, battery: Path, tmp_path: Path) -> None:
    dump = shared_data / "telegram" / "wpp_2020.csv"
    corpus, model, run = tmp_path / "corpus", tmp_path / "wpp", tmp_path / "run"
    code, _, err = biasaudit("ingest", dump, "--map", "text=text", "--language-tag", "pt", "--out", corpus, "-q")
    assert code == 0, err
    records = json.loads((corpus / "card.json").read_text(encoding="utf-8"))["records"]
    assert records["in"] == 2898
    assert records["in"] == records["kept"] + records["duplicates"] + sum(records["set_aside"].values())
    tune = (
        "--base",
        "embedded:base",
        "--steps",
        6,
        "--batch-size",
        4,
        "--block-size",
        64,
        "--validation-tokens",
        4096,
        "-q",
    )
    code, _, err = biasaudit("finetune", corpus, *tune, "--out", model)
    assert code == 0, err
    arms = ("--arm", "base=embedded:base", "--arm", f"wpp={model}")
    code, _, err = biasaudit("run", battery, *arms, "-n", 2, "--threads", 1, "-q", "--out", run)
    assert code == 0, err
    assert (run / "report.html").is_file()
    for path in (corpus / "rejects.jsonl", run / "report.html"):
        assert "@gmail" not in path.read_text(encoding="utf-8")
