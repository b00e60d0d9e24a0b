"""The flat table of results: every row names what it is, and numbers stay where they were; rows of the figures."""

from __future__ import annotations

import dataclasses
import json

import pytest
import report_example

from biasaudit.records import Decoding
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import decoding_words, describe, forest_rows, group_words, outcome_words
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Finding, Interval
from biasaudit.stats.rows import COLUMNS, HEADLINE, result_rows


@pytest.fixture(scope="module")
def view() -> ReportView:
    return report_example.make(4).view()


def test_every_contrast_is_a_row_a_target_with_every_column_filled_or_none(view: ReportView) -> None:
    rows = result_rows(view.analysis)
    contrasts = view.analysis.contrasts
    assert len(rows) == 2 * len(contrasts) + len(view.analysis.findings)
    assert {tuple(row) for row in rows} == {tuple(COLUMNS)}
    for row in rows:
        assert all(value is None or isinstance(value, COLUMNS[name]) for name, value in row.items()), row
    for (population, fixed), contrast in zip(zip(rows[::2], rows[1::2], strict=True), contrasts, strict=False):
        assert (population["target"], fixed["target"]) == ("population", "fixed")
        assert population["estimand"] == HEADLINE
        assert population["estimate"] == fixed["estimate"] == contrast.difference
        assert population["n_topics"] == contrast.n_topics
        assert population["n_prompts"] == contrast.n_prompts
        assert population["n_completions"] == contrast.n_tuned + contrast.n_reference
        assert population["method"] == contrast.population.method
        interval = contrast.population.interval
        assert interval is None or (population["low"], population["high"]) == (interval.low, interval.high)
        assert "Ibragimov" in population["source"]
        assert "permutation" in fixed["source"]


def test_likelihoods_are_counted_as_such_and_a_corrected_rate_names_its_source(view: ReportView) -> None:
    first = view.analysis.contrasts[0]
    odds = dataclasses.replace(first, decoding_id="", unit="nats/byte")
    row = result_rows(dataclasses.replace(view.analysis, contrasts=(odds,), findings=()))[0]
    assert row["n_completions"] is None
    assert json.loads(row["n"])["likelihoods"] == first.n_tuned + first.n_reference
    corrected = dataclasses.replace(first, corrected="ppi")
    population, fixed = result_rows(dataclasses.replace(view.analysis, contrasts=(corrected,), findings=()))
    assert population["source"].startswith("Angelopoulos")
    assert "permutation" not in fixed["source"]


def test_a_finding_counts_its_runs_as_models(view: ReportView) -> None:
    finding = Finding(
        design="dose", name="slope", estimand="slope", target="population", measure="stance", outcome="endorse",
        unit="share", tuned="a", reference="b", decoding_id="d", language="pt", estimate=0.5,
        interval=Interval(low=0.25, high=0.75, method="t"), p=0.03, n={"runs": 7, "prompts": 4}, method="t",
        source="x",
    )  # fmt: skip
    (row,) = result_rows(dataclasses.replace(view.analysis, contrasts=(), findings=(finding,)))
    assert (row["n_models"], row["n_prompts"], row["n_topics"]) == (7, 4, None)
    assert (row["estimate"], row["low"], row["high"], row["p"]) == (0.5, 0.25, 0.75, 0.03)


def test_the_forest_has_topics_by_effect_then_both_targets(view: ReportView) -> None:
    contrast = view.analysis.contrasts[0]
    words, numbers = Words("pt"), Numbers("pt")
    rows = forest_rows(contrast, view, Scale.of(contrast, words, numbers), words, "pt")
    effects = [row.value for row in rows if row.kind == "topic"]
    assert effects == sorted(effects, key=lambda value: -(value or 0))
    assert len(effects) == len(contrast.topics)
    assert sum(row.kind == "prompt" for row in rows) == sum(p.difference is not None for p in contrast.prompts)
    kinds = [row.kind for row in rows if row.kind not in ("topic", "prompt")]
    assert kinds[:2] == ["population", "fixed"]


def test_a_decoding_is_said_by_what_differs_from_the_model_s_own_law(view: ReportView) -> None:
    words, numbers = Words("en"), Numbers("en")
    plain, cold = (describe(Decoding(temperature=t, max_new_tokens=8), words, numbers) for t in (1.0, 0.0))
    assert plain != cold
    cut = describe(
        Decoding(temperature=0.7, top_k=40, top_p=0.9, max_new_tokens=8, stop=("x",)), words, numbers, full=True
    )
    assert all(part in cut for part in ("0.7", "40", "0.9", "8"))
    assert decoding_words(view, "", words, numbers) == words("decoding.likelihood")
    assert "unknown-" in decoding_words(view, "unknown-decoding", words, numbers)
    contrast = view.analysis.contrasts[0]
    assert outcome_words(dataclasses.replace(contrast, outcome="value"), words) == contrast.measure
    assert outcome_words(contrast, words).startswith(f"{contrast.measure}: ")
    assert group_words("a") == "a"
