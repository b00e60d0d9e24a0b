"""Work units: identity, order, size."""

from __future__ import annotations

import dataclasses
import tracemalloc

import pytest

from biasaudit.records import Arm, Decoding, Prompt
from biasaudit.scale.units import WorkUnit, plan_units

ARM = Arm(name="a", spec="a", role="base", fingerprint="f", tokenizer_fingerprint="t")
PROMPTS = [Prompt(text=f"p{i}", language="pt", topic="t", template="q") for i in range(3)]


def test_every_field_is_part_of_the_id() -> None:
    unit = WorkUnit(arm_fingerprint="a", decoding_id="d", seed=1, salt="", items=(("p", 0, 5),))
    changes = {"arm_fingerprint": "b", "decoding_id": "e", "seed": 2, "salt": "s", "items": (("p", 0, 6),)}
    ids = {dataclasses.replace(unit, **{name: value}).unit_id for name, value in changes.items()}
    assert len(ids | {unit.unit_id}) == 6
    assert len(unit.unit_id) == 32


def test_the_id_of_a_unit_stays_what_it_is() -> None:
    unit = WorkUnit(arm_fingerprint="a", decoding_id="d", seed=1, salt="", items=(("p", 0, 5),))
    assert unit.unit_id == "801b118a6d5eb3ad22ef806c9956507a"


def test_units_come_in_the_order_of_the_battery() -> None:
    (unit,) = plan_units([ARM], PROMPTS[::-1], [Decoding()], 2, 1)
    assert list(unit.indices()) == [(prompt.prompt_id, index) for prompt in PROMPTS[::-1] for index in range(2)]


def test_prompts_may_want_different_numbers() -> None:
    counts = {PROMPTS[0].prompt_id: 3, PROMPTS[2].prompt_id: 1}
    (unit,) = plan_units([ARM], PROMPTS, [Decoding()], counts, 1)
    assert unit.items == ((PROMPTS[0].prompt_id, 0, 3), (PROMPTS[2].prompt_id, 0, 1))


def test_four_hundred_after_a_hundred_adds_only_three_hundred() -> None:
    held = {("f", prompt.prompt_id, Decoding().decoding_id, 1, ""): [(0, 100)] for prompt in PROMPTS}
    units = plan_units([ARM], PROMPTS, [Decoding()], 400, 1, have=held)
    assert sum(unit.count for unit in units) == 900
    assert min(start for unit in units for _, start, _ in unit.items) == 100


def test_ten_million_completions_are_planned_in_little_memory() -> None:
    tracemalloc.start()
    units = plan_units([ARM], PROMPTS[:1], [Decoding()], 10_000_000, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(units) == 19_532
    assert peak < 20_000_000


def test_a_unit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="unit_size is 0"):
        plan_units([ARM], PROMPTS, [Decoding()], 1, 1, unit_size=0)
