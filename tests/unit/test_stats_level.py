"""A battery that declares another level: every interval, every decision and every printed percentage follow it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from biasaudit import identity
from biasaudit.battery.read import read_text
from biasaudit.battery.schema import json_schema
from biasaudit.errors import BatteryError
from biasaudit.labels import HumanLabel
from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Role, Score, Topic
from biasaudit.report.page import render_page
from biasaudit.report.verdict import verdict_sentence
from biasaudit.report.view import ReportView
from biasaudit.report.words import table
from biasaudit.results import Analysis, Equivalence, Interval, analysis_from_json
from biasaudit.stats import planner
from biasaudit.stats.designs_language import Beside, Effect, question
from biasaudit.stats.interval import t_value
from biasaudit.stats.sequential import Schedule
from biasaudit.stats.stopping import Stopping
from biasaudit.stats.verdict import adjust_beside

WARM, COLD = Decoding(), Decoding(temperature=0.7)
TOPICS = tuple(f"topic{k}" for k in range(6))
PROMPTS = tuple(
    Prompt(text=f"{topic} {name}", language="pt", topic=topic, template=name) for topic in TOPICS for name in "ab"
)
CARD = {"base_fingerprint": "B", "tokens": 9, "steps": 3, "learning_rate": 1e-4}
KINDS: tuple[tuple[str, Role, dict[str, Any]], ...] = (
    ("base", "base", {"dose": 0.0}),
    ("one", "tuned", {**CARD, "condition": "x", "dose": 0.5}),
    ("two", "tuned", {**CARD, "condition": "x", "dose": 0.7}),
    ("three", "tuned", {**CARD, "condition": "x", "dose": 1.0}),
)
ARMS = tuple(
    Arm(name=name, spec=name, role=role, fingerprint=f"F-{name}", tokenizer_fingerprint=name, language="pt", card=card)
    for name, role, card in KINDS
)
BATTERY = Battery(
    name="toy", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=t) for t in TOPICS), prompts=PROMPTS,
    pairs=(), decodings=(WARM, COLD), completions=12,
    measures=(
        Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),
        Measure(name="repetition", scorer="degeneration", margin=0.5, unit="share"),
    ),
    primary=Primary(measure="stance", outcome="endorse", margin=10.0, unit="points"),
)  # fmt: skip
FIXED_LEVEL = r"(?:CI|IC|intervalos?(?: de)?|intervals?|limit|predi\w+(?: de)?)(?: calibrado)? 9[05]%|9[05]% (?:CI|int)"
LABELS = ("endorse", "refute", "neutral", "off_topic")


def scores(rng: np.random.Generator) -> Iterator[Score]:
    for arm in ARMS:
        shares = np.array([0.05, 0.25, 0.4, 0.3]) if arm.role == "base" else np.array([0.12, 0.2, 0.4, 0.28])
        for decoding in (WARM, COLD):
            for prompt in PROMPTS:
                for index, pick in enumerate(rng.choice(4, size=12, p=shares).tolist()):
                    common: dict[str, Any] = {
                        "arm_fingerprint": arm.fingerprint, "prompt_id": prompt.prompt_id, "topic": prompt.topic,
                        "decoding_id": decoding.decoding_id, "seed": 1, "salt": "", "index": index,
                    }  # fmt: skip
                    yield Score(measure="stance", value=float(pick == 0), label=LABELS[pick], **common)
                    yield Score(measure="repetition", value=float(rng.random()), **common)


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, list[Score]], list[HumanLabel]]:
    rng = np.random.default_rng(3)
    found: dict[str, list[Score]] = {"stance": [], "repetition": []}
    for score in scores(rng):
        found[score.measure].append(score)
    said = [
        HumanLabel(
            key=(s.arm_fingerprint, s.prompt_id, s.decoding_id, 1, "", s.index or 0),
            label=("F" if s.label == "endorse" else "T") if rng.random() < 0.9 else "H",
            rater=rater,
        )
        for s in found["stance"]
        if s.decoding_id == WARM.decoding_id and (s.index or 0) < 5
        for rater in (("ana", "bia") if s.index == 0 else ("ana",))
    ]
    return found, said


def few(made: tuple[Any, Any], alpha: float, arms: int = 2, stopping: Stopping | None = None) -> Analysis:
    """One decoding and no texts: fast."""
    battery = dataclasses.replace(BATTERY, alpha=alpha, decodings=(WARM,))
    return analyse(battery, "pt", ARMS[:arms], made[0], stopping=stopping)


def run(made: tuple[Any, Any], alpha: float) -> Analysis:
    """Every design at once."""
    battery = dataclasses.replace(BATTERY, alpha=alpha)
    found, said = made
    first = few(made, alpha)
    rows = [row for row in first.contrasts if row.tuned != row.reference]
    effects = {question(row): Effect(topics=dict.fromkeys(TOPICS, 0.1), prompts=2, completions=9) for row in rows}
    effects = {
        key: dataclasses.replace(effect, topics={t: 0.01 * k for k, t in enumerate(TOPICS)})
        for key, effect in effects.items()
    }
    return analyse(
        battery, "pt", ARMS, found, labels=said,
        beside=[Beside(run="other", language="en", effects=effects)],
    )  # fmt: skip


def intervals(value: Any, path: str = "") -> Iterator[tuple[str, Interval]]:
    """Every interval inside a result; those of equivalence are named so."""
    if isinstance(value, Interval):
        yield path, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inside = "equivalence" if isinstance(value, Equivalence) else f"{path}.{field.name}"
            yield from intervals(getattr(value, field.name), inside)
    elif isinstance(value, tuple):
        for item in value:
            name = f"{path}:{item.design}:{item.name}" if hasattr(item, "design") else path
            yield from intervals(item, name)


def test_every_interval_and_every_printed_percentage_follow_the_declared_level(made: Any) -> None:
    analysis = run(made, 0.01)
    held = list(intervals(analysis))
    designs = {path.split(":")[1] for path, _ in held if ":" in path}
    assert designs >= {
        "composition", "runs", "dose", "temperature", "language", "robust", "families", "curve", "correction",
        "agreement", "rare",
    }  # fmt: skip
    assert {(path, i.level) for path, i in held if i.level != (0.98 if path == "equivalence" else 0.99)} == set()
    assert analysis_from_json(identity.plain(analysis)).alpha == 0.01
    view = ReportView(
        battery=dataclasses.replace(BATTERY, alpha=0.01), language="pt", arms=ARMS, prompts=PROMPTS,
        decodings=(WARM, COLD), analysis=analysis,
    )  # fmt: skip
    for locale in ("pt", "en"):
        page = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", render_page(view, locale), flags=re.S)
        assert len(re.findall(r"\b99%", page)) > 5
        assert "98%" in page
        assert not re.findall(rf".{{30}}{FIXED_LEVEL}.{{30}}", page)


@pytest.mark.parametrize("locale", ["pt", "en"])
def test_no_sentence_has_a_level_of_its_own(locale: str) -> None:
    assert [key for key, sentence in table(locale).items() if re.search(FIXED_LEVEL, sentence)] == []


def test_the_level_decides(made: Any) -> None:
    wide, narrow = few(made, 0.2, arms=3), few(made, 0.005, arms=3)
    pairs = list(zip(wide.contrasts, narrow.contrasts, strict=True))
    for loose, strict in pairs:
        ours = [(row.difference, row.population.p, row.fixed.p) for row in (loose, strict)]
        assert ours[0] == ours[1]
        if loose.population.se and strict.population.interval and strict.population.interval.high < 1:
            half = strict.population.interval.high - strict.difference
            assert half == pytest.approx(t_value(0.995, loose.n_topics - 1) * loose.population.se)
            assert (loose.mde or 0) < (strict.mde or 0)
    for found, alpha in ((wide, 0.2), (narrow, 0.005)):
        own = [found.contrasts[verdict.contrast].population.p_adjusted for verdict in found.verdicts]
        assert [verdict.kind == "changed" for verdict in found.verdicts] == [p is not None and p < alpha for p in own]
    assert "80% CI" in verdict_sentence(wide, ARMS, BATTERY, "en")
    assert "IC 99,5%" in verdict_sentence(narrow, ARMS, BATTERY, "pt")


def test_looks_decide_at_the_declared_level_to_the_last_digit(made: Any) -> None:
    schedule = Schedule(scheme="obrien-fleming", sizes=(6, 12), alpha=0.01)
    errors, looks = np.array([0.1, 0.2]), np.array([1, 1])
    for alpha in (0.01, 0.02):
        width = schedule.half_width(errors, looks, alpha)
        assert schedule.level_of(width, errors, looks) == pytest.approx(alpha, rel=1e-12)
    stopping = Stopping(schedule=schedule, looks=dict.fromkeys((p.prompt_id for p in PROMPTS), 1))
    analysis = few(made, 0.01, stopping=stopping)
    levels = {i.level for path, i in intervals(analysis.contrasts) if path != "equivalence"}
    assert levels == {0.99}


def test_the_planner_asks_for_larger_effects_at_a_smaller_level() -> None:
    parts = planner.assumed_rates(0.35, topic_sd=0.1, prompt_sd=0.05)
    usual, strict = (planner.cell(parts, 12, 36, 100, 0.1, alpha=alpha) for alpha in (0.05, 0.01))
    assert usual == planner.cell(parts, 12, 36, 100, 0.1)
    assert (strict.mde_population or 0) > (usual.mde_population or 0)
    assert (strict.power or 0) < (usual.power or 0)


SMALL = """\
battery: toy
version: 1
title: {pt: Teste}
languages: [pt]
topics: {chip: {title: {pt: chip}}}
templates: {a: {pt: "Falam de {title}. Dizem que"}}
measures: {stance: {scorer: degeneration}}
"""


@pytest.mark.parametrize("alpha", ["5", "0", "-0.05", "0.95", "0.5", "5%", "true", ".nan", "[0.05]", "0.0001"])
def test_a_level_that_is_none_is_refused_with_what_was_expected(alpha: str) -> None:
    with pytest.raises(BatteryError, match=r"`alpha` is .*; expected a share from 0.005 to 0.2: .* 0.05 for 5 %"):
        read_text(f"{SMALL}alpha: {alpha}\n")


def test_a_battery_that_declares_the_usual_level_is_the_same_battery() -> None:
    plain, usual, strict = (read_text(SMALL + more).battery for more in ("", "alpha: 0.05\n", "alpha: 0.01\n"))
    assert plain.battery_hash == usual.battery_hash != strict.battery_hash
    assert (plain.alpha, strict.alpha) == (0.05, 0.01)
    assert '"alpha"' in json_schema()


def test_equivalence_tests_beside_the_family_are_adjusted_together(made: Any) -> None:
    analysis = few(made, 0.05, arms=3)
    beside = [analysis.contrasts[v.contrast] for v in analysis.beside_margins]
    assert len(beside) >= 2
    assert {row.equivalence.family_size for row in beside if row.equivalence} == {len(beside)}
    row = analysis.contrasts[0]
    tests = [
        Equivalence(margin=0.1, p=p, interval=Interval(low=-0.1, high=0.1, level=0.9), equivalent=True)
        for p in (0.03, 0.001)
    ]
    rows = [dataclasses.replace(row, role="secondary", equivalence=test) for test in (*tests, None)]
    found = adjust_beside(rows, [0, 1, 2])
    assert [x.equivalence and (x.equivalence.p, x.equivalence.equivalent) for x in found] == [
        (pytest.approx(0.06), False), (pytest.approx(0.003), True), None,
    ]  # fmt: skip
