"""Completions, scores and prompts as Arrow tables and back."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.errors import StoreError
from biasaudit.records import Completion, Prompt, Score
from biasaudit.store import tables
from biasaudit.store.run import RunFolder

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def completion(index: int = 0, **fields) -> Completion:
    values = {
        "arm_fingerprint": "a" * 32,
        "prompt_id": "p" * 32,
        "decoding_id": "d" * 32,
        "seed": 1337,
        "salt": "",
        "index": index,
        "text": "olá",
        "token_ids": (1, 2),
        "logprobs": (-0.5, -1.25),
        "finish_reason": "eos",
        "numerics": "n",
    }
    return Completion(**{**values, **fields})


@st.composite
def completions(draw) -> Completion:
    ids = draw(st.lists(st.integers(0, 2**31 - 1), max_size=4))
    return completion(
        index=draw(st.integers(0, 10**6)),
        arm_fingerprint=draw(st.sampled_from("abc")),
        prompt_id=draw(st.sampled_from("pqr")),
        seed=draw(st.integers(-(2**63), 2**63 - 1)),
        salt=draw(TEXT),
        text=draw(TEXT),
        token_ids=tuple(ids),
        logprobs=tuple(draw(st.lists(FLOATS, min_size=len(ids), max_size=len(ids)))),
        finish_reason=draw(st.sampled_from(["eos", "stop", "length"])),
    )


@settings(max_examples=40)
@given(st.lists(completions(), max_size=20, unique_by=lambda row: row.key), st.randoms(use_true_random=False))
def test_completions_read_back_exactly_and_in_one_order(rows: list[Completion], rng: random.Random) -> None:
    table = tables.completions_table(rows)
    assert list(tables.completions_from_table(table)) == sorted(rows, key=lambda row: row.key)
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert tables.completions_table(shuffled).equals(table)


def test_logprobs_keep_every_bit_of_fp32() -> None:
    values = np.frombuffer(random.Random(1).randbytes(4 * 5000), dtype=np.float32)
    values = values[np.isfinite(values)]
    row = completion(token_ids=(1,) * len(values), logprobs=tuple(values.tolist()))
    (back,) = tables.completions_from_table(tables.completions_table([row]))
    assert np.array_equal(np.array(back.logprobs, dtype=np.float32).view(np.uint32), values.view(np.uint32))


def test_a_slice_and_many_parts_read_back_right(tmp_path: Path) -> None:
    rows = [completion(i, token_ids=(i,) * (i % 4), logprobs=(-1.0,) * (i % 4)) for i in range(20_000)]
    table = tables.completions_table(rows)
    assert list(tables.completions_from_table(table.slice(9_000, 8_500))) == rows[9_000:17_500]
    run = RunFolder.create(tmp_path / "run")
    with run.lock():
        run.commit_part("completions", "u1", tables.completions_table(rows[:50]))
        run.commit_part("completions", "u2", tables.completions_table(rows[50:99]))
    assert list(tables.completions_from_table(run.read("completions"))) == rows[:99]
    key = rows[0].key[:5]
    assert tables.held_ranges(run.tables("completions", tables.KEY_COLUMNS)) == {key: [(0, 99)]}


def test_a_completion_that_came_twice_is_refused() -> None:
    with pytest.raises(StoreError, match="came twice"):
        tables.completions_table([completion(3), completion(3)])
    with pytest.raises(StoreError, match="stored twice"):
        tables.held_ranges([tables.completions_table([completion(3)])] * 2)


def test_lone_surrogates_never_reach_the_disk() -> None:
    (back,) = tables.completions_from_table(tables.completions_table([completion(text="a\ud800b")]))
    assert back.text == "a\ufffdb"
    with pytest.raises(StoreError, match="does not fit its column"):
        tables.prompts_table([Prompt(text="\ud800", language="pt", topic="t", template="q")])


@pytest.mark.parametrize("fields", [{"index": 2**31}, {"seed": 2**63}, {"token_ids": (2**31,)}])
def test_numbers_that_do_not_fit_are_refused(fields: dict) -> None:
    with pytest.raises(StoreError, match="does not fit its column"):
        tables.completions_table([completion(**fields)])


def test_held_ranges_have_holes_where_completions_are_missing() -> None:
    rows = [completion(i, prompt_id=p) for p in "pq" for i in (*range(5), 7, 9, 10)]
    held = tables.held_ranges([tables.completions_table(rows[:7]), tables.completions_table(rows[7:])])
    assert held == {("a" * 32, p, "d" * 32, 1337, ""): [(0, 5), (7, 8), (9, 11)] for p in "pq"}
    assert tables.held_ranges([tables.completions_table([])]) == {}


SCORES = [
    Score(measure="odds", arm_fingerprint="a", prompt_id="p", topic="t", item="pair0", value=0.1 + 0.2),
    Score(measure="odds", arm_fingerprint="a", prompt_id="p", topic="t", item="pair1", value=None),
    Score(measure="stance", arm_fingerprint="a", prompt_id="p", topic="t", decoding_id="d", seed=1, index=0, value=1.0, label="yes", spans=((0, 4), (9, 12))),
    Score(measure="stance", arm_fingerprint="a", prompt_id="p", topic="t", decoding_id="d", seed=1, index=1, value=-0.0, label=""),
]  # fmt: skip


def test_scores_read_back_exactly_and_in_one_order() -> None:
    table = tables.scores_table(SCORES[::-1])
    assert list(tables.scores_from_table(table)) == SCORES
    assert table.schema == tables.SCORES


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    row = Score(measure="odds", arm_fingerprint="a", prompt_id="p", topic="t", value=value)
    with pytest.raises(StoreError, match="None for unscored"):
        tables.scores_table([row])


def test_prompts_keep_the_order_of_their_battery() -> None:
    prompts = [
        Prompt(
            text=f"Vacina {i}\n", language="pt", topic="t", template="q", groups=(("who", "f"), ("x", "y")), pair="k"
        )
        for i in (3, 1, 2)
    ]
    table = tables.prompts_table(prompts)
    assert list(tables.prompts_from_table(table)) == prompts
    edited = table.set_column(1, table.schema.field(1), [["a", "b", "c"]])
    with pytest.raises(StoreError, match="it was edited"):
        list(tables.prompts_from_table(edited))
    with pytest.raises(StoreError, match="lacks the column text"):
        list(tables.prompts_from_table(table.drop_columns("text")))
