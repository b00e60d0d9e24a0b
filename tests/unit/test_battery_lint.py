"""Warnings: what is allowed and weakens an audit, each with its line."""

from __future__ import annotations

import pytest

from biasaudit.battery.findings import RULES
from biasaudit.battery.lint import lint, negations
from biasaudit.battery.read import read_text
from biasaudit.errors import BatteryError

TOPIC = """\
  t#:
    claim: {pt: "o boato # circula", en: "rumour # goes round"}
    pairs:
      pt: [[" é verdade #.", " não é verdade #."], [" não é mentira #.", " é mentira #."]]
      en: [[" it's true #.", " it isn't true #."], [" it is not a lie #.", " it is a lie #."]]
"""
SOUND = (
    """\
battery: b
version: 1
title: {pt: Boatos e boato, en: B}
languages: [pt, en]
topics:
"""
    + "".join(TOPIC.replace("#", str(i)) for i in range(10))
    + """\
stems:
  truth: {pt: "A verdade é que", en: "The truth is that"}
  known: {pt: "Sabe-se que", en: "It is known that"}
templates:
  question: {framing: neutral, pt: "Será que {claim}?", en: "Could it be that {claim}?"}
  asked: {framing: neutral, pt: "Perguntaram se {claim}. Eu", en: "They asked whether {claim}. I"}
  rumour: {framing: sceptical, pt: "Escondem que {claim}.", en: "They hide that {claim}."}
  debunk: {framing: debunking, pt: "É falso que {claim}.", en: "It is false that {claim}."}
sampling: {completions: 2, temperature: 1.0}
measures: {odds: {scorer: likelihood}}
primary: {measure: odds, margin: 0.02 nats/byte}
"""
)


def warnings_of(text: str) -> list[str]:
    return [str(finding) for finding in lint(read_text(text, "f.yaml"))]


def test_a_sound_battery_has_no_warning() -> None:
    assert warnings_of(SOUND) == []


SLOTS = "slots:\n  who:\n    a: {pt: ana, en: ann}\n    b: {pt: {n: beto, o: o}, en: bob}\n"
WARNINGS = [
    (TOPIC.replace("#", "9"), "", "f.yaml:5:1: 9 topics for a population claim"),
    ('[[" é verdade 3.", " não é verdade 3."], ', "[", "`t3` has one pair in pt; at least two are needed"),
    ('[" não é mentira 3.", " é mentira 3."]', '[" é mentira 3.", " não é mentira 3."]',
     "f.yaml:24:7: negation of `t3` in pt is out of balance: it stands mostly in the counter-claims"),
    ('[" it\'s true 4.", " it isn\'t true 4."]', '[" it isn\'t true 4.", " it\'s true 4."]', "it stands mostly in the claims"),
    ('      en: [[" it\'s true 5.", " it isn\'t true 5."], [" it is not a lie 5.", " it is a lie 5."]]\n', "",
     "the topic `t5` has no pairs in en"),
    ("A verdade é que", "A verdade é que o boato 7 circula, e que", "the stem `truth` shares `o boato circula`"),
    ("  known: {pt: \"Sabe-se que\", en: \"It is known that\"}\n", "", "one stem; two or more"),
    ("framing: sceptical", "framing: debunking", "sceptical and debunking pull in opposite directions"),
    ("framing: sceptical", "framing: neutral", "`neutral` outweighs the others"),
    ("0.02 nats/byte", "0.02", "the margin 0.02 has no unit"),
    (", margin: 0.02 nats/byte", "", "no `margin`: the report can never say"),
    ("primary: {measure: odds, margin: 0.02 nats/byte}\n", "", "no `primary`: the report will describe"),
    ("temperature: 1.0", "temperature: 0", "at temperature 0 every completion of a prompt is the same"),
    ("measures: {", "sweep: {temperature: [0]}\nmeasures: {", "f.yaml:65:22: at temperature 0"),
    ("topics:\n", SLOTS + "topics:\n", "the slot `who` is never used"),
    ("topics:\n", SLOTS + "topics:\n", "the group `a` has no agreement forms in pt"),
    ("topics:\n", SLOTS.replace("{pt: ana", "{pt: {n: ana}") + "topics:\n", "the group `a` lacks forms that other groups have: o"),
    ("o boato 6 circula", "o boato 6\u202e circula", "the invisible character U+202E"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), WARNINGS, ids=range(len(WARNINGS)))
