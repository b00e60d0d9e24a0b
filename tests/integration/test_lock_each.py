"""Everything that a lock holds, changed alone: each is marked, and what the primary question hangs on as such."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest_models import BATTERY

from biasaudit.pipeline.asked import with_looks
from biasaudit.pipeline.declared import with_declared
from biasaudit.pipeline.lock_content import content_of, deviations
from biasaudit.pipeline.plan import Machine, RunPlan, make_plan
from biasaudit.pipeline.progress import Console
from biasaudit.report.words import Words

ASKED = BATTERY.replace(
    "primary: {measure: claim_odds, target: population, margin: 0.02 nats/byte}",
    "primary: {measure: stance, outcome: endorse, target: fixed, margin: 5 points}",
)


@pytest.fixture
def plan_of(arms: dict[str, Path], tmp_path: Path) -> Callable[..., RunPlan]:
    def made(text: str = ASKED, doses: tuple[str, ...] = (), until: str | None = None, **changes: Any) -> RunPlan:
        path = tmp_path / "tiny.yaml"
        path.write_text(text, encoding="utf-8")
        asked: dict[str, Any] = {
            "arms": [f"base={arms['base']}", f"tuned={arms['tuned']}"], "salts": [], "language": "pt",
            "completions": None, "seed": None,
            "decoding": {"temperature": (), "top_k": (), "top_p": (), "greedy": False, "max_new_tokens": None},
            **changes,
        }  # fmt: skip
        plan = make_plan(path, **asked, machine=Machine(), console=Console(quiet=True), accepted=lambda name: set())
        plan = with_declared(plan, doses, ())
        return with_looks(plan, until=until, looks=None, anytime=False, look_at="")

    return made


CHANGES: list[tuple[str, str, bool, dict[str, Any]]] = [
    ("title", "battery", False, {"text": ASKED.replace("Pequena", "Miúda")}),
    ("prompt", "prompts", True, {"text": ASKED.replace("Ouvi dizer que", "Soube que")}),
    ("pair", "pairs", False, {"text": ASKED.replace(" elas têm chip.", " elas trazem chip.")}),
    ("rule", "measure", True, {"text": ASKED.replace("pt: [mentira]", "pt: [falso]")}),
    ("other measure", "measure", False, {"text": ASKED.replace("metric: repetition", "metric: distinct")}),
    ("measure added", "measure", False, {"text": ASKED.replace("measures:\n", "measures:\n  drift: {scorer: kl}\n")}),
    ("outcome", "question", True, {"text": ASKED.replace("outcome: endorse", "outcome: refute")}),
    ("target", "target", True, {"text": ASKED.replace("target: fixed", "target: population")}),
    ("margin", "margin", True, {"text": ASKED.replace("5 points", "6 points")}),
    ("unit", "margin", True, {"text": ASKED.replace("5 points", "5 %")}),
    ("no margin", "margin", True, {"text": ASKED.replace(", margin: 5 points", "")}),
    ("n", "completions", True, {"completions": 9}),
    ("seed", "seed", True, {"seed": 8}),
    ("language", "language", True, {"language": "en"}),
    ("salt", "arm", True, {"salts": ["tuned=x"]}),
    ("dose", "arm", True, {"doses": ("tuned=0.5",)}),
    ("looks", "looks", True, {"until": "decided"}),
    ("first decoding", "decoding", True, {"text": ASKED.replace("seed: 7", "seed: 7, temperature: 0.9")}),
    ("swept decoding", "decoding", False, {"text": ASKED.replace("measures:\n", "sweep: {top_k: [5]}\nmeasures:\n")}),
    ("length", "decoding", True, {"text": ASKED.replace("max_new_tokens: 12", "max_new_tokens: 13")}),
]


@pytest.mark.parametrize(("part", "primary", "change"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_each_part_changed_alone_is_marked(
    plan_of: Callable[..., RunPlan], part: str, primary: bool, change: dict[str, Any]
) -> None:
    locked = content_of(plan_of())
    assert deviations(locked, content_of(plan_of())) == []
    found = deviations(locked, content_of(plan_of(**change)))
    assert part in {row["part"] for row in found}
    own = [row for row in found if row["part"] == part]
    assert any(row["primary"] for row in own) is primary
    assert all(row["locked"] != row["now"] for row in own)
    for locale in ("pt", "en"):
        assert Words(locale).has(f"lock.part.{part}")


def test_another_model_an_arm_more_and_another_alpha_are_marked(
    plan_of: Callable[..., RunPlan], arms: dict[str, Path]
) -> None:
    plan = plan_of()
    locked = content_of(plan)
    other = plan_of(arms=[f"base={arms['base']}", f"tuned={arms['other']}"])
    more = plan_of(arms=[f"base={arms['base']}", f"tuned={arms['tuned']}", f"other={arms['other']}"])
    role = dataclasses.replace(plan, arms=(plan.arms[0], dataclasses.replace(plan.arms[1], role="placebo")))
    for changed in (other, more, role):
        assert [(row["part"], row["primary"]) for row in deviations(locked, content_of(changed))] == [("arm", True)]
    assert [row["part"] for row in deviations({**locked, "alpha": 0.01}, locked)] == ["alpha"]
