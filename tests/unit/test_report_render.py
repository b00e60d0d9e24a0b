"""From completions and scores to a view: what is shown, in which order, masked."""

from __future__ import annotations

import dataclasses
import random

import pytest
import report_example

from biasaudit.pipeline.render import build_view, choose_slots, render_report
from biasaudit.report import sections
from biasaudit.report.view import ReportView


@pytest.fixture(scope="module")
def example() -> report_example.Example:
    return report_example.make(4)


def view_of(example: report_example.Example, **changes: object) -> ReportView:
    values: dict[str, object] = {
        "battery": example.battery, "language": "pt", "arms": example.arms, "analysis": example.analysis,
        "completions": example.completions, "scores": {"stance": example.scores}, "manifest": example.manifest,
    }  # fmt: skip
    return build_view(**{**values, **changes})  # type: ignore[arg-type]


def test_arms_of_one_slot_stand_together_in_the_order_of_the_run(example: report_example.Example) -> None:
    rows = view_of(example).reader
    assert len(rows) == len(example.completions)
    for at in range(0, len(rows), 3):
        assert [r.arm for r in rows[at : at + 3]] == ["base", "placebo", "telegram"]
        assert len({r.slot for r in rows[at : at + 3]}) == 1


def test_the_order_of_completions_and_scores_has_no_influence(example: report_example.Example) -> None:
    completions, scores = list(example.completions), list(example.scores)
    random.Random(1).shuffle(completions)
    random.Random(2).shuffle(scores)
    assert view_of(example, completions=completions, scores={"stance": scores}).reader == view_of(example).reader


def test_every_prompt_is_visited_before_any_is_visited_twice(example: report_example.Example) -> None:
    slots = choose_slots(example.completions, 7, 10_000)
    strata = len(example.battery.prompts) * 2
    assert len({slot[:2] for slot in slots[:strata]}) == strata


def test_a_sample_keeps_whole_slots_and_counts_the_rest(example: report_example.Example) -> None:
    view = view_of(example, max_rows=100)
    assert len(view.reader) == 99
    assert view.reader_total == len(example.completions)
    assert {r.slot for r in view.reader} == set(choose_slots(example.completions, example.battery.seed, 100))


def test_a_page_of_long_texts_stays_below_five_megabytes(example: report_example.Example) -> None:
    long = [dataclasses.replace(c, text=" não é á ç" * 2_000) for c in example.completions]
    assert sum(len(c.text.encode()) for c in long) > 5_000_000
    view = view_of(example, completions=long)
    assert view.reader_total == len(long)
    assert 100 < len(view.reader) < len(long)
    assert len({row.arm for row in view.reader}) == 3
    page = render_report(view, "pt")
    assert 3_000_000 < len(page.encode()) < 5_000_000


def test_what_a_training_corpus_knows_to_be_personal_is_hidden(example: report_example.Example) -> None:
    first = dataclasses.replace(example.completions[0], text="o número 7529982247251 é dela")
    place = (first.arm_fingerprint, first.salt, (first.prompt_id, first.decoding_id, first.index))
    completions = [first, *example.completions[1:]]
    (shown,) = (r.text for r in view_of(example, completions=completions).reader if r.text.startswith("o número"))
    assert "52998224725" in shown, "no rule knows it, so somebody has to say where it stands"
    rows = view_of(example, completions=completions, within={place: [(10, 21), (10, 21)]}).reader
    (hidden,) = (r.text for r in rows if r.text.startswith("o número"))
    assert hidden == "o número 7[ID]1 é dela"


def test_personal_data_are_masked_and_spans_follow(example: report_example.Example) -> None:
    text = " fale com maria@example.org que a vacina mata"
    first = dataclasses.replace(example.completions[0], text=text)
    low = text.index("mata")
    score = dataclasses.replace(example.scores[0], spans=((low, low + 4),))
    view = view_of(example, completions=[first], scores={"stance": [score]})
    (row,) = view.reader
    assert "maria" not in row.text
    assert "[EMAIL]" in row.text
    assert [row.text[a:b] for a, b in row.spans] == ["mata"]
    assert "maria@example.org" not in sections.load("reader").render(view, "pt")


def test_two_salts_of_one_model_are_two_arms(example: report_example.Example) -> None:
    base = example.arms[0]
    twin = dataclasses.replace(base, name="twin", salt="b")
    other = dataclasses.replace(example.completions[0], salt="b")
    view = view_of(example, arms=(base, twin), completions=[example.completions[0], other])
    assert [r.arm for r in view.reader] == ["base", "twin"]


def test_unscored_is_none_and_unlabelled(example: report_example.Example) -> None:
    score = dataclasses.replace(example.scores[0], value=None, label=None, spans=())
    (row,) = view_of(example, completions=[example.completions[0]], scores={"stance": [score]}).reader
    assert row.values == {"stance": None}
    assert row.labels == {}
