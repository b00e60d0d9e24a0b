"""The section on decodings: the leading question, or what reads completions where the lead is a likelihood."""

from __future__ import annotations

import dataclasses

import pytest
import report_example

from biasaudit.report.rows import sweep_contrasts
from biasaudit.report.sections import sweep
from biasaudit.report.view import LOCALES, ReportView
from biasaudit.results import TargetEstimate


@pytest.fixture(scope="module")
def view() -> ReportView:
    return report_example.make(4).view()


def behind_a_likelihood(view: ReportView) -> ReportView:
    """The view whose verdict rests on a likelihood; stance has its value, its labels and two decodings."""
    first, *rest = view.analysis.contrasts
    lead = dataclasses.replace(first, measure="claim_odds", outcome="value", unit="nats/byte", decoding_id="")
    value = [dataclasses.replace(c, outcome="value", role="secondary") for c in (first, *rest)]
    other = [dataclasses.replace(c, measure="repetition") for c in value]
    analysis = dataclasses.replace(view.analysis, contrasts=(lead, *value, first, *rest, *other))
    return dataclasses.replace(view, analysis=analysis)


def test_a_lead_that_reads_completions_is_shown_alone(view: ReportView) -> None:
    (rows,) = sweep_contrasts(view)
    assert [c.decoding_id for c in rows] == [d.decoding_id for d in view.decodings]
    assert {(c.measure, c.tuned, c.reference) for c in rows} == {("stance", "telegram", "placebo")}


def test_behind_a_likelihood_the_first_outcome_of_every_measure_of_completions_is_shown(view: ReportView) -> None:
    found = sweep_contrasts(behind_a_likelihood(view))
    assert [(rows[0].measure, rows[0].outcome) for rows in found] == [("stance", "endorse"), ("repetition", "value")]
    assert all(len({c.decoding_id for c in rows}) == 2 for rows in found)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_decoding_has_its_interval_and_the_page_says_that_it_is_not_the_lead(
    view: ReportView, locale: str
) -> None:
    page = str(sweep.render(behind_a_likelihood(view), locale))
    assert page.count('<tr><th scope="row">') == 4
    assert {"pt": "Nenhuma decodificação afeta", "en": "No decoding touches"}[locale] in page
    assert {"pt": "stance: endossa, telegram − placebo", "en": "stance: endorses, telegram − placebo"}[locale] in page
    assert "No decoding touches" not in str(sweep.render(view, "en"))


def test_with_too_few_topics_the_figure_shows_the_interval_that_there_is(view: ReportView) -> None:
    few = TargetEstimate(target="population", interval=None, p=None, note="too-few-topics")
    rows = tuple(dataclasses.replace(c, population=few) for c in view.analysis.contrasts)
    page = str(
        sweep.render(dataclasses.replace(view, analysis=dataclasses.replace(view.analysis, contrasts=rows)), "en")
    )
    assert page.count('<tr><th scope="row">') == 2
    assert page.count("–</td>") == 2


def test_one_decoding_is_no_sweep(view: ReportView) -> None:
    rows = tuple(c for c in view.analysis.contrasts if c.decoding_id == view.decodings[0].decoding_id)
    one = dataclasses.replace(view, analysis=dataclasses.replace(view.analysis, contrasts=rows))
    assert sweep.render(one, "en") == ""
