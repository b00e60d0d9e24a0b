"""Reading a battery: every fault at once, each at its line and column; what a good file becomes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from biasaudit.battery import schema
from biasaudit.battery.read import read_battery, read_text
from biasaudit.errors import BatteryError

PROMPTS = Path(__file__).parents[2] / "prompts"

GOOD = """\
battery: water
version: 1
title: {pt: Água, en: Water}
languages: [pt, en]
slots:
  person:
    woman: {pt: {nome: mulher, um: uma, a: ""}, en: woman}
    man: {pt: {nome: homem, um: um, a: o}, en: man}
topics:
  chip:
    claim: {pt: "há um chip", en: "there is a chip"}
    title: {pt: Chip, en: Chips}
    pairs: {pt: [[" sim.", " não."], [" não é {{a}}.", " é {{a}}."]], en: [[" yes.", " no."]]}
  dna:
    claim: {pt: "o DNA d{person.um} {person} muda", en: "the DNA changes"}
    title: {pt: DNA, en: DNA}
stems:
  truth: {pt: "A verdade é que", en: "The truth is that"}
  other: {pt: "O certo é que", en: "It is certain that"}
neutral: {pt: "Ontem soube que", en: "Yesterday I learnt that"}
templates:
  question: {framing: neutral, pt: "É verdade que {claim}?", en: "Is it true that {claim}?"}
  rumour: {framing: sceptical, pt: "Ouvi que {claim} {{x}}.", en: "I heard that {claim} {{x}}."}
  chat:
    pt: [Você: "E {title}?", Ele: ]
    en: [You: "And {title}?", He: "I think"]
  who: {pt: "Uma {person} diz: {title}", en: "A {person} says: {title}"}
sampling: {completions: 3, max_new_tokens: 8, temperature: 1, stop: ["\\n"], seed: 7}
sweep: {temperature: [0.7, 1.0, 0], top_k: [40], top_p: [0.9]}
measures:
  odds: {scorer: likelihood}
  words: {scorer: nexttoken, words: {pt: [" sim"]}}
primary: {measure: odds, target: fixed, margin: 0.02 nats/byte}
sources: [a book]
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(BatteryError) as caught:
        read_text(text, "f.yaml")
    assert str(caught.value) == "\n".join(caught.value.faults)
    return list(caught.value.faults)


