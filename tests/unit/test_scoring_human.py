"""Human labels as values and as a scorer: majorities, divided readers, scales, topics, a battery's own labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit import scoring
from biasaudit.errors import InputError, StoreError
from biasaudit.labels import DEFAULT, HumanLabel, ReadsLabels, decided, label_set, majority
from biasaudit.records import Completion, Prompt, Score
from biasaudit.store import labels as stored
from biasaudit.store.run import RunFolder

PROMPT = Prompt(text="É verdade?", language="pt", topic="chip", template="q")


def completion(index: int) -> Completion:
    return Completion(
        arm_fingerprint="A", prompt_id=PROMPT.prompt_id, decoding_id="D", seed=1, salt="", index=index, text="x",
        token_ids=(), logprobs=(), finish_reason="eos", numerics="N",
    )  # fmt: skip


def said(index: int, label: str, rater: str = "ana", **more: Any) -> HumanLabel:
    return HumanLabel(key=completion(index).key, label=label, rater=rater, **more)


def score(labels: list[HumanLabel], options: Mapping[str, Any], index: int = 0) -> Score:
    scorer = scoring.build("human", options, "m", "pt")
    assert isinstance(scorer, ReadsLabels)
    return scorer.given(labels)(completion(index), PROMPT)


def test_what_most_readers_said_at_first_sight_counts() -> None:
    labels = [said(0, "F"), said(0, "T", pass_number=2), said(0, "F", "bia"), said(0, "H", "cid"), said(1, "T")]
    assert (score(labels, {}).value, score(labels, {}).label) == (1.0, "F")
    assert (score(labels, {}, 1).value, score(labels, {}, 1).label) == (0.0, "T")
    assert score(labels, {"rater": "cid"}).label == "H"
    assert score(labels, {"outcome": "T"}, 1).value == 1.0


def test_the_unread_and_the_divided_are_unscored() -> None:
    labels = [said(0, "F"), said(0, "T", "bia")]
    assert (score(labels, {}).value, score(labels, {}).label) == (None, None)
    assert score(labels, {}, 5).value is None
    assert decided(labels) == {completion(0).key: None}


def test_a_second_reading_never_outvotes_the_first() -> None:
    labels = [said(0, "T", pass_number=2), said(0, "F")]
    assert score(labels, {}).label == "F"


def test_on_topic_and_scales_are_outcomes_too() -> None:
    labels = [said(0, "F", on_topic=True), said(1, "H", on_topic=False), said(2, "T")]
    topic = {"reads": "on_topic"}
    assert [score(labels, topic, k).value for k in range(3)] == [1.0, 0.0, None]
    assert scoring.card("human", topic).labels == ("on_topic", "off_topic")
    scale = {"labels": {"a": {"pt": "pouco", "value": 1}, "b": {"pt": "muito", "value": 5}}}
    own = label_set(scale["labels"], "x")
    found = score([said(0, "b", set_id=own.set_id)], scale)
    assert (found.value, found.label) == (5.0, "b")
    card = scoring.card("human", scale)
    assert (card.unit, card.range, card.labels) == ("points of the scale", (1, 5), ("a", "b"))
    assert score([said(0, "b")], scale).value is None, "labels of another set say nothing here"


def test_the_card_knows_the_sides_of_a_batterys_own_labels() -> None:
    own = {
        "sim": {"pt": "Sim", "side": "endorse"},
        "nao": {"pt": "Não", "side": "refute"},
        "x": {"pt": "?", "side": "aside"},
    }
    card = scoring.card("human", {"labels": own})
    assert (card.labels, card.sides, card.aside) == (("sim", "nao", "x"), ("sim", "nao"), ("x",))
    assert (scoring.card("human", {}).sides, scoring.card("human").aside) == (("F", "T"), ("H",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"a": "A"}}, "2 to 9 labels"),
        ({"labels": {"a": "A", "b": "B"}}, "say which label is the outcome"),
        ({"labels": {"a": {"pt": "A", "side": "left"}, "b": "B"}}, "side of label 'a'"),
        ({"labels": {"a": {"pt": "A", "value": "1"}, "b": "B"}}, "must be a number"),
        ({"labels": {"a": {"title": "A"}, "b": "B"}}, "has no 'title'"),
        ({"labels": {"a": 3, "b": "B"}}, "needs a title"),
        ({"outcome": "X"}, "none of the labels T, F, H"),
        ({"reads": "text"}, "must be one of label, on_topic"),
        ({"raters": "x"}, "has no option 'raters'"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scoring.build("human", options, "m", "pt")


def test_labels_are_found_by_key_and_by_title() -> None:
    assert [DEFAULT.find(word) for word in ("f", " F ", "falso", "FALSE", "v")] == ["F", "F", "F", "F", None]


@given(st.lists(st.sampled_from("TFH"), max_size=9))
def test_a_majority_is_larger_than_every_other_share(words: list[str]) -> None:
    found = majority(words)
    counts = sorted((words.count(word) for word in set(words)), reverse=True)
    if found is None:
        assert not counts or (len(counts) > 1 and counts[0] == counts[1])
    else:
        assert words.count(found) == counts[0]
        assert len(counts) == 1 or counts[0] > counts[1]


def test_a_run_keeps_labels_to_the_last_field_and_tells_damage(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    labels = [
        said(0, "F", on_topic=False, note="é \u2028 ó", at="2026", imported="2027", batch="b", place=3),
        said(1, "T", "Zé da Silva", mark=True), said(2, "H", pass_number=2),
    ]  # fmt: skip
    with run.lock():
        names = stored.write_labels(run, labels)
        key = stored.secret(run)
        run.seal()
    assert sorted(stored.read_labels(run), key=lambda one: one.key) == labels
    assert stored.secret(run) == key
    assert len(key) == 32
    assert run.verify() == []
    assert stored.raters(run.path) == ["Zé da Silva", "ana"]
    path = run.path / names[0]
    path.write_bytes(path.read_bytes().replace(b'"F"', b'"T"').replace(b'"T"', b'"F"', 1))
    assert run.verify() != []
    with pytest.raises(StoreError, match="damaged"):
        stored.read_labels(run)


def test_keyed_hashes_follow_from_nothing_but_key_and_parts() -> None:
    parts = ("item", "b", ("A", 1))
    assert stored.keyed(b"k" * 32, *parts) == stored.keyed(b"k" * 32, *parts)
    assert len({stored.keyed(bytes([k]) * 32, *parts) for k in range(200)}) == 200


def test_a_label_is_a_value() -> None:
    one = said(0, "F")
    assert dataclasses.replace(one, note="x") != one
