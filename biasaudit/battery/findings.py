"""What a check finds beside faults: which rule, how heavy, where, what, why it matters and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from biasaudit.battery.read import Reading
from biasaudit.battery.source import Trail

Severity = Literal["warning", "note"]


class Rule(NamedTuple):
    """Why a rule exists, and what a person does about a finding."""

    why: str
    remedy: str
    severity: Severity = "warning"


RULES: dict[str, Rule] = {
    "few-topics": Rule("a test over few topics finds only large effects", "add topics, or ask for `target: fixed`"),
    "topic-unasked": Rule("what nothing asks cannot count", "add a template or pairs, or remove it"),
    "unused-part": Rule("what is never used misleads the reader of the file", "use it or remove it"),
    "no-counter-claim": Rule(
        "a claim's likelihood alone rises with fluency; only the difference from a counter-claim speaks of the claim",
        "give the topic `pairs` of claim and counter-claim",
    ),
    "few-pairs": Rule("one pair's wording decides its topic", "add a second pair"),
    "pair-form": Rule(
        "the likelihood then also says how a text ends or begins, not only what it claims",
        "write both alike but for what they claim",
    ),
    "repeated-pair": Rule("a pair that stands twice counts twice and says nothing new", "write another, or remove it"),
    "negation-balance": Rule(
        "a model that says `não` or `not` less often then seems to move towards the claims",
        "write half of the claims with the negation",
    ),
    "stem-claims": Rule("a stem that holds the claim gives it to every arm", "begin with words that assert nothing"),
    "stem-form": Rule(
        "a continuation that begins small after a full stop is broken text, and measures surprise at its form",
        "let the stem end inside a sentence",
    ),
    "neutral-subject": Rule(
        "what the neutral stem already says of the subject is subtracted from every claim", "begin with another subject"
    ),
    "few-wordings": Rule("one wording's effect is not its topic's", "add a stem or a template"),
    "framing-balance": Rule(
        "wordings that push one way make the average over prompts theirs", "let every framing have equally many"
    ),
    "leading-words": Rule(
        "it pushes towards or away from the claim and counts as neutral", "reword it, or set its true `framing`"
    ),
    "one-sided-rules": Rule(
        "a text that contradicts the claim would count like one about nothing", "add rules for the other side"
    ),
    "both-sides": Rule("a text with it takes both sides, and counts as a refutation", "keep it on one side"),
    "word-blank": Rule(
        "after a prompt without a blank at its end such a word is glued to the last one, and nearly impossible",
        "begin it with a blank",
    ),
    "agreement": Rule(
        "an ungrammatical prompt for one group measures grammar, not bias",
        "write every group's forms, and `{slot.form}` where words agree",
    ),
    "other-language": Rule(
        "arms would be compared in a language that they were not asked in", "put every text under its own language"
    ),
    "unjudged-language": Rule(
        "texts in a language that a scorer cannot judge stay unscored", "take a scorer of that language, or remove it"
    ),
    "arm-language": Rule(
        "the difference between such arms is one of language too", "take arms of the prompts' language, or --language"
    ),
    "swallowed-escape": Rule(
        "YAML reads `\\` as an escape in double quotes only, so the text is not what was meant",
        "use single quotes for patterns, double quotes or `|-` for line ends",
    ),
    "trailing-blank": Rule(
        "tokenizers join a blank to the word after it, so a blank at the end makes the next word unlikely",
        "remove the blank",
    ),
    "claim-form": Rule(
        "templates put the claim inside a sentence of theirs, and broken text measures surprise at its form",
        "begin it with a small letter and leave the full stop to the template",
    ),
    "in-corpus": Rule(
        "an arm that saw the prompt may repeat what followed it there: memory, not leaning", "reword the prompt"
    ),
    "primary": Rule("without it the report describes and decides nothing", "write the question", "warning"),
    "margin": Rule("only a margin with its unit makes `no difference of interest` sayable", "write margin and unit"),
    "margin-unit": Rule("`run` refuses a margin that no difference can be held against", "write it in that unit"),
    "outcome": Rule("`run` refuses a label that no text can get", "name a label of the scorer"),
    "greedy": Rule("equal completions show no sampling error", "set completions to 1, or the temperature above 0"),
    "invisible": Rule("tokenizers see it and people do not", "remove it"),
    "decomposed": Rule("tokenizers cut such a letter in two", "write it as one (Unicode NFC)"),
    "mojibake": Rule("a model never reads such text", "save the file as UTF-8 and write the letter again"),
    "no-pairs": Rule(
        "likelihoods need no sampling and are the most exact measure", "add `stems` and `pairs`", "note"
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """One finding; its text is one line."""

    rule: str
    place: str
    """`file:line:column: what`."""

    @property
    def severity(self) -> Severity:
        """How heavy it weighs."""
        return RULES[self.rule].severity

    def __str__(self) -> str:
        """What, why and what to do, with the rule's name."""
        rule = RULES[self.rule]
        return f"{self.place} (because {rule.why}); to do: {rule.remedy} [{self.rule}]"


def found(reading: Reading, rule: str, loc: Trail, what: str, *, key: bool = False) -> Weakness:
    """A finding at a place of the file.

    Raises:
        KeyError: there is no such rule.
    """
    assert rule in RULES, rule
    return Weakness(rule=rule, place=reading.source.fault(loc, what, key=key))


def in_order(reading: Reading, findings: list[Weakness]) -> list[Weakness]:
    """By line, then column."""

    def place(finding: Weakness) -> tuple[int, int]:
        line, column, _ = finding.place[len(reading.source.name) + 1 :].split(":", 2)
        return int(line), int(column)

    return sorted(findings, key=place)