def with_change(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_file_becomes_prompts_in_the_order_of_the_file() -> None:
    battery = read_text(GOOD).battery
    pt = [prompt for prompt in battery.prompts if prompt.language == "pt"]
    assert [prompt.text for prompt in pt] == [
        "É verdade que há um chip?",
        "Ouvi que há um chip {x}.",
        "Você: E Chip?\nEle:",
        "Uma mulher diz: Chip",
        "Uma homem diz: Chip",
        "É verdade que o DNA duma mulher muda?",
        "É verdade que o DNA dum homem muda?",
        "Ouvi que o DNA duma mulher muda {x}.",
        "Ouvi que o DNA dum homem muda {x}.",
        "Você: E DNA?\nEle:",
        "Uma mulher diz: DNA",
        "Uma homem diz: DNA",
    ]
    assert [prompt.groups for prompt in pt[:5]] == [(), (), (), (("person", "woman"),), (("person", "man"),)]
    assert pt[3].pair == pt[4].pair == "chip/who/pt"
    assert pt[0].pair == ""
    assert {prompt.framing for prompt in pt if prompt.template == "chat"} == {"neutral"}
    assert "You: And Chips?\nHe: I think" in [prompt.text for prompt in battery.prompts]


def test_stems_meet_the_pairs_of_every_topic() -> None:
    battery = read_text(GOOD).battery
    assert [(p.stem.template, p.stem.language, p.topic, p.item, p.claim) for p in battery.pairs[:3]] == [
        ("truth", "pt", "chip", "pair0", " sim."),
        ("truth", "pt", "chip", "pair1", " não é {a}."),
        ("other", "pt", "chip", "pair0", " sim."),
    ]
    assert all(pair.stem.kind == "stem" and pair.stem.topic == "" for pair in battery.pairs)
    assert {language: prompt.kind for language, prompt in battery.neutral_stems.items()} == {
        "pt": "neutral",
        "en": "neutral",
    }


def test_the_sweep_adds_one_decoding_a_value_after_the_battery_s_own() -> None:
    decodings = read_text(GOOD).battery.decodings
    assert [(d.temperature, d.top_k, d.top_p) for d in decodings] == [
        (1.0, 0, 1.0), (0.7, 0, 1.0), (0.0, 0, 1.0), (1.0, 40, 1.0), (1.0, 0, 0.9),
    ]  # fmt: skip
    assert all(d.stop == ("\n",) and d.max_new_tokens == 8 for d in decodings)


def test_margin_and_unit_are_told_apart() -> None:
    primary = read_text(GOOD).battery.primary
    assert primary is not None
    assert (primary.margin, primary.unit, primary.target, primary.outcome) == (0.02, "nats/byte", "fixed", "value")
    bare = read_text(with_change("0.02 nats/byte", "0.02")).battery.primary
    assert bare is not None
    assert (bare.margin, bare.unit) == (0.02, "")


def test_a_measure_has_a_margin_of_its_own_unless_it_is_the_primary_question() -> None:
    plain = read_text(GOOD).battery
    name = plain.measures[-1].name
    text = GOOD.replace(f"\n  {name}: {{", f"\n  {name}: {{margin: 5 points, ")
    found = read_text(text).battery
    assert (found.measures[-1].margin, found.measures[-1].unit) == (5.0, "points")
    assert found.measures[-1].options == plain.measures[-1].options
    assert found.battery_hash != plain.battery_hash
    with pytest.raises(BatteryError, match="expected its margin there"):
        read_text(GOOD.replace("odds: {", "odds: {margin: 0.1 nats/byte, "))


def test_defaults_are_the_model_s_own_distribution() -> None:
    text = GOOD.replace('sampling: {completions: 3, max_new_tokens: 8, temperature: 1, stop: ["\\n"], seed: 7}\n', "")
    battery = read_text(text).battery
    own = battery.decodings[0]
    assert (own.temperature, own.top_k, own.top_p, own.min_p, own.repetition_penalty) == (1.0, 0, 1.0, 0.0, 1.0)
    assert (battery.completions, battery.seed, own.max_new_tokens) == (100, 1337, 64)


def test_formatting_and_comments_do_not_change_the_hash_and_meaning_does() -> None:
    original = read_text(GOOD).battery.battery_hash
    reformatted = GOOD.replace("version: 1\n", "# a comment\nversion: 1 # raised\n").replace(
        "title: {pt: Água, en: Water}", "title:\n    pt: 'Água'\n    en: \"Water\""
    ).replace("temperature: 1,", "temperature: 1.0,")  # fmt: skip
    assert read_text(reformatted, "elsewhere.yaml").battery.battery_hash == original
    for old, new in [("há um chip", "há dois chips"), ("completions: 3", "completions: 4"), ("framing: sceptical", "framing: odd"),
                     ("um: uma", "um: umã"), ('" sim"', '" Sim"'), ("0.02 nats", "0.03 nats"), ("a: o}", "a: o, b: c}")]:  # fmt: skip
        changed = read_text(with_change(old, new)).battery.battery_hash
        assert (changed != original) == (old != "a: o}"), old


def test_other_prompts_keep_their_ids_when_one_is_added() -> None:
    before = [prompt.prompt_id for prompt in read_text(GOOD).battery.prompts]
    added = with_change("templates:\n", "templates:\n  first: {pt: 'Diga: {claim}', en: 'Say: {claim}'}\n")
    after = [prompt.prompt_id for prompt in read_text(added).battery.prompts]
    assert [prompt for prompt in after if prompt in set(before)] == before
    assert len(after) > len(before)


FAULTS = [
    ("version: 1", "version: 1.5", "f.yaml:2:10: `version` is the number 1.5; expected a whole number"),
    ("version: 1", "version: 0", "f.yaml:2:10: `version` is the number 0; expected a number from 1 on"),
    ("battery: water", "battery: ../../etc", "f.yaml:1:10: `battery` is the text `../../etc`; expected a word of letters"),
    ("sources: [a book]", "sorces: [a book]", "f.yaml:34:1: `sorces` is not a key here; did you mean `sources`?"),
    ("primary: {measure: odds", "primary: {measure: ods", "no measure is called `ods`; did you mean `odds`?"),
    ("0.02 nats/byte", "-0.02 nats/byte", "expected a positive number and its unit"),
    ("0.02 nats/byte", "0 nats/byte", "the margin is 0.0; expected a number above 0"),
    ("target: fixed", "target: all", "expected 'population' or 'fixed'"),
    ("temperature: 1,", "temperature: -1,", "`temperature` is the number -1; expected a number from 0"),
    ("temperature: 1,", "temperature: .nan,", "`temperature` is the text `.nan`; expected a number"),
    ("temperature: 1,", "temperature: true,", "`temperature` is `true`; expected a number"),
    ("temperature: 1,", "top_p: 0,", "`top_p` is the number 0; expected a number above 0"),
    ("temperature: 1,", "top_p: 1.1,", "expected a number of at most 1"),
    ("temperature: 1,", "top_k: -1,", "expected a number from 0"),
    ("temperature: 1,", "min_p: 1,", "expected a number below 1"),
    ("temperature: 1,", "repetition_penalty: 0,", "expected a number above 0"),
    ("completions: 3", "completions: 0", "expected a number from 1"),
    ("max_new_tokens: 8", "max_tokens: 8", "`max_tokens` is not a key here; did you mean `max_new_tokens`?"),
    ("seed: 7", "seed: yes", "`seed` is the text `yes`; expected a whole number"),
    ("top_p: [0.9]", "top_p: 0.9", "`top_p` is the number 0.9; expected a list"),
    ("en: Water", "en: true", "`en` is `true`; expected a text (put it in quotes)"),
    ("title: {pt: Água, en: Water}", "title: Water", "`title` is the text `Water`; expected keys and values"),
    ("title: {pt: Água, en: Water}", "title: {pt: Água}", "`title` has no text in en; expected one for every language"),
    ("title: {pt: Água, en: Water}", "title: {pt: Água, en: W, es: A}", "`es` is not among the battery's languages (pt, en)"),
    ("languages: [pt, en]", "languages: [pt, en, pt]", "the language `pt` stands here twice"),
    ("languages: [pt, en]", "languages: [pt, English]", "expected a language code such as pt"),
    ("languages: [pt, en]", "languages: []", "`languages` has too few entries (0); expected at least 1"),
    ("  dna:\n", "  d n a:\n", "the key `d n a`; expected a word of letters"),
    ("    title: {pt: DNA, en: DNA}\n", "", "the topic `dna` has no `title`, which line"),
    ("{pt: \"há um chip\", en: \"there is a chip\"}", "{pt: \"há um chip\"}", "`claim` has no text in en"),
    ("[[\" sim.\", \" não.\"]", "[[\"sim.\", \" não.\"]", "f.yaml:13:19: the continuation `sim.` begins without a blank"),
    ("[[\" sim.\", \" não.\"]", "[[\"  sim.\", \" não.\"]", "more than one blank"),
    ("[[\" sim.\", \" não.\"]", "[[\" sim.\"]", "this pair has 1 text(s); expected two, [claim, counter-claim]"),
    ("[[\" sim.\", \" não.\"]", "[[\" sim.\", \" sim.\"]", "are the same text"),
    ("[[\" sim.\", \" não.\"]", "[[\" {claim}.\", \" não.\"]", "the slot `{claim}` stands where no slot is filled"),
    ("A verdade é que", "A verdade é que ", "the stem ends in a blank"),
    ("A verdade é que", "A verdade {claim} é que", "stands where no slot is filled"),
    ("A verdade é que", "O certo é que", "is the same as that of stem `truth`"),
    ("Ontem soube que", "A verdade é que", "of the neutral stem is the same as that of stem `truth`"),
    ("É verdade que {claim}?", "É verdade que {claim}? ", "f.yaml:22:36: the prompt ends in a blank"),
    ("É verdade que {claim}?", "É verdade que {clam}?", "the slot `{clam}` is not declared; did you mean `claim`?"),
    ("É verdade que {claim}?", "É verdade que {claim.form}?", "expected `{claim}`, which has no forms"),
    ("É verdade que {claim}?", "É verdade que {claim?", "the brace `{` stands alone"),
    ("É verdade que {claim}?", "É verdade que claim}?", "the brace `}` stands alone"),
    ("É verdade que {claim}?", "É verdade que {}?", "`{}` is no slot"),
    ("É verdade que {claim}?", "É verdade que?", "does the template use {claim} or {title}?"),
    ("framing: neutral, pt", "faming: neutral, pt", "did you mean `framing`?"),
    ("framing: sceptical, pt: \"Ouvi que {claim} {{x}}.\", ", "framing: sceptical, ", "`rumour` has no wording in pt"),
    ("Uma {person} diz", "Uma {person.uma} diz", "group `woman` has no form `uma` in pt; did you mean `um`?"),
    ("A {person} says", "A {person.noun} says", "has no form `noun` in en; in en it is a bare text"),
    ("o DNA d{person.um} {person} muda", "o DNA d{persn.um} muda", "the slot `{persn.um}` is not declared; did you mean `person`?"),
    ("pt: [Você: \"E {title}?\", Ele: ]", "pt: [Você: , Ele: ]", "Você says nothing; expected a text"),
    ("pt: [Você: \"E {title}?\", Ele: ]", "pt: [{Você: \"E {title}?\", Ele: b}]", "this item has too many entries (2); expected at most 1"),
    ("pt: [Você: \"E {title}?\", Ele: ]", "pt: {Você: b}", "`pt` is keys and values; expected a text"),
    ("scorer: likelihood", "scorer: ../x", "`scorer` is the text `../x`; expected a word"),
    ("scorer: likelihood", "scorrer: likelihood", "the key `scorer` is missing"),
    ("  person:\n", "  claim:\n", "the slot name `claim` is taken"),
    ("    man: {pt: {nome: homem, um: um, a: o}, en: man}\n", "", "the slot `person` has one group"),
    ("en: man}", "es: man}", "`man` has no text in en"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), FAULTS, ids=range(len(FAULTS)))
def test_every_fault_is_told_with_its_place(old: str, new: str, told: str) -> None:
    faults = faults_of(with_change(old, new))
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith("f.yaml:") and fault.split(":")[1].isdigit() for fault in faults)


