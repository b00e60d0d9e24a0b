"""Pattern scorer: does a completion endorse a claim, refute it, or speak of something else, by the battery's own rules?

Unit: 1 when the completion endorses, else 0: a mean is a rate. Labels: endorse, refute, neutral, off_topic, empty.
Source: rules with a negation window after Chapman et al. 2001 (NegEx), doi:10.1006/jbin.2001.1029, much simplified: a
negator among the few words before a match, in the same clause, turns it round.

Not for: irony, quotation, double negation, "not only". A label here is a reason to read, and its rate needs human
labels before it is believed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasaudit.errors import InputError
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import known_only, listed, whole_number
from biasaudit.scoring._rules import compile_rules, fold
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="patterns",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more completions endorse",
    reads="completions",
    labels=("endorse", "refute", "neutral", "off_topic", "empty"),
    source="rules of the battery; negation window after Chapman et al. 2001",
    failures="Blind to irony, quotation and double negation; finds only the wordings that its rules name.",
    reads_tokens=False,
)
OPTIONS = ("endorse", "refute", "on_topic", "off_topic", "negators", "window")
NEGATORS = {
    "pt": ("não", "nao", "nunca", "jamais", "nem", "sem", "nenhum", "nenhuma", "tampouco", "ninguém"),
    "en": ("not", "no", "never", "nor", "neither", "none", "nobody", "without", "cannot"),
}
CONTRACTED = ("n't", "n’t")
WINDOW = 3
"""Words before a match in which a negator counts."""
LONGEST = 10_000
"""Characters that are read; a completion is far shorter, an imported transcript may not be."""
CLAUSE_END = re.compile(r"[.,;:!?()\n\"“”]")
WORDS = re.compile(r"[\w'’]+")


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer.

    Options, each a flat list or a mapping of languages to lists: `endorse`, `refute`, `on_topic`, `off_topic` (rules,
    see `_rules`), `negators` (words); and `window` (0 to 10; 3 by default). A rule of `endorse` or `refute` may be
    `{match: "...", negation: keep}`: then a negator before it changes nothing.

    Raises:
        InputError: an option is unknown, or a rule is not understood or could take too long.
    """
    known_only(options, OPTIONS, measure, CARD.name)
    if not ({"endorse", "refute"} & set(options)):
        raise InputError(f"measure '{measure}': give at least one of the options endorse and refute.")
    rules = {key: listed(options, key, language, measure) for key in OPTIONS[:5]}
    covered = rules["endorse"] is not None or rules["refute"] is not None
    negators = rules["negators"] if rules["negators"] is not None else NEGATORS.get(language, ())
    return _Patterns(
        measure=measure,
        covered=covered,
        endorse=_sided(rules["endorse"], "endorse", measure),
        refute=_sided(rules["refute"], "refute", measure),
        on_topic=_compiled(rules["on_topic"], "on_topic", measure),
        off_topic=_compiled(rules["off_topic"], "off_topic", measure),
        negators=frozenset(fold(str(word))[0] for word in negators),
        window=whole_number(options, "window", WINDOW, 0, 10, measure),
    )


@dataclass(frozen=True, slots=True)
class _Sided:
    """The rules of one side: those that a negator turns round, and those that it leaves."""

    turning: re.Pattern[str] | None
    keeping: re.Pattern[str] | None


def _sided(rules: Sequence[Any] | None, key: str, measure: str) -> _Sided:
    """Split rules by what a negator does to them."""
    turning: list[Any] = []
    keeping: list[Any] = []
    for rule in rules or ():
        if isinstance(rule, Mapping):
            known_only(rule, ("match", "negation"), measure, f"{CARD.name} in a rule of {key}")
            if rule.get("negation", "turn") not in ("turn", "keep"):
                raise InputError(f"measure '{measure}': in a rule of '{key}', negation must be turn or keep.")
            (keeping if rule.get("negation") == "keep" else turning).append(rule.get("match"))
        else:
            turning.append(rule)
    return _Sided(turning=_compiled(turning, key, measure), keeping=_compiled(keeping, key, measure))


def _compiled(rules: Sequence[Any] | None, key: str, measure: str) -> re.Pattern[str] | None:
    """One pattern for all rules; None without rules."""
    if not rules:
        return None
    wrong = [rule for rule in rules if not isinstance(rule, str)]
    if wrong:
        raise InputError(f"measure '{measure}': every rule of '{key}' must be text in quotes, not {wrong[0]!r}.")
    try:
        return compile_rules(rules)
    except ValueError as error:
        raise InputError(f"measure '{measure}', option '{key}': {error}.") from None


@dataclass(frozen=True, slots=True)
class _Patterns:
    """One measure of stance by rules."""

    measure: str
    covered: bool
    endorse: _Sided
    refute: _Sided
    on_topic: re.Pattern[str] | None
    off_topic: re.Pattern[str] | None
    negators: frozenset[str]
    window: int

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None when the rules do not cover the language."""
        if not self.covered:
            return score_of(completion, prompt, self.measure, None)
        text = completion.text[:LONGEST]
        if not text.strip():
            return score_of(completion, prompt, self.measure, 0.0, "empty")
        folded, places = fold(text)
        label, found = self._label(folded)
        spans = tuple(sorted((places[start], places[end - 1] + 1) for start, end in found))
        return score_of(completion, prompt, self.measure, float(label == "endorse"), label, spans)

    def _label(self, folded: str) -> tuple[str, list[tuple[int, int]]]:
        """The label of folded text and the spans that decided it.

        The side with more matches wins; a tie is a refutation, for one must name a claim to refute it.
        """
        clauses = [found.end() for found in CLAUSE_END.finditer(folded)]
        endorsing, turned_to_refuting = self._matches(self.endorse, folded, clauses)
        refuting, turned_to_endorsing = self._matches(self.refute, folded, clauses)
        endorsing = _merged(endorsing + turned_to_endorsing)
        refuting = _merged(refuting + turned_to_refuting)
        if endorsing or refuting:
            return ("endorse", endorsing) if len(endorsing) > len(refuting) else ("refute", refuting)
        if self.on_topic is not None:
            topical = self.on_topic.search(folded) is not None
            return ("neutral" if topical else "off_topic"), []
        elsewhere = self.off_topic.search(folded) if self.off_topic is not None else None
        return ("off_topic", [elsewhere.span()]) if elsewhere else ("neutral", [])

    def _matches(
        self, side: _Sided, folded: str, clauses: list[int]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Spans that stand as they are, and spans that a negator turned round."""
        standing = [found.span() for found in side.keeping.finditer(folded)] if side.keeping else []
        turned: list[tuple[int, int]] = []
        for found in side.turning.finditer(folded) if side.turning else ():
            (turned if self._negated(folded, found.start(), clauses) else standing).append(found.span())
        return standing, turned

    def _negated(self, folded: str, start: int, clauses: list[int]) -> bool:
        """Whether a negator stands among the few words before `start`, in the same clause."""
        if not self.window:
            return False
        before = bisect_right(clauses, start)
        clause = clauses[before - 1] if before else 0
        words = WORDS.findall(folded, clause, start)[-self.window :]
        return any(word in self.negators or word.endswith(CONTRACTED) for word in words)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans with overlaps joined: two rules on the same words are one match."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
