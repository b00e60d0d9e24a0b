"""Scores as columns: a million of them are a few arrays, and never a million objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biasaudit.records import Score

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
WORDS = ("arm_fingerprint", "salt", "decoding_id", "prompt_id", "topic", "item", "label")
"""Fields of a score that repeat: each is a code into a list of words."""
PLACE_WORDS = WORDS[:5]
NO_LABEL = -1
NOT_THERE = -2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreColumns:
    """One measure's scores, each field shape (n,), in any order."""

    codes: Mapping[str, Ints]
    """Field of `WORDS` -> codes; -1 is no label."""
    words: Mapping[str, Sequence[str]]
    """Field of `WORDS` -> what its codes stand for."""
    seed: Ints
    index: Ints
    """-1 for likelihoods."""
    value: Floats
    """NaN is unscored."""

    def __len__(self) -> int:
        return int(self.value.size)


def columns_of(scores: Iterable[Score]) -> ScoreColumns:
    """The same scores as columns."""
    rows = list(scores)
    codes: dict[str, Ints] = {}
    words: dict[str, list[str]] = {}
    for name in WORDS:
        places: dict[str, int] = {}
        found = [getattr(row, name) for row in rows]
        codes[name] = np.array(
            [NO_LABEL if word is None else places.setdefault(word, len(places)) for word in found], dtype=np.int64
        )
        words[name] = list(places)
    return ScoreColumns(
        codes=codes,
        words=words,
        seed=np.array([row.seed for row in rows], dtype=np.int64),
        index=np.array([-1 if row.index is None else row.index for row in rows], dtype=np.int64),
        value=np.array([np.nan if row.value is None else row.value for row in rows], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """What one arm's scores say at one place; arrays of shape (n,), by ascending key."""

    keys: Ints
    """Rank of (seed, index, item) among those of the whole table: equal keys pair two arms' scores."""
    values: Floats
    labels: npt.NDArray[np.int16]
    names: Sequence[str]
    """What the labels' codes stand for."""

    def __len__(self) -> int:
        return int(self.keys.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """The outcomes that exist at one place; arrays of shape (n,), by ascending key."""

    keys: Ints
    values: Floats


def scored(readings: Readings | None, outcome: str = "value", greedy: bool = False) -> tuple[Outcomes, int]:
    """The outcomes that exist, and how many do not.

    Args:
        readings: of one arm at one place; None when it has none.
        outcome: `value`, or a label whose share is wanted.
        greedy: all completions of a prompt are one text: keep the first.
    """
    if readings is None:
        return Outcomes(keys=np.zeros(0, dtype=np.int64), values=np.zeros(0)), 0
    last = 1 if greedy else len(readings)
    keys, values, labels = readings.keys[:last], readings.values[:last], readings.labels[:last]
    if outcome == "value":
        there = ~np.isnan(values)
        found = values[there]
    else:
        there = labels >= 0
        code = readings.names.index(outcome) if outcome in readings.names else NOT_THERE
        found = (labels[there] == code).astype(np.float64)
    return Outcomes(keys=keys[there], values=found), int(keys.size - found.size)


def paired(first: Outcomes, second: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both sides cut down to the keys that they share."""
    if np.array_equal(first.keys, second.keys):
        return first, second
    keys, here, there = np.intersect1d(first.keys, second.keys, assume_unique=True, return_indices=True)
    return Outcomes(keys=keys, values=first.values[here]), Outcomes(keys=keys, values=second.values[there])


def meet(first: Readings, second: Readings) -> bool:
    """Whether two arms have anything under the same key."""
    if np.array_equal(first.keys, second.keys):
        return len(first) > 0
    return bool(np.intersect1d(first.keys, second.keys, assume_unique=True).size)


Group = tuple[str, str, str, str, str]
"""(arm fingerprint, salt, decoding id, prompt id, topic)."""


def grouped(columns: ScoreColumns) -> dict[Group, Readings]:
    """Gather the scores of each arm, decoding and place; of two scores under one key the later one counts."""
    if not len(columns):
        return {}
    group = np.zeros(len(columns), dtype=np.int64)
    for name in PLACE_WORDS:
        group = group * len(columns.words[name]) + columns.codes[name]
    keys = _keys(columns)
    order = np.lexsort((keys, group))
    group, keys = group[order], keys[order]
    ends = group[1:] != group[:-1]
    kept = np.append(ends | (keys[1:] != keys[:-1]), True)
    order, group, keys = order[kept], group[kept], keys[kept]
    values, labels = columns.value[order], columns.codes["label"][order].astype(np.int16)
    starts = np.concatenate(([0], np.flatnonzero(group[1:] != group[:-1]) + 1, [group.size]))
    found: dict[Group, Readings] = {}
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        arm, salt, decoding, prompt, topic = (
            columns.words[name][int(columns.codes[name][order[start]])] for name in PLACE_WORDS
        )
        found[arm, salt, decoding, prompt, topic] = Readings(
            keys=keys[start:stop],
            values=values[start:stop],
            labels=labels[start:stop],
            names=columns.words["label"],
        )
    return found


def _keys(columns: ScoreColumns) -> Ints:
    """Rank of (seed, index, item), or the index itself where nothing else differs."""
    words = columns.words["item"]
    rank = np.empty(len(words), dtype=np.int64)
    rank[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words))
    items = rank[columns.codes["item"]]
    if (columns.seed == columns.seed[0]).all() and (items == items[0]).all():
        return columns.index
    seeds = np.unique(columns.seed, return_inverse=True)[1]
    found, index = np.unique(columns.index, return_inverse=True)
    return (seeds * found.size + index) * len(words) + items