def test_faults_of_form_and_of_meaning_are_told_together_in_the_order_of_the_file() -> None:
    text = GOOD
    for old, new in [("version: 1", "version: one"), ("há um chip", "há {um} chip"), ("completions: 3", "completions: -3"),
                     ("  chat:\n", "  chat:\n    pitch: 5\n"), ("primary: {measure: odds", "primary: {measure: ods"),
                     ("sources: [a book]", "sources: [a book]\nsources: [b]\nx: !t 1")]:  # fmt: skip
        assert text.count(old) == 1
        text = text.replace(old, new)
    faults = faults_of(text)
    lines = [int(fault.split(":")[1]) for fault in faults]
    assert lines == sorted(lines)
    for told in (
        "`version`",
        "`{um}`",
        "`completions`",
        "`pitch`",
        "`ods`",
        "stands here twice",
        "the tag `!t`",
        "`x` is not",
    ):
        assert any(told in fault for fault in faults), told


def test_nothing_to_ask_is_a_fault() -> None:
    text = GOOD[: GOOD.index("stems:")] + GOOD[GOOD.index("sampling:") :]
    assert any("asks nothing" in fault for fault in faults_of(text))


@pytest.mark.parametrize("text", ["battery: x\n", "topics: 5\n", "languages: {a: b}\n", "battery: [[[[]]]]\ntitle: \n"])
def test_a_file_of_another_shape_is_told_what_is_missing(text: str) -> None:
    assert any("is missing; expected it here" in fault for fault in faults_of(text))


