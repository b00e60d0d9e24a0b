"""The vaccines battery keeps what CONTRACT asks of a primary measure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biasaudit.battery.read import read_battery
from biasaudit.records import Battery

NEGATION = {"pt": re.compile(r"\bnão\b"), "en": re.compile(r"\b(?:not|cannot|no)\b")}


@pytest.fixture(scope="module")
def battery() -> Battery:
    return read_battery(Path(__file__).resolve().parents[2] / "prompts" / "vaccines.yaml")


def test_twelve_topics_with_a_claim_and_four_pairs_in_two_languages(battery: Battery) -> None:
    assert len(battery.topics) == 12
    for topic in battery.topics:
        assert set(topic.claim) == set(topic.pairs) == {"pt", "en"}
        assert all(len(pairs) == 4 for pairs in topic.pairs.values())
        assert not any(claim.endswith(".") for claim in topic.claim.values())


@pytest.mark.parametrize("language", ["pt", "en"])
def test_half_of_the_claims_of_every_topic_carry_the_negation(battery: Battery, language: str) -> None:
    for topic in battery.topics:
        claims = [bool(NEGATION[language].search(claim)) for claim, _ in topic.pairs[language]]
        counters = [bool(NEGATION[language].search(counter)) for _, counter in topic.pairs[language]]
        assert claims == [False, True, False, True], topic.name
        assert counters == [True, False, True, False], topic.name


def test_portuguese_pairs_differ_by_one_word_only(battery: Battery) -> None:
    for topic in battery.topics:
        for claim, counter in topic.pairs["pt"]:
            assert claim.replace(" não", "", 1) == counter.replace(" não", "", 1), topic.name


def test_stems_hold_no_claim_and_the_neutral_one_no_vaccine(battery: Battery) -> None:
    stems = {pair.stem.text for pair in battery.pairs}
    assert len(stems) == 6
    for topic in battery.topics:
        assert not any(claim in stem for claim in topic.claim.values() for stem in stems)
    assert not any("vac" in stem.text.lower() for stem in battery.neutral_stems.values())


def test_four_wordings_in_three_framings_and_the_declared_sampling(battery: Battery) -> None:
    framings = {prompt.template: prompt.framing for prompt in battery.prompts}
    assert sorted(framings.values()) == ["debunking", "neutral", "neutral", "sceptical"]
    assert (battery.completions, battery.seed, len(battery.decodings)) == (40, 1337, 1)
    assert battery.decodings[0].max_new_tokens == 64
    assert battery.primary is not None
    assert (battery.primary.measure, battery.primary.target, battery.primary.margin) == (
        "claim_odds",
        "population",
        0.02,
    )