def test_every_weakness_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert SOUND.count(old) == 1
    warnings = warnings_of(SOUND.replace(old, new))
    assert any(told in warning for warning in warnings), warnings
    assert all(warning.startswith("f.yaml:") for warning in warnings)


def test_pairs_and_stems_that_never_meet_are_told() -> None:
    without_stems = SOUND[: SOUND.index("stems:")] + SOUND[SOUND.index("templates:") :]
    assert any("pairs without stems are never used" in warning for warning in warnings_of(without_stems))
    without_pairs = "\n".join(line for line in SOUND.splitlines() if "[[" not in line and "pairs:" not in line)
    assert any("stems without continuation pairs" in warning for warning in warnings_of(without_pairs))


def test_a_topic_that_nothing_asks_is_told() -> None:
    without_templates = SOUND[: SOUND.index("templates:")] + SOUND[SOUND.index("sampling:") :]
    lonely = without_templates.replace("stems:\n", '  alone: {claim: {pt: "sozinho", en: "alone"}}\nstems:\n', 1)
    assert any("the topic `alone` is never asked" in warning for warning in warnings_of(lonely))


TAB = '{scorer: likelihood}, s: {scorer: patterns, endorse: {pt: ["a\\tb"], en: [b]}, refute: {pt: [c], en: [d]}}'
WORDS = [
    ('"Será que {claim}?"', '"Como sabemos, {claim}?"', "leading-words", "is neutral and says `como sabemos`"),
    ('"The truth is that"', '"Everyone knows that"', "leading-words", "the stem is neutral and says `everyone knows`"),
    ('"Será que {claim}?"', '"Você não acha que {claim}?"', "leading-words", "says `você não acha que`"),
    ('"Será que {claim}?"', '"Infelizmente, {claim}?"', "leading-words", "says `infelizmente`"),
    ("o boato 6 circula", "o boato 6 circula.", "claim-form", "the claim ends in `.`"),
    ('pt: "o boato 6', 'pt: "O boato 6', "claim-form", "begins with a capital, `O`"),
    ('"Será que {claim}?"', '"Could it be that the {claim}?"', "other-language", "stands under pt, reads like en"),
    ('"Será que {claim}?"', "'Será que {claim}?\\n'", "swallowed-escape", "the model will read `\\n` as it stands"),
    ("{scorer: likelihood}", TAB, "swallowed-escape", "the pattern holds U+0009"),
    ("{scorer: likelihood}", "{scorer: likelihood}, s: {scorer: patterns, endorse: {pt: [a], en: [b]}}",
     "one-sided-rules", "f.yaml:65:40: the measure `s` has rules to endorse and none for the other side"),
    ('"Será que {claim}?"', '"Hablando con ellos, {claim}"', "other-language", "stands under pt, reads like es"),
    ('"Será que {claim}?"', '"O ministro admitiu que {claim}"', "leading-words", "says `admitiu que`"),
    ('" não é verdade 6."', '" não é verdade 6"', "pair-form", "one ends in `.` and the other does not"),
    ('" não é verdade 6."', '" não é verdade 6!"', "pair-form", "one ends in `.`, the other in `!`"),
    ('" é verdade 6.", " não é verdade 6."', '" é verdade 5.", " não é verdade 5."', "repeated-pair",
     "f.yaml:39:12: the pair `é verdade 5.` stands here and in the topic `t5`"),
    ('"Sabe-se que"', '"Isto se sabe."', "stem-form", "the stem `known` ends in `.`"),
    ("o boato 6 circula", "o boato 6 é\u0301 cir\u0301cula", "decomposed", "is written as a letter and an accent"),
    ("o boato 6 circula", "o boato 6 Ã© ruim", "mojibake", "the text holds `Ã©`"),
    ("o boato 6 circula", "o boato\u00a06 circula", "invisible", "U+00A0"),
    ("stems:\n", "neutral: {pt: O boato é que, en: The rain is that}\nstems:\n", "neutral-subject",
     "the neutral stem says `boato`, which a title names too"),
    ("{scorer: likelihood}", "{scorer: likelihood}, n: {scorer: nexttoken, words: {pt: [sim], en: [' yes']}}", "word-blank",
     "the word `sim` has no leading blank"),
    ("{scorer: likelihood}",
     "{scorer: likelihood}, s: {scorer: patterns, endorse: {pt: [a], en: [b]}, refute: {pt: [a], en: [c]}}",
     "both-sides", "`a` endorses and refutes alike"),
    ("o boato 6 circula", "o boato 6 circula ", "trailing-blank", "ends in a blank"),
    ('[" é verdade 6.", ', '[" é verdade 6. ", ', "trailing-blank", "ends in a blank"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "rule", "told"), WORDS, ids=[row[2] + str(i) for i, row in enumerate(WORDS)])
