"""What stands beside the contrasts where prompts have few scored completions, or none in one arm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Score, Topic
from biasaudit.results import Finding
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast

TOPICS = tuple(f"topic{k}" for k in range(5))
PROMPTS = tuple(Prompt(text=f"{name}?", language="pt", topic=name, template="ask") for name in TOPICS)
BASE = Arm(name="base", spec="base", role="base", fingerprint="F0", tokenizer_fingerprint="T0")
TUNED = Arm(name="tuned", spec="tuned", role="tuned", fingerprint="F1", tokenizer_fingerprint="T1")
PLAIN = Decoding()


def findings(
    measure: Measure, outcome: str, cells: Mapping[tuple[int, str], list[float | str | None]]
) -> list[Finding]:
    """Findings of a run where `cells` holds the scores of prompt k in an arm, values or labels, None unscored."""
    battery = Battery(
        name="toy", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=name) for name in TOPICS),
        prompts=PROMPTS, pairs=(), decodings=(PLAIN,), completions=4, measures=(measure,),
        primary=Primary(measure=measure.name, target="fixed", outcome=outcome),
    )  # fmt: skip
    scores = [
        Score(
            measure=measure.name, arm_fingerprint={"base": "F0", "tuned": "F1"}[arm], prompt_id=PROMPTS[k].prompt_id,
            topic=TOPICS[k], decoding_id=PLAIN.decoding_id, seed=1, index=index,
            value=float(score == outcome) if isinstance(score, str) else score,
            label=score if isinstance(score, str) else None,
        )
        for (k, arm), held in cells.items() for index, score in enumerate(held)
    ]  # fmt: skip
    return list(analyse(battery, "pt", (BASE, TUNED), {measure.name: scores}).findings)


def test_bounds_count_prompts_where_one_arm_has_no_label_at_all() -> None:
    cells: dict[tuple[int, str], list[float | str | None]] = {
        (k, arm): ["endorse", "refute"] for k in range(5) for arm in ("base", "tuned")
    }
    cells[0, "tuned"] = [None, None]
    measure = Measure(name="stance", scorer="patterns", options={"endorse": ["x"]})
    row = next(r for r in findings(measure, "endorse", cells) if (r.name, r.outcome) == ("bounds", "endorse"))
    assert row.n == {"topics": 5, "prompts": 5, "completions": 18, "unscored_tuned": 2, "unscored_reference": 0}
    assert (row.details["low"], row.details["high"]) == (pytest.approx(-0.1), pytest.approx(0.1))


def test_cliffs_delta_takes_the_prompts_of_the_headline_also_those_of_one_completion() -> None:
    rng = np.random.default_rng(3)
    cells: dict[tuple[int, str], list[float | str | None]] = {
        (k, arm): list(rng.random(4)) for k in range(5) for arm in ("base", "tuned")
    }
    cells[0, "tuned"] = [2.0]
    found = {r.name: r for r in findings(Measure(name="repetition", scorer="degeneration"), "value", cells)}
    sides = [[np.array(cells[k, arm], dtype=float) for k in range(5)] for arm in ("tuned", "base")]
    deltas = [np.sign(x[:, None] - y[None]).mean() for x, y in zip(*sides, strict=True)]
    assert deltas[0] == 1
    assert found["cliff-delta"].estimate == pytest.approx(np.mean(deltas))
    assert found["cliff-delta"].n["prompts"] == found["tail"].n["prompts"] == 5
    assert found["cliff-delta"].details["brunner_munzel"]["prompts"] == 4


def test_equal_means_summed_in_another_order_moved_nowhere() -> None:
    values = [0.6, 0.3, 0.0, 0.0, 0.8]
    tuned, reference = np.array(values), np.array(values[::-1])
    assert tuned.mean() != reference.mean()
    cell = Cell(prompt_id="p", topic="t", tuned=tuned, reference=reference)
    about = About(
        measure="m", scorer="s", outcome="value", unit="", direction="", tuned="a", reference="b", decoding_id="d",
        language="pt", role="descriptive",
    )  # fmt: skip
    found = contrast([cell], Design(), about, rng=np.random.default_rng(0))
    assert found is not None
    assert (found.moved_up, found.prompts[0].difference) == (0, 0.0)
