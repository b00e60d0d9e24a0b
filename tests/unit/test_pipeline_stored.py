"""Reading what a run has stored: in key order, only what is asked for, however the parts were cut."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from biasaudit.battery.read import read_battery
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.stored import Stored, as_arrays, rows_of
from biasaudit.records import Arm, Completion, Decoding, Score
from biasaudit.store.contents import ROWS_A_GROUP, ParquetPieces, parquet_table
from biasaudit.store.run import RunFolder
from biasaudit.store.tables import SCORES, completions_from_table, completions_table, scores_table

BATTERY = Path(__file__).parents[2] / "prompts" / "vaccines.yaml"
ARMS = tuple(
    Arm(name=name, spec=name, role=role, fingerprint=name * 4, tokenizer_fingerprint="t")
    for name, role in (("base", "base"), ("tuned", "tuned"))
)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Two arms, three prompts, seven completions each, in parts cut at random; and more that no plan asks for."""
    battery = read_battery(BATTERY)
    prompts = tuple(p for p in battery.prompts if p.language == "pt")[:3]
    decoding = Decoding()
    plan = RunPlan(
        battery=battery, arms=ARMS, language="pt", prompts=prompts, decodings=(decoding,), completions=5, seed=1,
        memory={},
    )  # fmt: skip
    rows = [
        Completion(
            arm_fingerprint=arm.fingerprint, prompt_id=prompt.prompt_id, decoding_id=decoding.decoding_id, seed=seed,
            salt="", index=index, text=f"{arm.name} {index}", token_ids=(index,), logprobs=(-0.5,),
            finish_reason="length", numerics=arm.name,
        )
        for arm in ARMS for prompt in prompts for seed in (1, 2) for index in range(7)
    ]  # fmt: skip
    random.Random(3).shuffle(rows)
    folder = RunFolder.create(tmp_path / "run", {})
    with folder.lock():
        for number in range(0, len(rows), 9):
            folder.commit_part("completions", f"u{number}", completions_table(rows[number : number + 9]))
    return Stored(folder, plan)


def test_completions_come_in_key_order_and_only_those_of_the_plan(stored: Stored) -> None:
    rows = [row for table in stored.tables(tokens=True) for row in completions_from_table(table)]
    assert len(rows) == 2 * 3 * 5
    assert [row.key for row in rows] == sorted(row.key for row in rows)
    assert all(row.seed == 1 and row.index < 5 and row.token_ids == (row.index,) for row in rows)
    assert stored.by_arm() == ({"base": 15, "tuned": 15}, {"base": {"base"}, "tuned": {"tuned"}})


def test_a_reader_gets_the_slots_that_it_asks_for_and_their_scores(stored: Stored) -> None:
    strata = sorted(stored.slots())
    assert all(counts.tolist() == [2] * 5 for counts in stored.slots().values())
    only = as_arrays([(*strata[0], 4), (*strata[0], 1), (*strata[2], 0)])
    rows = [
        row
        for table in stored.tables(tokens=False, only=only)
        for row in completions_from_table(table, tokens=False)
    ]  # fmt: skip
    wanted = {(*strata[0], 4), (*strata[0], 1), (*strata[2], 0)}
    assert {(row.prompt_id, row.decoding_id, row.index) for row in rows} == wanted
    assert len(rows) == 2 * len(wanted)
    assert not any(row.token_ids for row in rows)
    scores = [
        Score(measure="m", arm_fingerprint="a", prompt_id=prompt, topic="t", decoding_id=decoding, index=i, value=1.0)
        for prompt, decoding in strata for i in range(5)
    ]  # fmt: skip
    kept = rows_of(scores_table(scores), only).to_pylist()
    assert {(row["prompt_id"], row["decoding_id"], row["index"]) for row in kept} == wanted


def test_a_table_that_comes_in_pieces_has_the_bytes_of_one(tmp_path: Path) -> None:
    scores = [
        Score(measure="m", arm_fingerprint="a", prompt_id=f"p{i % 7}", topic="t", index=i, value=i / 3)
        for i in range(2000)
    ]
    table = scores_table(scores)
    cuts = sorted(np.random.default_rng(1).integers(0, 2000, 30).tolist())
    whole, pieces = ParquetPieces(SCORES), ParquetPieces(SCORES)
    whole.add(table)
    for first, last in zip([0, *cuts], [*cuts, 2000], strict=True):
        pieces.add(table.slice(first, last - first))
    data = pieces.finish()
    assert data == whole.finish()
    assert parquet_table(data, tmp_path).equals(table)
    assert ROWS_A_GROUP > 2000