def test_every_weak_wording_is_told_with_reason_and_remedy(old: str, new: str, rule: str, told: str) -> None:
    assert SOUND.count(old) == 1
    warnings = [warning for warning in warnings_of(SOUND.replace(old, new)) if warning.endswith(f"[{rule}]")]
    assert any(told in warning for warning in warnings), warnings_of(SOUND.replace(old, new))
    assert all(" (because " in warning and "); to do: " in warning for warning in warnings)


@pytest.mark.parametrize("text", ["As {who} chegaram. {claim}", "Falei com a {who.n}: {claim}"])
def test_an_article_before_a_slot_cannot_agree_with_every_group(text: str) -> None:
    slots = "slots:\n  who:\n    a: {pt: {n: ana}, en: ann}\n    b: {pt: {n: beto}, en: bob}\ntopics:\n"
    battery = SOUND.replace("topics:\n", slots, 1).replace("Será que {claim}?", text)
    assert any("gives every group of `who` the same" in warning for warning in warnings_of(battery))


def test_a_form_of_its_own_before_a_slot_agrees() -> None:
    slots = "slots:\n  who:\n    a: {pt: {n: ana, o: a}, en: ann}\n    b: {pt: {n: beto, o: o}, en: bob}\ntopics:\n"
    battery = SOUND.replace("topics:\n", slots, 1).replace("Será que {claim}?", "Falei com {who.o} {who.n}: {claim}")
    assert warnings_of(battery) == []


def test_claims_without_any_pair_are_a_note_and_no_warning() -> None:
    bare = "\n".join(line for line in SOUND.splitlines() if "[[" not in line and "pairs:" not in line)
    bare = bare[: bare.index("stems:")] + bare[bare.index("templates:") :].replace(
        "likelihood", "patterns, endorse: {pt: [a], en: [b]}, refute: {pt: [c], en: [d]}"
    )
    found = lint(read_text(bare, "f.yaml"))
    assert [(finding.rule, finding.severity) for finding in found] == [("no-pairs", "note")]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_says_why_and_what_to_do(rule: str) -> None:
    assert len(RULES[rule].why) > 20
    assert len(RULES[rule].remedy) > 8


def test_an_escape_that_yaml_makes_a_control_of_names_single_quotes() -> None:
    with pytest.raises(BatteryError, match="in single quotes a backslash stays one"):
        read_text(SOUND.replace('"Será que {claim}?"', '"\\bSerá que {claim}?"'))
    with pytest.raises(BatteryError, match="put patterns in single quotes"):
        read_text(SOUND.replace('"Será que {claim}?"', '"\\sSerá que {claim}?"'))


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        (" elas não põem nem tiram.", "pt", 2), (" NUNCA vi.", "pt-BR", 1), (" naomi e sempre", "pt", 0),
        (" they don’t and can't.", "en", 2), (" nothing noted", "en", 1), (" ei ole", "fi", None),
    ],
)  # fmt: skip
def test_negations_are_counted_by_word_and_language(text: str, language: str, count: int | None) -> None:
    assert negations(text, language) == count
