"""Runs that nobody hopes for: one text, nothing scored, constants, arms with different keys, labels for one arm only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from biasaudit import identity
from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel
from biasaudit.pipeline.analyse import analyse
from biasaudit.pipeline.declared import check_one_dose
from biasaudit.pipeline.render import verdict_sentence
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Role, Score, Topic
from biasaudit.results import Analysis
from biasaudit.stats.rows import result_rows

Says = Callable[[np.random.Generator, str, int, int], Any]
"""(rng, arm, prompt, index) -> label or value."""
MEASURES = (
    Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),
    Measure(name="repetition", scorer="degeneration"),
)
CARD = {"base_fingerprint": "B", "tokens": 9, "steps": 3, "learning_rate": 1e-4, "seed": 1}
ROLES: dict[str, Role] = {"base": "base", "placebo": "placebo"}


def arms(*names: str, **cards: dict[str, Any]) -> tuple[Arm, ...]:
    return tuple(
        Arm(
            name=name, spec=name, role=ROLES.get(name, "tuned"), fingerprint=f"F-{name}", tokenizer_fingerprint="T",
            language="pt", card={**CARD, "corpora": [name], **cards.get(name, {})} if name != "base" else {},
        )
        for name in names
    )  # fmt: skip


THREE = arms("base", "placebo", "tuned")


def battery(topics: int = 12, templates: int = 2, primary: str = "stance", decodings: int = 1) -> Battery:
    names = [f"t{k}" for k in range(topics)]
    asked = Primary(measure="stance", outcome="endorse", margin=5.0, unit="points")
    return Battery(
        name="hostile", version=1, title={}, languages=("pt",), pairs=(), measures=MEASURES,
        topics=tuple(Topic(name=name, claim={"pt": name}) for name in names),
        prompts=tuple(
            Prompt(text=f"{name} {word}?", language="pt", topic=name, template=f"w{word}")
            for name in names for word in range(templates)
        ),
        decodings=(Decoding(), Decoding(temperature=0.7))[:decodings],
        primary=asked if primary == "stance" else Primary(measure="repetition", outcome="value"),
    )  # fmt: skip


def any_label(rng: np.random.Generator, *_: object) -> str:
    return str(rng.choice(["endorse", "refute", "neutral"]))


def any_value(rng: np.random.Generator, *_: object) -> float:
    return float(rng.random())


def scores(
    asked: Battery, models: Sequence[Arm], label: Says = any_label, value: Says = any_value, n: int = 6,
    kept: Callable[[Score], bool] = lambda score: True,
) -> dict[str, list[Score]]:  # fmt: skip
    rng = np.random.default_rng(3)
    stance, repetition = [], []
    for arm in models:
        for decoding in asked.decodings:
            for place, prompt in enumerate(asked.prompts):
                for index in range(n):
                    said = label(rng, arm.name, place, index)
                    made = Score(
                        measure="stance", arm_fingerprint=arm.fingerprint, prompt_id=prompt.prompt_id,
                        topic=prompt.topic, decoding_id=decoding.decoding_id, seed=1, salt=arm.salt, index=index,
                        value=None if said is None else float(said == "endorse"), label=said,
                    )  # fmt: skip
                    number = value(rng, arm.name, place, index)
                    stance.append(made)
                    repetition.append(dataclasses.replace(made, measure="repetition", label=None, value=number))
    return {"stance": list(filter(kept, stance)), "repetition": list(filter(kept, repetition))}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)


def sound(found: Analysis, asked: Battery, models: Sequence[Arm]) -> str:
    """The verdict in English, after a look at every number and at the words of both languages."""
    assert all(math.isfinite(number) for number in numbers(identity.plain(found)))
    assert all(row["method"] and row["source"] for row in result_rows(found))
    said = [verdict_sentence(found, models, asked, locale) for locale in ("pt", "en")]
    assert not any(word in f" {text} ".casefold() for text in said for word in (" nan", " inf ", "none,", "∞"))
    return said[1]


def constant(value: Any) -> Says:
    return lambda *_: value


def one_arm(value: Any, other: Any) -> Says:
    return lambda _, arm, *__: value if arm == "tuned" else other


def only(*, even: bool) -> Callable[[Score], bool]:
    return lambda score: (score.arm_fingerprint == "F-tuned") == ((score.index or 0) % 2 == 0) or not even


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one prompt and one completion": ({"topics": 1, "templates": 1}, {"n": 1}, "too small to find any difference"),
    "two topics": ({"topics": 2}, {}, "For exactly these 4 prompts"),
    "one completion a prompt": ({}, {"n": 1}, "not evidence of none"),
    "nothing scored": ({}, {"label": constant(None), "value": constant(None)}, "no verdict"),
    "one arm not scored": ({}, {"label": one_arm(None, "endorse"), "value": one_arm(None, 1.0)}, "no verdict"),
    "constants": ({}, {"label": constant("neutral"), "value": constant(0.5)}, "exactly these 24 prompts"),
    "all of one arm": ({}, {"label": one_arm("endorse", "neutral"), "value": one_arm(1.0, 0.0)}, "+100.0 points"),
    "one topic moves": ({}, {"label": lambda _, arm, place, __: "endorse" if arm == "tuned" and place < 2 else "neutral"},
                        "not evidence of none"),
    "no index in common": ({}, {"kept": only(even=True)}, "not evidence of none"),
    "every other key of one arm": (
        {}, {"kept": lambda score: score.arm_fingerprint != "F-tuned" or score.index % 2 == 0}, "not evidence of none",
    ),
    "no prompt in common": (
        {}, {"kept": lambda score: (score.arm_fingerprint == "F-tuned") == (int(score.topic[1:]) % 2 == 0)},
        "no verdict",
    ),
    "an arm without scores": ({}, {"kept": lambda score: score.arm_fingerprint != "F-tuned"}, "no verdict"),
}  # fmt: skip
"""Battery, scores, and words of the English verdict."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("primary", ["stance", "repetition"])
def test_a_hostile_run_gives_numbers_and_a_sentence(name: str, primary: str) -> None:
    design, given, words = CASES[name]
    asked = battery(**design, primary=primary)
    said = sound(analyse(asked, "pt", THREE, scores(asked, THREE, **given)), asked, THREE)
    if primary == "stance":
        assert words.casefold() in said.casefold()


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e200])
def test_a_score_that_is_no_usable_number_is_refused_by_name(value: float) -> None:
    asked = battery()
    held = scores(asked, THREE, value=lambda _, arm, place, index: value if (place, index) == (3, 2) else 0.5)
    with pytest.raises(InputError, match=r"measure 'repetition': a score is .*completion 2\).*between ±1e\+100"):
        analyse(asked, "pt", THREE, held)