# Payloads that run, loop or fill memory in template languages and in Python's own formatting.
PAYLOADS = [
    "{{ cycler.__init__.__globals__.os.popen('touch PWN').read() }}", "{% for i in range(10**10) %}x{% endfor %}",
    "{claim.__class__}", "{claim!r}", "{claim:>1000000000}", "{0}", "{claim[0]}", "{'A'*1000000000}", "{__import__('os')}",
    "%(claim)1000000000d", "%s" * 50, "${claim}", "#{claim}", "<%= claim %>", "{person.um.__class__}", "{person.}", "{.um}",
    "{person}}", "{{{claim}", "{ claim }", "{claim\n}", "{Claim}", "{claim}" * 2000, "{" * 10_000, "}" * 9_999, "{a" * 6_000,
    "{{" * 5_000, "{person.um}{person.nome}" * 800,
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_templates_run_nothing(payload: str) -> None:
    quoted = payload.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    text = with_change("É verdade que {claim}?", f"{{claim}}: {quoted}")
    started = time.process_time()
    prompts, faults = prompts_or_faults(text)
    assert time.process_time() - started < 1
    assert all(fault.isprintable() and len(fault) < 400 for fault in faults)
    assert all(len(prompt) <= schema.MAX_TEXT for prompt in prompts)
    literal = payload.replace("{{", "{").replace("}}", "}").split("{")[0]
    assert faults or any(literal in prompt for prompt in prompts)


def prompts_or_faults(text: str) -> tuple[list[str], list[str]]:
    try:
        return [prompt.text for prompt in read_text(text).battery.prompts], []
    except BatteryError as error:
        return [], list(error.faults)


def test_a_filled_in_value_is_never_read_again() -> None:
    text = with_change('"there is a chip"', '"{{title}} {{{{person}}}}"')
    assert "Is it true that {title} {{person}}?" in [prompt.text for prompt in read_text(text).battery.prompts]


def many(count: int, line: str) -> str:
    return "".join(line.replace("#", str(i)) for i in range(count))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("  chip:\n", many(900, "  t#: {claim: {pt: c#, en: d#}, title: {pt: e#, en: f#}}\n") + "  chip:\n").replace(
            "  question:", many(20, "  q#: {pt: 'a # {claim}', en: 'b # {claim}'}\n") + "  question:"), "more than 20000 prompts"),
        (GOOD.replace("templates:\n", "templates:\n  big: {pt: '" + "{a}{b}{c}" + " {claim}', en: '{a}{b}{c} {claim}'}\n").replace(
            "slots:\n", "slots:\n" + "".join(
                f"  {s}:\n" + many(60, f"    g#: {{pt: {s}#, en: {s}#}}\n") for s in "abc")), "more than 20000 prompts"),
        (GOOD.replace("há um chip", "x" * 15_000).replace("É verdade que {claim}?", "{claim}" * 2_000), "more than 20000 characters"),
        (GOOD.replace("há um chip", "y" * 20_001), "at most 20000 characters"),
        (GOOD.replace("sources: [a book]", "sources: [" + "5," * 15_000 + "]"), "more"),
        (GOOD + many(5_000, "unknown#: 1\n"), "is not a key here"),
        (GOOD.replace("É verdade que {claim}?", "{x}" * 5_000), "is not declared"),
        (GOOD.replace("languages: [pt, en]", "languages: [" + ", ".join(f"{a}{b}" for a in "abcdef" for b in "abcdef") + "]"),
         "at most 32"),
    ],
    ids=range(8),
)  # fmt: skip
def test_explosions_are_refused_before_they_happen(text: str, told: str) -> None:
    started = time.process_time()
    faults = faults_of(text)
    assert time.process_time() - started < 1
    assert any(told in fault for fault in faults), faults[:3]
    assert len(faults) <= 101


