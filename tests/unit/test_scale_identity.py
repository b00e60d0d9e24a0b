"""What a unit of work is called: after everything that its completions depend on, and after nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from biasaudit.battery.read import read_battery
from biasaudit.records import Arm, Decoding, Prompt
from biasaudit.scale.units import plan_units

ARM = Arm(name="a", spec="a", role="base", fingerprint="weights", tokenizer_fingerprint="tokens")
PROMPT = Prompt(text="Vacinas", language="pt", topic="t", template="q")
BATTERY = Path(__file__).parents[2] / "prompts" / "vaccines.yaml"


def ids(arm: Arm = ARM, prompt: Prompt = PROMPT, seed: int = 1, count: int = 5, **decoding: object) -> set[str]:
    """Ids of the units of one prompt under one decoding."""
    units = plan_units([arm], [prompt], [Decoding(**decoding)], count, seed)  # type: ignore[arg-type]
    return {unit.unit_id for unit in units}


@pytest.mark.parametrize(
    "changed",
    [
        {"arm": dataclasses.replace(ARM, fingerprint="other weights")},
        {"arm": dataclasses.replace(ARM, salt="aa")},
        {"prompt": dataclasses.replace(PROMPT, text="Vacinas.")},
        {"prompt": dataclasses.replace(PROMPT, language="en")},
        {"seed": 2},
        {"count": 6},
        {"temperature": 0.7},
        {"top_k": 200},
        {"top_p": 0.9},
        {"min_p": 0.05},
        {"repetition_penalty": 1.1},
        {"max_new_tokens": 65},
        {"stop": ("\n",)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_input_of_a_completion_changes_the_unit(changed: dict[str, object]) -> None:
    assert ids().isdisjoint(ids(**changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"arm": dataclasses.replace(ARM, name="b", spec="elsewhere", role="tuned", language="pt", card={"k": 1})},
        {"prompt": dataclasses.replace(PROMPT, topic="u", template="r", framing="sceptical", pair="k")},
        {"temperature": 1, "top_p": 1},
    ],
    ids=["names of the arm", "place in the battery", "whole numbers"],
)
def test_what_does_not_touch_a_completion_does_not_touch_the_unit(changed: dict[str, object]) -> None:
    assert ids() == ids(**changed)  # type: ignore[arg-type]


def test_comments_blank_lines_and_quotes_of_a_battery_change_no_unit(tmp_path: Path) -> None:
    text = BATTERY.read_text(encoding="utf-8")
    other = tmp_path / "vaccines.yaml"
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    other.write_text("\n\n# another comment\n" + "\n\n".join(lines) + "\n", encoding="utf-8")
    found = []
    for path in (BATTERY, other):
        battery = read_battery(path)
        units = plan_units([ARM], battery.prompts, battery.decodings, battery.completions, battery.seed)
        found.append([unit.unit_id for unit in units])
    assert found[0] == found[1]