@pytest.mark.parametrize("labelled", [("tuned",), ("base",), ("base", "placebo", "tuned")])
def test_labels_of_some_arms_only_correct_nothing_and_break_nothing(labelled: tuple[str, ...]) -> None:
    asked = battery()
    people = [
        HumanLabel(
            key=(f"F-{arm}", prompt.prompt_id, asked.decodings[0].decoding_id, 1, "", index), label="T", rater="ana"
        )
        for arm in labelled for prompt in asked.prompts for index in range(6)
    ]  # fmt: skip
    found = analyse(asked, "pt", THREE, scores(asked, THREE), labels=people)
    said = sound(found, asked, THREE)
    corrected = {(row.tuned, row.reference) for row in found.contrasts if row.corrected}
    assert (("tuned", "placebo") in corrected) is (len(labelled) == 3)
    assert ("corrected by people" in said) is (len(labelled) == 3)


@pytest.mark.parametrize("text", ["", "olá mundo", "\x00", "😀"])
def test_arms_that_wrote_the_same_texts_are_not_apart(text: str) -> None:
    asked = battery()
    texts = {arm.name: {p.prompt_id: {k: f"{text * k}" for k in range(6)} for p in asked.prompts} for arm in THREE}
    found = analyse(asked, "pt", THREE, scores(asked, THREE), texts=texts)
    sound(found, asked, THREE)
    apart = [row for row in found.findings if row.design == "text" and row.tuned == "tuned"]
    assert {row.name for row in apart} == {"energy", "mmd", "c2st", "length"}
    assert all(row.p is not None and row.p > 0.5 for row in apart if row.name != "length")
    assert all((row.estimate, row.p) == (0.0, None) for row in apart if row.name == "length")


def test_rows_of_rare_outcomes_say_that_their_interval_is_not_calibrated() -> None:
    models = arms("base", "placebo", "half", "full", placebo={"dose": 0.0}, half={"dose": 0.5}, full={"dose": 1.0})
    asked = battery(decodings=2)

    def labels(rate: float) -> Says:
        return lambda rng, _, place, __: "endorse" if rng.random() < rate * (1 + place % 3) else "neutral"

    for rate, rare in ((0.02, True), (0.2, False)):
        found = analyse(asked, "pt", models, scores(asked, models, label=labels(rate), n=30))
        own = [row for row in found.findings if row.outcome == "endorse" and row.interval is not None]
        for design in ("dose", "temperature", "curve"):
            methods = {row.method.endswith("not calibrated for a rare outcome") for row in own if row.design == design}
            assert methods == {rare}, design


def test_a_model_that_is_said_to_have_two_doses_has_none() -> None:
    models = arms("base", "half", "full", "again", half={"dose": 0.5}, full={"dose": 1.0}, again={"dose": 0.25})
    asked = battery()
    three = analyse(asked, "pt", models, scores(asked, models))
    dose = next(row for row in three.findings if row.design == "dose")
    assert dose.details["arms"] == ["half", "full", "again"]
    twin = dataclasses.replace(models[3], fingerprint="F-full", salt="x")
    models = (*models[:3], twin)
    assert not [row for row in analyse(asked, "pt", models, scores(asked, models)).findings if row.design == "dose"]


def test_two_doses_for_one_model_are_refused_before_anything_is_sampled() -> None:
    models = arms("base", "half", "full", half={"dose": 0.5}, full={"dose": 1.0})
    check_one_dose(models)
    twin = dataclasses.replace(models[2], name="again", salt="x", card={**models[2].card, "dose": 0.25})
    with pytest.raises(InputError, match=r"arms full and again are one model, but their doses are 1 and 0\.25"):
        check_one_dose((*models, twin))
    check_one_dose((*models, dataclasses.replace(twin, card=models[2].card)))
