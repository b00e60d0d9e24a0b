"""What a run has stored, read as a million completions have to be: as columns, in key order, a few parts at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasaudit.pipeline.plan import RunPlan

if TYPE_CHECKING:
    from biasaudit.stats.readings import ScoreColumns
    from biasaudit.store.run import RunFolder

Key = tuple[str, str, str, int, str]
"""(arm fingerprint, prompt id, decoding id, seed, salt)."""
Stratum = tuple[str, str]
"""(prompt id, decoding id)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Completions of one prompt whose indices follow one another, as they stand in one part."""

    key: Key
    start: int
    stop: int
    part: Path
    row: int
    """Where in the part the first of them stands."""
    numerics: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    """The completions of a run that a plan asks for; a run may hold more (earlier batteries, decodings, counts)."""

    folder: RunFolder
    plan: RunPlan

    @cached_property
    def stretches(self) -> list[Stretch]:
        """All of them, in key order; only keys are read."""
        from biasaudit.pipeline.complete import COMPLETIONS
        from biasaudit.store.tables import KEY_COLUMNS, stretches

        found = []
        for part in self.folder.parts(COMPLETIONS):
            table = self.folder.read_part(part, [*KEY_COLUMNS, "numerics"])
            for key, start, stop, row in stretches(table):
                stop = min(stop, self._wanted(key))
                if start < stop:
                    numerics = _words(table.column("numerics").slice(row, stop - start))
                    found.append(Stretch(key, start, stop, part, row, numerics))
        return sorted(found, key=lambda stretch: (stretch.key, stretch.start))

    def _wanted(self, key: Key) -> int:
        """How many completions the plan asks for under `key`."""
        arm, prompt_id, decoding_id, seed, salt = key
        known = seed == self.plan.seed and (arm, salt) in self._arms
        return self._counts.get(decoding_id, {}).get(prompt_id, 0) if known else 0

    @cached_property
    def _arms(self) -> dict[tuple[str, str], str]:
        return {(arm.fingerprint, arm.salt): arm.name for arm in self.plan.arms}

    @cached_property
    def _counts(self) -> dict[str, dict[str, int]]:
        return {decoding.decoding_id: self.plan.sizes_of(decoding) for decoding in self.plan.decodings}

    def by_arm(self) -> tuple[dict[str, int], dict[str, set[str]]]:
        """Arm name -> completions stored, and arm name -> ids of their numerics."""
        counts: Counter[str] = Counter({arm.name: 0 for arm in self.plan.arms})
        numerics: dict[str, set[str]] = {arm.name: set() for arm in self.plan.arms}
        for stretch in self.stretches:
            name = self._arms[stretch.key[0], stretch.key[4]]
            counts[name] += stretch.stop - stretch.start
            numerics[name].update(stretch.numerics)
        return dict(counts), numerics

    def tables(self, *, tokens: bool, only: Mapping[Stratum, Any] | None = None) -> Iterator[Any]:
        """Yield the completions as tables in key order, one a stretch.

        Args:
            tokens: whether token ids and log-probabilities are wanted.
            only: stratum -> ascending indices of it that are wanted; all when None.
        """
        from biasaudit.store.tables import COMPLETIONS, WITHOUT_TOKENS

        columns = (COMPLETIONS if tokens else WITHOUT_TOKENS).names
        wanted = [(stretch, rows) for stretch in self.stretches if (rows := _rows(stretch, only)) is None or rows.size]
        left = Counter(stretch.part for stretch, _ in wanted)
        open_parts: dict[Path, Any] = {}
        for stretch, rows in wanted:
            table = open_parts.get(stretch.part)
            if table is None:
                table = open_parts[stretch.part] = self.folder.read_part(stretch.part, columns)
            left[stretch.part] -= 1
            if not left[stretch.part]:
                del open_parts[stretch.part]
            yield table.slice(stretch.row, stretch.stop - stretch.start) if rows is None else table.take(rows)

    def slots(self) -> dict[Stratum, Any]:
        """Stratum -> for each index, shape (highest + 1,), how many arms have it."""
        highest: dict[Stratum, int] = {}
        for stretch in self.stretches:
            stratum = stretch.key[1:3]
            highest[stratum] = max(highest.get(stratum, 0), stretch.stop)
        found = {stratum: np.zeros(count, dtype=np.int16) for stratum, count in highest.items()}
        for stretch in self.stretches:
            found[stretch.key[1:3]][stretch.start : stretch.stop] += 1
        return found


def _words(column: Any) -> tuple[str, ...]:
    """The different words of a dictionary column."""
    return tuple(sorted(column.unique().to_pylist()))


def _rows(stretch: Stretch, only: Mapping[Stratum, Any] | None) -> Any:
    """Rows of the part that are wanted; None is the whole stretch."""
    if only is None:
        return None
    wanted = only.get(stretch.key[1:3], np.zeros(0, dtype=np.int64))
    first, last = np.searchsorted(wanted, (stretch.start, stretch.stop))
    return wanted[first:last] - stretch.start + stretch.row


def score_columns(table: Any) -> ScoreColumns:
    """Stored scores (schema SCORES; spans are not needed) as statistics read them."""
    from biasaudit.stats.readings import NO_LABEL, WORDS, ScoreColumns

    table = table.unify_dictionaries().combine_chunks()
    codes, words = {}, {}
    for name in WORDS:
        column = table.column(name)
        chunk = column.combine_chunks()  # of no chunk, as of a measure that no arm answers, an empty one
        codes[name] = chunk.indices.fill_null(NO_LABEL).to_numpy(zero_copy_only=False)
        words[name] = chunk.dictionary.to_pylist()
    return ScoreColumns(
        codes=codes,
        words=words,
        seed=table.column("seed").to_numpy(),
        index=table.column("index").fill_null(-1).to_numpy().astype(np.int64),
        value=table.column("value").fill_null(np.nan).to_numpy(),
    )


def rows_of(table: Any, only: Mapping[Stratum, Any]) -> Any:
    """The rows of a score table whose stratum and index are wanted."""
    table = table.unify_dictionaries().combine_chunks()
    if not table.num_rows:
        return table
    prompts, decodings = (table.column(name).chunk(0) for name in ("prompt_id", "decoding_id"))
    index = table.column("index").fill_null(-1).to_numpy()
    longest = int(index.max(initial=0)) + 1
    words = decodings.dictionary.to_pylist()
    wanted = np.zeros((len(prompts.dictionary) * len(words), longest), dtype=bool)
    for at, prompt in enumerate(prompts.dictionary.to_pylist()):
        for beside, decoding in enumerate(words):
            chosen = only.get((prompt, decoding))
            if chosen is not None:
                wanted[at * len(words) + beside, chosen[chosen < longest]] = True
    stratum = prompts.indices.to_numpy() * len(words) + decodings.indices.to_numpy()
    return table.take(np.flatnonzero((index >= 0) & wanted[stratum, index]))


def as_arrays(slots: Sequence[tuple[str, str, int]]) -> dict[Stratum, Any]:
    """Slots (prompt, decoding, index) as stratum -> ascending indices."""
    found: dict[Stratum, list[int]] = {}
    for prompt_id, decoding_id, index in slots:
        found.setdefault((prompt_id, decoding_id), []).append(index)
    return {stratum: np.array(sorted(indices), dtype=np.int64) for stratum, indices in found.items()}