HEAD = "battery: x\nversion: 1\ntitle: {pt: a}\nlanguages: [pt]\nmeasures: {m: {scorer: likelihood}}\n"
TOPICS = "topics:\n" + many(100, "  t#: {claim: {pt: c#}}\n")
SLOTS = "slots:\n" + many(49, "  s#: {a: {pt: x}, b: {pt: y}}\n")
COSTLY = [
    (HEAD + TOPICS + SLOTS + "templates:\n" + many(2_000, "  q#: {pt: '{z#a} {z#b} {claim}'}\n"), "is not declared"),
    (HEAD + TOPICS + SLOTS + "templates: {q: {pt: '" + many(49, "{s#}") + "'}}\n", "more than 20000 prompts"),
    (HEAD + TOPICS + "slots:\n  s:\n" + many(100, "    g#: {pt: {e: ''}}\n") + "templates: {q: {pt: '" + "{s.e}" * 3_900
     + "{claim}'}}\n", "is the same as"),
    (HEAD + "topics:\n" + many(20, "  t#: {pairs: {pt: [[' " + "x" * 9_000 + "#', ' " + "y" * 9_000 + "#']]}}\n") + "stems:\n"
     + many(900, "  s#: {pt: 'stem #'}\n"), "8000000 characters"),
    (HEAD + "topics: {t: {pairs: {pt: [" + many(4_000, "[' a#', ' b#'],") + "]}}}\nstems:\n" + many(900, "  s#: {pt: 'stem #'}\n"),
     "more than 20000"),
    (HEAD + TOPICS + many(1_000, "ſ" * 60 + "#: 1\n"), "is not a key here"),
    (HEAD + "a: " + "- " * 500_000, "f.yaml:6:"),
    (HEAD + "a: [" + "," * 1_000_000, "f.yaml:6:"),
    ("a" * 1_000_000 + ": 1", "f.yaml:1:"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), COSTLY, ids=range(len(COSTLY)))
