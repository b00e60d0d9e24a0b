"""Runs that start in the same second have folders of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biasaudit.pipeline.plan import Machine, make_plan
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.run import find_folder


def test_the_same_command_several_times_in_a_second_makes_as_many_runs(
    arms: dict[str, Path], battery: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {
        "arms": [f"base={arms['base']}", f"tuned={arms['tuned']}"], "salts": [], "language": "pt",
        "completions": None, "seed": None,
        "decoding": {"temperature": (), "top_k": (), "top_p": (), "greedy": False, "max_new_tokens": None},
    }  # fmt: skip
    plan = make_plan(battery, **asked, machine=Machine(), console=Console(quiet=True), accepted=lambda name: set())
    made = [find_folder(plan, tmp_path / "reports", None, fresh=True).path.name for _ in range(5)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
