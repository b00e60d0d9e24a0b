"""Barnard's and Boschloo's tests of single prompts: an option of the battery, for arms that share no noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom

from biasaudit.battery.read import read_text
from biasaudit.errors import BatteryError
from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Score, Topic
from biasaudit.report.sections import prompts as section
from biasaudit.report.view import ReportView
from biasaudit.stats.cells import Cell, Design, prompt_table
from biasaudit.stats.permutation import stratified_exact, unconditional

PROMPTS = tuple(Prompt(text=f"{name}?", language="pt", topic=name, template="t") for name in "ab")
BATTERY = Battery(
    name="toy", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=name) for name in "ab"),
    prompts=PROMPTS, pairs=(), decodings=(Decoding(),), completions=12,
    measures=(Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),),
    primary=Primary(measure="stance", outcome="endorse", target="fixed", prompt_test="boschloo"),
)  # fmt: skip


def test_the_unconditional_tests_keep_their_level_and_waste_less_of_it() -> None:
    """Six completions an arm, all 49 tables, whose p depends on the arms' order in its sign alone."""
    pairs = [(a, b) for a in range(7) for b in range(a)]
    rejected = {
        test: [
            pair
            for pair in pairs
            if (stratified_exact([pair[0]], [6], [pair[1]], [6]) if test == "exact" else unconditional(*at(pair), test))
            <= 0.05
        ]
        for test in ("exact", "boschloo")
    }
    sizes = {
        test: max(
            2 * sum(float(share[a] * share[b]) for a, b in found)
            for share in (binom.pmf(np.arange(7), 6, rate) for rate in np.linspace(0.05, 0.95, 19))
        )
        for test, found in rejected.items()
    }
    assert sizes["exact"] < 0.01 < 0.03 < sizes["boschloo"] <= 0.05


def at(pair: tuple[int, int]) -> tuple[int, int, int, int]:
    return pair[0], 6, pair[1], 6


def test_nothing_and_everything_are_no_difference_and_arms_turn_over() -> None:
    for test in ("barnard", "boschloo"):
        assert unconditional(0, 9, 0, 7, test) == unconditional(9, 9, 7, 7, test) == 1.0
        assert unconditional(7, 9, 1, 8, test) == pytest.approx(unconditional(1, 8, 7, 9, test), rel=1e-3)


def test_only_independent_binary_arms_are_tested_so() -> None:
    up, down = np.array([1.0] * 7 + [0.0] * 3), np.array([1.0] * 2 + [0.0] * 8)
    cell = Cell(prompt_id="p", topic="t", tuned=up, reference=down)
    table = {
        (coupled, test): prompt_table([cell], Design(binary=True, coupled=coupled), test=test)[0].p  # type: ignore[arg-type]
        for coupled in (False, True)
        for test in ("exact", "boschloo")
    }
    assert table[True, "exact"] == table[True, "boschloo"]
    assert table[False, "boschloo"] == unconditional(7, 10, 2, 10, "boschloo") != table[False, "exact"]


@pytest.mark.parametrize("tokenizer", ["T", "other"], ids=["coupled", "independent"])
def test_the_battery_asks_for_it_and_the_report_says_so_where_it_was_used(tokenizer: str) -> None:
    arms = tuple(
        Arm(name=name, spec=name, role=name, fingerprint=name, tokenizer_fingerprint=token, language="pt")  # type: ignore[arg-type]
        for name, token in (("base", "T"), ("tuned", tokenizer))
    )
    scores = [
        Score(
            measure="stance", arm_fingerprint=arm.fingerprint, prompt_id=prompt.prompt_id, topic=prompt.topic, seed=1,
            decoding_id=Decoding().decoding_id, salt="", index=k, value=float(yes), label="endorse" if yes else "refute",
        )
        for arm in arms for prompt in PROMPTS for k in range(12) if (yes := k < (9 if arm.name == "tuned" else 3)) in (0, 1)
    ]  # fmt: skip
    analysis = analyse(BATTERY, "pt", arms, {"stance": scores})
    row = next(c for c in analysis.contrasts if c.role == "primary")
    expected = unconditional(9, 12, 3, 12, "boschloo")
    assert (row.prompts[0].p == expected) is (tokenizer == "other")
    view = ReportView(
        battery=BATTERY, language="pt", arms=arms, prompts=PROMPTS, decodings=(Decoding(),), analysis=analysis
    )
    assert ("Boschloo" in section.render(view, "pt")) is (tokenizer == "other")


SMALL = """\
battery: toy
version: 1
title: {pt: Teste}
languages: [pt]
topics: {chip: {title: {pt: chip}}}
templates: {a: {pt: "Falam de {title}. Dizem que"}}
measures: {stance: {scorer: degeneration}}
primary: {measure: stance%s}
"""


def test_a_battery_that_does_not_ask_is_the_battery_that_it_was() -> None:
    plain, exact, other = (
        read_text(SMALL % more).battery for more in ("", ", prompt_test: exact", ", prompt_test: barnard")
    )
    assert plain.battery_hash == exact.battery_hash != other.battery_hash
    assert dataclasses.asdict(plain)["primary"]["prompt_test"] == "exact"
    with pytest.raises(BatteryError, match="expected 'exact', 'barnard' or 'boschloo'"):
        read_text(SMALL % ", prompt_test: fisher")
