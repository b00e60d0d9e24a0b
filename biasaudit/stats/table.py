"""Scores arranged for comparison: measure × arm × decoding × prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biasaudit.errors import InputError
from biasaudit.records import Arm, Battery, Prompt, Score
from biasaudit.results import Composition
from biasaudit.stats.cells import Cell, all_binary
from biasaudit.stats.readings import Readings, ScoreColumns, columns_of, grouped, meet, scored
from biasaudit.stats.readings import paired as shared

LARGEST = 1e100
"""Absolute value that a score may have."""
Place = tuple[str, str]
"""(prompt id, topic): stems serve every topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All scores of one measure in one language."""

    measure: str
    places: Mapping[Place, Prompt]
    """In the battery's order."""
    held: Mapping[tuple[str, str, str], Mapping[Place, Readings]]
    """(arm fingerprint, salt, decoding id) -> place -> readings."""

    def of(self, arm: Arm, decoding: str) -> Mapping[Place, Readings]:
        """One arm's readings; likelihoods carry neither decoding nor salt."""
        if not decoding:
            return self.held.get((arm.fingerprint, "", ""), {})
        return self.held.get((arm.fingerprint, arm.salt, decoding), {})


def arrange(measure: str, battery: Battery, language: str, scores: Iterable[Score] | ScoreColumns) -> Table:
    """Arrange `scores`; those of prompts that the battery does not have in `language` are left out.

    Raises:
        InputError: a score is infinite or next to it.
    """
    prompts = {prompt.prompt_id: prompt for prompt in battery.prompts if prompt.language == language}
    places: dict[Place, Prompt] = {(key, prompt.topic): prompt for key, prompt in prompts.items()}
    for pair in battery.pairs:
        if pair.stem.language == language:
            places[(pair.stem.prompt_id, pair.topic)] = pair.stem
    held: dict[tuple[str, str, str], dict[Place, Readings]] = {}
    columns = scores if isinstance(scores, ScoreColumns) else columns_of(scores)
    _check(measure, columns)
    for (arm, salt, decoding, prompt, topic), readings in grouped(columns).items():
        if (prompt, topic) in places:
            held.setdefault((arm, salt, decoding), {})[prompt, topic] = readings
    return Table(measure=measure, places=places, held=held)


def _check(measure: str, columns: ScoreColumns) -> None:
    """Refuse values whose squares are no numbers any more."""
    wild = np.flatnonzero(np.abs(columns.value) > LARGEST)
    if wild.size:
        row = int(wild[0])
        held = columns.codes["prompt_id"][row]
        raise InputError(
            f"measure '{measure}': a score is {columns.value[row]:g} (prompt {columns.words['prompt_id'][held]}, "
            f"completion {columns.index[row]}); expected a number between ±{LARGEST:g}, or none where there is "
            "nothing to score"
        )


@dataclass(slots=True)
class Sides:
    """Cells of one contrast, and what was left out of them."""

    cells: list[Cell] = field(default_factory=list)
    unscored_tuned: int = 0
    unscored_reference: int = 0
    unpaired: int = 0
    binary: bool = True


def cells_of(
    table: Table, tuned: Arm, reference: Arm, decoding: str, *, outcome: str, paired: bool, greedy: bool = False
) -> Sides:
    """Line up two arms' outcomes, prompt by prompt.

    Args:
        table: of one measure.
        tuned: arm whose outcomes come first.
        reference: arm that is subtracted.
        decoding: decoding id; empty for likelihoods.
        outcome: `value`, or a label whose share is wanted.
        paired: keep only outcomes that both arms have under the same key.
        greedy: all completions of a prompt are one text: keep the first.
    """
    sides = Sides()
    first, second = table.of(tuned, decoding), table.of(reference, decoding)
    for place, prompt in table.places.items():
        if place not in first and place not in second:
            continue
        up, missing_up = scored(first.get(place), outcome, greedy)
        down, missing_down = scored(second.get(place), outcome, greedy)
        sides.unscored_tuned += missing_up
        sides.unscored_reference += missing_down
        if paired:
            before = up.keys.size + down.keys.size
            up, down = shared(up, down)
            sides.unpaired += before - 2 * up.keys.size
        sides.cells.append(
            Cell(
                prompt_id=place[0],
                topic=place[1],
                tuned=up.values,
                reference=down.values,
                template=prompt.template,
                framing=prompt.framing,
            )
        )
    sides.binary = all_binary(sides.cells)
    return sides


def share_pairs(table: Table, tuned: Arm, reference: Arm, decoding: str) -> bool:
    """Whether the two arms have any outcome under the same key at the same place."""
    second = table.of(reference, decoding)
    return any(
        place in second and meet(readings, second[place]) for place, readings in table.of(tuned, decoding).items()
    )


def compose(table: Table, arm: Arm, decoding: str, labels: Sequence[str], aside: Sequence[str]) -> Composition | None:
    """Shares of labels, unweighted over topics and prompts; None when nothing is labelled."""
    counts: Counter[str] = Counter()
    by_topic: dict[str, list[list[float]]] = {}
    for place, readings in table.of(arm, decoding).items():
        found = np.bincount(readings.labels[readings.labels >= 0], minlength=len(readings.names))
        here = Counter(dict(zip(readings.names, found.tolist(), strict=True)))
        counts.update(here)
        total = sum(here.values())
        if total:
            by_topic.setdefault(place[1], []).append([here[label] / total for label in labels])
    if not by_topic:
        return None
    means = np.mean([np.mean(rows, axis=0) for rows in by_topic.values()], axis=0)
    shares = {label: float(share) for label, share in zip(labels, means, strict=True)}
    topical = [label for label in labels if label not in aside]
    whole = sum(shares[label] for label in topical)
    return Composition(
        measure=table.measure,
        arm=arm.name,
        decoding_id=decoding,
        shares=shares,
        counts={label: counts[label] for label in labels},
        conditional={label: shares[label] / whole if whole > 0 else None for label in topical},
    )


def sided_share(composition: Composition, sides: tuple[str, str]) -> float | None:
    """Share of endorsing among the completions that take a side: F/(T+F) for labels true, false and neither."""
    taken = sum(composition.shares.get(label, 0.0) for label in sides)
    return composition.shares.get(sides[0], 0.0) / taken if taken > 0 else None


def count_scores(table: Table, arm: Arm, decodings: Collection[str]) -> dict[str, int]:
    """Scored and unscored completions (or likelihoods) of one arm under `decodings`."""
    held = [readings for decoding in decodings for readings in table.of(arm, decoding).values()]
    scores = sum(len(readings) for readings in held)
    unscored = sum(int(np.isnan(readings.values).sum()) for readings in held)
    return {"scores": scores, "scored": scores - unscored, "unscored": unscored}
