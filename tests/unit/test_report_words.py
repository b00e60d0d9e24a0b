"""Words and numbers of the report in both languages."""

from __future__ import annotations

import re
import string

import pytest

from biasaudit import scoring
from biasaudit.report import sections
from biasaudit.report.numbers import Numbers
from biasaudit.report.view import LOCALES
from biasaudit.report.words import Words, table
from biasaudit.stats.verdict import CAVEATS


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_locales_have_the_same_keys() -> None:
    assert set(table("pt")) == set(table("en"))


def test_every_sentence_has_the_same_holes_in_both_locales() -> None:
    pt, en = table("pt"), table("en")
    assert {key: holes(pt[key]) for key in en} == {key: holes(en[key]) for key in en}


def test_portuguese_is_not_english_left_over() -> None:
    pt, en = table("pt"), table("en")
    same = {key for key in en if pt[key] == en[key] and re.search(r"[a-z]{4}", re.sub(r"{\w+}", "", en[key]))}
    units = {"{n} bytes", "{n} byte", "{n} tokens", "{n} token"}
    assert {en[key] for key in same} <= units | {
        "base", "placebo", "nats/byte", "prompts", "Prompts", "Prompt", "Holm", "Tokens", "Bytes", "doses",
    }  # fmt: skip


def test_every_caveat_of_the_statistics_has_a_sentence() -> None:
    assert {f"caveat.{word}" for word in CAVEATS} <= set(table("en"))


ASKED = [
    *((name, {}) for name in scoring.names() if name not in ("judge", "nexttoken", "nli", "profanity")),
    *(("judge", {"server": "openai:m@http://localhost", "metric": metric}) for metric in ("label", "agreement", "invalid")),
    *(("profanity", {"terms": ["a"], "metric": metric}) for metric in ("any", "rate")),
    ("nexttoken", {"words": ["a"]}), ("nli", {"model": "m"}), ("nli", {"model": "m", "output": "label"}),
    ("topicality", {"metric": "cosine"}), ("language", {"metric": "switching"}), ("degeneration", {"metric": "distinct"}),
    ("copying", {"metric": "personal"}), ("human", {"reads": "on_topic"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), ASKED, ids=[f"{name}-{k}" for k, (name, _) in enumerate(ASKED)])
def test_what_a_scorer_says_of_itself_has_words_in_every_locale(name: str, options: dict[str, object]) -> None:
    card = scoring.card(name, options)
    words = Words("pt")
    assert words.phrase("direction", card.direction) != card.direction
    assert [label for label in card.labels if not words.has(f"label.{label}")] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_every_section_has_a_title(locale: str) -> None:
    for name, section in sections.everything():
        assert section.TITLE[locale], name
        assert isinstance(section.ORDER, int)


def test_sections_are_listed_by_file_name() -> None:
    assert {"headline", "forest", "reader", "methods", "manifest", "limits"} <= set(sections.names())


def test_a_wings_fixed_phrase_keeps_its_number() -> None:
    assert Words("pt").phrase("method", "t on 12 topic means") == "teste t sobre 12 médias de tópico"
    assert Words("pt").phrase("method", "some new test") == "some new test"


@pytest.mark.parametrize(
    ("locale", "p", "shown"),
    [("en", 0.0, "<.001"), ("en", 0.0009, "<.001"), ("en", 0.0261, ".026"), ("en", 1.0, ">.999"),
     ("pt", 1e-300, "<0,001"), ("pt", 0.5, "0,500"), ("pt", None, "–"), ("en", 0.05, ".050"), ("en", 0.0503, ".050"),
     ("en", 0.0496, ".0496"), ("pt", 0.049996, "0,049996"), ("en", 0.00996, ".00996"), ("en", 0.4996, ".500")],
)  # fmt: skip
def test_p_has_a_floor_and_is_never_zero(locale: str, p: float | None, shown: str) -> None:
    assert Numbers(locale).p(p) == shown


def test_numbers_follow_the_language() -> None:
    assert Numbers("pt").decimal(-1234.56, 1) == "\N{MINUS SIGN}1.234,6"
    assert Numbers("en").decimal(1234.56, 1, signed=True) == "+1,234.6"
    assert Numbers("pt").percent(0.4123) == "41,2%"
    assert Numbers("en").integer(7200) == "7,200"


def test_a_number_that_rounds_to_zero_has_no_sign() -> None:
    assert Numbers("en").decimal(-0.0004, 1, signed=True) == "0.0"


def test_a_missing_number_is_a_dash_and_never_zero() -> None:
    assert {Numbers("en").decimal(None), Numbers("en").percent(None), Numbers("en").p(None)} == {"–"}
