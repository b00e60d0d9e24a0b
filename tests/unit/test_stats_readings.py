"""Scores as columns: grouped by arm and place, paired by key, the same as one by one."""

from __future__ import annotations

import random

import numpy as np

from biasaudit.records import Score
from biasaudit.stats.readings import columns_of, grouped, meet, paired, scored


def score(index: int | None = 0, value: float | None = 1.0, **fields: object) -> Score:
    own = {"measure": "m", "arm_fingerprint": "a", "prompt_id": "p", "topic": "t", "decoding_id": "d", **fields}
    return Score(index=index, value=value, **own)  # type: ignore[arg-type]


def test_scores_are_gathered_by_place_and_ordered_by_key_whatever_their_order() -> None:
    rows = [
        score(i, float(i), arm_fingerprint=arm, prompt_id=prompt, seed=seed, label="x" if i % 2 else None)
        for arm in "ab" for prompt in "pq" for seed in (1, 2) for i in (0, 3, 7)
    ]  # fmt: skip
    random.Random(1).shuffle(rows)
    found = grouped(columns_of(rows))
    assert set(found) == {(arm, "", "d", prompt, "t") for arm in "ab" for prompt in "pq"}
    for readings in found.values():
        assert readings.values.tolist() == [0.0, 3.0, 7.0] * 2
        assert [readings.names[code] if code >= 0 else None for code in readings.labels] == [None, "x", "x"] * 2
        assert (np.diff(readings.keys) > 0).all()


def test_likelihoods_pair_by_item_and_the_later_of_two_scores_counts() -> None:
    rows = [score(None, 0.1, item="pair1"), score(None, 0.2, item="pair0"), score(None, 0.3, item="pair1")]
    (readings,) = grouped(columns_of(rows)).values()
    assert readings.values.tolist() == [0.2, 0.3]


def test_outcomes_leave_out_what_is_unscored_and_count_it() -> None:
    rows = [score(0, None), score(1, 0.0, label="yes"), score(2, 1.0, label="no"), score(3, 1.0)]
    (readings,) = grouped(columns_of(rows)).values()
    values, missing = scored(readings)
    assert (values.keys.tolist(), values.values.tolist(), missing) == ([1, 2, 3], [0.0, 1.0, 1.0], 1)
    shares, missing = scored(readings, "yes")
    assert (shares.values.tolist(), missing) == ([1.0, 0.0], 2)
    assert scored(readings, "never said")[0].values.tolist() == [0.0, 0.0]
    assert scored(readings, greedy=True)[0].values.size == 0
    assert scored(None)[1] == 0


def test_only_shared_keys_are_paired() -> None:
    rows = [score(i, float(i), arm_fingerprint="a") for i in (0, 1, 2, 5)]
    rows += [score(i, 10.0 + i, arm_fingerprint="b") for i in (1, 2, 3)]
    first, second = grouped(columns_of(rows)).values()
    up, down = paired(scored(first)[0], scored(second)[0])
    assert (up.values.tolist(), down.values.tolist()) == ([1.0, 2.0], [11.0, 12.0])
    assert meet(first, second)
    assert not grouped(columns_of([]))