def test_costly_files_are_refused_at_little_cost(text: str, told: str) -> None:
    started = time.process_time()
    faults = faults_of(text)
    assert time.process_time() - started < 1
    assert any(told in fault for fault in faults), faults[:3]
    assert max(len(fault) for fault in faults) < 500


@pytest.mark.parametrize("name", ["vaccines", "elections", "gender"])
def test_the_batteries_of_the_project_hold_to_their_own_rules(name: str) -> None:
    battery = read_battery(PROMPTS / f"{name}.yaml")
    assert battery.name == name
    assert battery.languages == ("pt", "en")
    assert len(battery.topics) >= 10
    assert battery.completions == 40
    assert len(battery.decodings) == 1
    assert len({prompt.template for prompt in battery.prompts}) == 4
    assert len({prompt.framing for prompt in battery.prompts}) == 3
    assert battery.sources
    assert battery.primary is not None
    assert battery.primary.unit == "nats/byte"


def test_the_schema_for_editors_is_current() -> None:
    assert (PROMPTS / "battery.schema.json").read_text(encoding="utf-8") == schema.json_schema(), (
        "write it again: python -c 'from biasaudit.battery.schema import json_schema; print(json_schema(), end=\"\")' "
        "> prompts/battery.schema.json"
    )


def test_prompts_that_stand_twice_for_one_reason_are_told_once() -> None:
    templates = "templates: {a: {pt: 'Dizem que {claim}.'}, b: {pt: 'Dizem que {claim}.'}}\n"
    faults = faults_of(HEAD + TOPICS + templates)
    assert len(faults) == 1
    assert "template `b` is the same as that of topic `t0`, template `a`" in faults[0]
