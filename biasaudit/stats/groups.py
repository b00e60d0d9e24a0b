"""Counterfactual slots: the gap between two groups, and how it differs between two arms.

A gap is the outcome of one group's prompt minus that of the prompt that is equal but for the group. Inside one arm it
is a contrast of two prompts; between arms, the difference of gaps (difference in differences) is an ordinary contrast
whose outcomes are gaps, completion by completion.

Source: counterfactual evaluation as in Huang et al. 2020, arXiv 1911.03064.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from biasaudit.records import Arm, Prompt
from biasaudit.stats.cells import Cell
from biasaudit.stats.readings import Outcomes, paired, scored
from biasaudit.stats.table import Table

Twins = tuple[Prompt, Prompt]


@dataclass(frozen=True, slots=True)
class Slot:
    """A counterfactual slot with exactly two groups, in the order of the battery."""

    name: str
    first: str
    second: str

    @property
    def outcome(self) -> str:
        """What its contrasts are called."""
        return f"{self.first}−{self.second}"


def two_group_slots(prompts: Sequence[Prompt]) -> tuple[Slot, ...]:
    """Slots of which `prompts` hold exactly two groups; others need more than one difference."""
    groups: dict[str, dict[str, None]] = {}
    for prompt in prompts:
        for slot, group in prompt.groups:
            groups.setdefault(slot, {})[group] = None
    return tuple(Slot(name, *found) for name, found in groups.items() if len(found) == 2)


def filler_of(prompt: Prompt, slot: str) -> tuple[str, str]:
    """Which filler of a slot a prompt holds ('' where its groups have one text each), and its `pair` without that."""
    pair, _, told = prompt.pair.partition("#")
    held = dict(part.split("=") for part in told.split(",") if part)
    mine = held.pop(slot, "")
    return mine, f"{pair}#{held}"


def twins(table: Table, slot: Slot) -> Iterator[Twins]:
    """Prompts of the first group with their twins of the second: same pair, every other slot equal."""
    sides: dict[object, dict[str, Prompt]] = {}
    for prompt in table.places.values():
        group = dict(prompt.groups).get(slot.name)
        if group is not None:
            others = tuple(entry for entry in prompt.groups if entry[0] != slot.name)
            sides.setdefault((prompt.topic, prompt.pair, prompt.template, others), {})[group] = prompt
    for found in sides.values():
        if slot.first in found and slot.second in found:
            yield found[slot.first], found[slot.second]


def gaps(table: Table, arm: Arm, decoding: str, pair: Twins) -> Outcomes:
    """First minus second, for every key that both twins have scored."""
    held = table.of(arm, decoding)
    first, second = (scored(held.get((prompt.prompt_id, prompt.topic)))[0] for prompt in pair)
    first, second = paired(first, second)
    return Outcomes(keys=first.keys, values=first.values - second.values)


def inside(table: Table, arm: Arm, decoding: str, slot: Slot) -> list[Cell]:
    """Cells of the gap inside one arm: twins have noises of their own, so they are not coupled."""
    held = table.of(arm, decoding)
    return [
        _cell(pair[0], *(scored(held.get((prompt.prompt_id, prompt.topic)))[0] for prompt in pair))
        for pair in twins(table, slot)
    ]


def between(table: Table, tuned: Arm, reference: Arm, decoding: str, slot: Slot, *, coupled: bool) -> list[Cell]:
    """Cells of the difference in differences.

    Args:
        table: of one measure.
        tuned: arm whose gaps come first.
        reference: arm whose gaps are subtracted.
        decoding: decoding id; empty for likelihoods.
        slot: with two groups.
        coupled: keep only gaps that both arms have under the same key.
    """
    cells = []
    for pair in twins(table, slot):
        up, down = gaps(table, tuned, decoding, pair), gaps(table, reference, decoding, pair)
        cells.append(_cell(pair[0], *(paired(up, down) if coupled else (up, down))))
    return cells


def _cell(prompt: Prompt, up: Outcomes, down: Outcomes) -> Cell:
    """A cell named by the first twin."""
    return Cell(
        prompt_id=prompt.prompt_id,
        topic=prompt.topic,
        tuned=up.values,
        reference=down.values,
        template=prompt.template,
        framing=prompt.framing,
    )
