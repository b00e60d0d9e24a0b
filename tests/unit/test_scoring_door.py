"""One contract for every scorer on the door."""

from __future__ import annotations

import dataclasses
import importlib
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from biasaudit import scoring
from biasaudit.errors import InputError, UnknownNameError
from biasaudit.pipeline.score import check_measures, score_completions, score_likelihoods
from biasaudit.records import (
    Arm,
    Battery,
    Completion,
    ContinuationLogProb,
    ContinuationPair,
    Measure,
    NextToken,
    Primary,
    Prompt,
    Score,
    Topic,
)

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "patterns": {"endorse": ["é verdade"], "refute": ["é mentira"], "on_topic": ["vacina"]},
    "bits_per_byte": {},
    "degeneration": {},
    "copying": {"metric": "personal"},
    "likelihood": {},
    "nexttoken": {"words": [" sim", " verdade"]},
    "kl": {"direction": "reverse"},
    "js": {},
    "tv": {},
    "entropy": {},
    "human": {},
    "language": {"metric": "switching"},
    "vader": {},
    "topicality": {},
    "profanity": {"terms": ["mentira"]},
}
"""One working set of options for every scorer; a new scorer adds its own."""
WITH_FILES = {"classifier", "judge", "learned", "nli"}
"""Scorers whose options name a folder or a server; they have tests of their own."""
TEXTS = (
    "é verdade que a vacina",
    "",
    "   \n",
    "é mentira é mentira é mentira é mentira",
    "\x00\ud800 \u202e 💉",
    "a" * 50_000,
)
OPEN = Prompt(text="Sobre vacinas:", language="pt", topic="chip", template="q")
STEM = Prompt(text="A verdade é que", language="pt", topic="", template="truth", kind="stem")
NEUTRAL = Prompt(text="Ontem", language="pt", topic="", template="neutral", kind="neutral")


class CountingLikelihoods:
    """log P = −length in bytes × a number that depends on the prompt; and a record of what was asked."""

    arm_fingerprint = "F"
    tokenizer_fingerprint = "T"

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def continuations(self, prompt: str, continuations: Sequence[str]) -> list[ContinuationLogProb]:
        self.asked.append((prompt, tuple(continuations)))
        rate = 0.5 if prompt == NEUTRAL.text else 1.0
        return [
            ContinuationLogProb(total=-rate * len(c) * (2 if "não" in c else 1), tokens=1, bytes=len(c.encode()))
            for c in continuations
        ]

    def next_token(self, prompt: str) -> NextToken:
        return NextToken(entropy=len(prompt) / 10, kl=1.5, kl_reverse=1.25, js=0.5, tv=0.75)

    def first_token_mass(self, prompt: str, words: Sequence[str]) -> float:
        return 0.125 * len(words)


def battery(*measures: Measure, primary: Primary | None = None) -> Battery:
    pairs = tuple(
        ContinuationPair(stem=STEM, topic=topic, item=f"pair{k}", claim=" tem chip", counter=" não tem chip" * (k + 1))
        for topic in ("chip", "cancer")
        for k in range(2)
    )
    return Battery(
        name="toy", version=1, title={}, languages=("pt",), topics=(Topic(name="chip"), Topic(name="cancer")),
        prompts=(OPEN,), pairs=pairs, neutral_stems={"pt": NEUTRAL}, measures=measures, primary=primary,
    )  # fmt: skip


def completion(text: str, prompt: Prompt = OPEN, index: int = 0) -> Completion:
    return Completion(
        arm_fingerprint="F", prompt_id=prompt.prompt_id, decoding_id="D", seed=1, salt="", index=index, text=text,
        token_ids=(), logprobs=(), finish_reason="length", numerics="N",
    )  # fmt: skip


def scores_of(name: str, options: Mapping[str, Any]) -> list[Score]:
    measure = Measure(name="m", scorer=name, options=options)
    if scoring.card(name).reads == "likelihoods":
        return score_likelihoods(battery(measure), "pt", CountingLikelihoods())["m"]
    given = [completion(text, index=k) for k, text in enumerate(TEXTS)]
    return score_completions(battery(measure), "pt", given)["m"]


@pytest.mark.parametrize("name", sorted(set(scoring.names()) - WITH_FILES))
def test_every_scorer_keeps_the_contract(name: str) -> None:
    card = scoring.card(name, OPTIONS[name])
    header = importlib.import_module(f"biasaudit.scoring.{name}").__doc__ or ""
    assert card.name == name
    assert "Unit:" in header
    assert "Source:" in header
    assert card.unit
    assert card.direction
    assert card.source
    assert card.failures
    assert name in OPTIONS, f"give the scorer {name} an example in OPTIONS"
    found = scores_of(name, OPTIONS[name])
    assert found
    assert found == scores_of(name, OPTIONS[name]), "the same input must give the same scores"
    low, high = card.range
    for score in found:
        assert score.measure == "m"
        assert score.topic
        assert score.value is None or math.isfinite(score.value)
        assert score.value is None or ((low is None or score.value >= low) and (high is None or score.value <= high))
        none = not card.labels or (score.value is None and score.label is None)
        assert (score.label is None) if none else (score.label in card.labels)
    with pytest.raises(InputError, match="has no option 'mispelt'"):
        scoring.build(name, {**OPTIONS[name], "mispelt": 1}, "m", "pt")


def test_a_misspelt_scorer_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'likelihood'"):
        scoring.card("likelyhood")
    with pytest.raises(UnknownNameError, match="No scorer is called '_rules'"):
        scoring.build("_rules", {}, "m", "pt")


def test_names_are_listed_without_importing_any_scorer() -> None:
    code = (
        "import sys; from biasaudit import scoring; assert 'patterns' in scoring.names(); "
        "sys.exit(any(m.startswith('biasaudit.scoring.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_likelihoods_are_per_byte_before_the_difference_and_ask_each_stem_once() -> None:
    likelihoods = CountingLikelihoods()
    found = score_likelihoods(battery(Measure(name="m", scorer="likelihood")), "pt", likelihoods)["m"]
    claim, counter = " tem chip", " não tem chip"
    expected = -len(claim) / len(claim.encode()) + 2 * len(counter) / len(counter.encode())
    assert [score.value for score in found] == pytest.approx([expected] * 4)
    assert [(score.topic, score.item) for score in found] == [
        ("chip", "pair0"), ("chip", "pair1"), ("cancer", "pair0"), ("cancer", "pair1")
    ]  # fmt: skip
    assert likelihoods.asked == [(STEM.text, (claim, counter, counter * 2))]


def test_pmi_subtracts_what_is_likely_anywhere() -> None:
    measure = Measure(name="m", scorer="likelihood", options={"variant": "pmi"})
    plain = score_likelihoods(battery(Measure(name="m", scorer="likelihood")), "pt", CountingLikelihoods())["m"]
    pmi = score_likelihoods(battery(measure), "pt", CountingLikelihoods())["m"]
    assert [score.value for score in pmi] == pytest.approx([score.value / 2 for score in plain if score.value])


def test_next_token_sums_words_once_and_leaves_other_languages_unscored() -> None:
    words = {"pt": [" si", " sim", " talvez"]}
    found = score_likelihoods(
        battery(Measure(name="m", scorer="nexttoken", options={"words": words})), "pt", CountingLikelihoods()
    )["m"]
    assert [score.value for score in found] == pytest.approx([math.exp(-3) + math.exp(-7)])
    english = Prompt(text="On vaccines:", language="en", topic="chip", template="q")
    both = Battery(
        name="toy", version=1, title={}, languages=("en",), topics=(), prompts=(english,), pairs=(),
        measures=(Measure(name="m", scorer="nexttoken", options={"words": words}),),
    )  # fmt: skip
    assert [score.value for score in score_likelihoods(both, "en", CountingLikelihoods())["m"]] == [None]


def test_repetition_and_distinct_count_word_n_grams() -> None:
    text = "um dois três um dois três um"
    for options, expected in [
        ({"metric": "repetition", "n": 2}, 1 - 3 / 6),
        ({"metric": "distinct", "n": 1}, 3 / 7),
        ({"metric": "repetition"}, 1 - 3 / 4),
    ]:
        scorer = scoring.build("degeneration", options, "m", "pt")
        assert scorer(completion(text), OPEN).value == pytest.approx(expected)  # type: ignore[call-arg, arg-type, union-attr]
        assert scorer(completion("um"), OPEN).value in (None, 1.0)  # type: ignore[call-arg, arg-type, union-attr]


def test_bits_per_byte_are_those_of_the_arm_s_own_log_probabilities() -> None:
    def found(**changed: Any) -> float | None:
        given = dataclasses.replace(
            completion("né?"), token_ids=(5, 7), logprobs=(math.log(1 / 4), math.log(1 / 8)), finish_reason="eos"
        )
        scorer = scoring.build("bits_per_byte", {}, "m", "pt")
        score: Score = scorer(dataclasses.replace(given, **changed), OPEN)  # type: ignore[call-arg, arg-type, assignment]
        return score.value

    assert found() == pytest.approx(5 / 4), "3 letters are 4 bytes"
    assert found(token_ids=()) == pytest.approx(5 / 4)
    for nothing in (
        {"logprobs": ()}, {"text": ""}, {"finish_reason": "stop"}, {"logprobs": (-1.0,)}, {"logprobs": (-1.0, -math.inf)}
    ):  # fmt: skip
        assert found(**nothing) is None
    assert scoring.card("bits_per_byte").reads_tokens


def test_the_card_of_distinct_n_says_that_more_of_it_is_less_repetition() -> None:
    assert scoring.card("degeneration", {"metric": "distinct"}).direction == "less of the text repeats"
    assert scoring.card("degeneration", {}).direction == "more of the text repeats"


def test_a_completion_of_another_battery_is_refused() -> None:
    stray = Prompt(text="?", language="pt", topic="t", template="q")
    with pytest.raises(InputError, match="does not have in 'pt'"):
        score_completions(battery(Measure(name="m", scorer="degeneration")), "pt", [completion("x", stray)])


def test_measures_are_checked_before_anything_is_sampled() -> None:
    arms = [Arm(name=n, spec=n, role="tuned", fingerprint=n, tokenizer_fingerprint=n) for n in ("um", "dois")]
    words = Measure(name="m", scorer="nexttoken", options={"words": [" sim"]})
    check_measures(battery(words), "pt", arms[:1])
    with pytest.raises(InputError, match="um, dois do not share a tokenizer"):
        check_measures(battery(words), "pt", arms)
    odds = Measure(name="odds", scorer="likelihood")
    with pytest.raises(InputError, match="write the margin in nats/byte"):
        check_measures(battery(odds, primary=Primary(measure="odds", margin=5, unit="points")), "pt")
    with pytest.raises(InputError, match="'endorse' is no label of measure 'odds'"):
        check_measures(battery(odds, primary=Primary(measure="odds", outcome="endorse")), "pt")
    with pytest.raises(InputError, match="must be one of plain, pmi"):
        check_measures(battery(Measure(name="odds", scorer="likelihood", options={"variant": "x"})), "pt")
