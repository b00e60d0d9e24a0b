"""Pattern scorer: does a completion endorse a claim, refute it, or speak of something else, by the battery's own rules?

Unit: 1 when the completion endorses, else 0: a mean is a rate. Labels: endorse, refute, neutral, off_topic, empty.
Source: rules with a negation window after Chapman et al. 2001 (NegEx), doi:10.1006/jbin.2001.1029, much simplified: a
negator among the few words before a match, in the same clause, turns it round. One that denies a saying ("no study
shows that …") reaches further, and one that denies nothing ("not only", "no doubt") does not count. So do words that
deny by their meaning ("I doubt that …", "the myth that …"); two denials with a `that` between them cancel. English
contractions are read as two words. A bare denial after the match turns it round too: an answer to its question
("causam autismo? Nada disso."), and in Portuguese what closes the clause ("chip não tem", "chip nenhum"). Where a match
of one side lies inside a longer one of the other, the longer one counts ("os números são falsos").

Not for: irony, quotation, questions without an answer, a denial in a sentence of its own. A label here is a reason to
read, and its rate needs human labels before it is believed.
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
    failures="Blind to irony, quotation, open questions and denials in another sentence; finds only the wordings that "
    "its rules name.",
    reads_tokens=False,
)
OPTIONS = ("endorse", "refute", "on_topic", "off_topic", "negators", "window")
NEGATORS = {
    "pt": ("não", "n", "naum", "nunca", "jamais", "nem", "sem", "nenhum", "nenhuma", "tampouco", "ninguém"),
    "en": ("not", "no", "never", "nor", "neither", "none", "nobody", "without", "cannot", "hardly", "dont", "doesnt",
           "didnt", "isnt", "arent", "wasnt", "werent", "cant", "wont", "havent", "hasnt"),
}  # fmt: skip
"""Folded, `ñ` is `n`: both stand for `não` in messages."""
ADDING = {"pt": ("so", "apenas", "somente", "simplesmente"), "en": ("only", "just", "merely", "simply")}
"""Right after a negator they make it add instead of deny."""
DOUBTING = {
    "pt": frozenset(["duvida", "duvidas", "duvido", "duvidam", "duvide", "nega", "nego", "negam", "negar", "negou",
                     "mentira", "falso", "boato", "mito", "lenda", "impossivel"]),
    "en": frozenset(["doubt", "doubts", "doubted", "deny", "denies", "denied", "denying", "false", "lie", "myth",
                     "impossible"]),
}  # fmt: skip
"""Words that a negator turns into assent."""
SAYING = {
    "pt": ("prova", "provou", "comprov", "eviden", "estud", "pesquis", "mostr", "demonstr", "indic", "verdade", "disse",
           "digo", "dizer", "falei", "acredit", "acho", "achei", "penso", "creio", "confirm"),
    "en": ("evidence", "proof", "prove", "stud", "research", "show", "demonstrat", "indicat", "suggest", "true", "said",
           "say", "think", "thought", "believe", "confirm"),
}  # fmt: skip
"""Beginnings of words after whose denial everything in the clause is denied."""
THINKING = ("think", "thought", "believe")
"""Of them those that need no `that` in English."""
CLAUSE = {"pt": ("que",), "en": ("that", "to", "of", "for")}
"""What is said begins with one of these words: `does not show the risk` denies no saying."""
NEAR = 4
"""Words after a negator in which `DOUBTING` and `SAYING` are looked for."""
FURTHER = 5
"""Words by which a denied saying reaches beyond the window."""
DENYING = {
    "pt": re.compile(
        r"(?<!\w)(?:(?P<near>(?:mito|boato|lenda|lorota|mentira|fake|conversa|papo) d[aeo]s?(?! que\b)|"
        r"(?:nao (?:tem|ha) )?nada de)|"
        r"(?:nao passa de )?(?:mito|boato|lenda|lorota|mentira|fake) (?:de )?que|"
        r"nada (?:prova|comprova|indica|mostra|sugere) que|(?:dificil|improvavel) que|"
        r"duvid\w+(?: muito)?(?: de)? que|desment\w+|neg(?:a|am|ou|aram|ando) que|(?:e|seria) impossivel|longe de|"
        r"tudo menos|deix(?:a|am|ou|aram|em?) de ser|"
        r"(?:deix|par)(?:a|am|ou|aram|em?) de (?:dizer|falar|espalhar|repetir|inventar))(?!\w)"
    ),
    "en": re.compile(
        r"(?<!\w)(?:(?P<near>(?:myth|rumou?r|lie|hoax) (?:of|about))|(?:myth|rumou?r|lie|hoax) that|"
        r"doubt(?:s|ed)?(?: very much)?(?: that| whether| if)?|debunk\w+|den(?:y|ies|ied|ying) that|impossible|"
        r"far from|anything but|stop(?:s|ped)? (?:being|saying|claiming|spreading))(?!\w)"
    ),
}
"""Words before a match that deny by their meaning; those called near deny the next two words alone."""
ANSWER = re.compile(
    r"""(?P<rest>[^.;:!?()\n"“”]{0,80})\?["”)\s]{0,4}"""
    r"""(?:(?:e )?(?:claro|obvio|logico|evidente) que |of course |certainly )?"""
    r"""(?P<said>[a-z]+(?: [a-z]+){0,2})(?=\s*(?:[.,;:!\n"”)]|$))"""
)
"""The bare answer to the question that a match stands in."""
REFUSALS = {
    "pt": frozenset(["mentira", "falso", "falsa", "boato", "negativo", "imagina", "nada disso", "que nada",
                     "nada a ver", "de jeito nenhum", "de forma alguma", "de modo algum", "de maneira nenhuma",
                     "nem pensar", "longe disso", "nem um pouco", "coisa nenhuma", "uma ova"]),
    "en": frozenset(["false", "nope", "wrong", "nonsense", "not at all", "no way", "far from it", "hardly"]),
}  # fmt: skip
"""What, as such an answer, denies as a negator does."""
CLOSING = {
    "pt": re.compile(
        r"\s+(?:(?:(?:coisa|porcaria) )?nenhuma?|uma ova|(?:nao|naum|n)(?:\s+(?:tem|tinha|ha|existem?|existia|possui|"
        r"contem|leva|causam?))?(?:\s+nao)?)(?=\s*(?:[.,;:!)\n]|$))"
    ),
}
"""Right after a match, at the end of its clause: a denial. With a question mark it is a tag ("tem chip, não?")."""
SHORTENED = re.compile(r"\b(?:(ca)n|(wo)n|(sha)n|(\w+)n)['’]t\b")
WHOLE = {"ca": "can", "wo": "will", "sha": "shall"}
WINDOW = 3
"""Words before a match in which a negator counts."""
LONGEST = 10_000
"""Characters that are read; a completion is far shorter, an imported transcript may not be."""
CLAUSE_END = re.compile(r"[.,;:!?()\n\"“”]")
WORDS = re.compile(r"[\w'’]+")


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer.

    Options, each a flat list or a mapping of languages to lists: `endorse`, `refute`, `on_topic`, `off_topic` (rules,
    see `_rules`), `negators` (words; needed for languages other than Portuguese and English); and `window` (0 to 10; 3
    by default). A rule of `endorse` or `refute` may be `{match: "...", negation: keep}`: then a negator before it
    changes nothing.

    Raises:
        InputError: an option is unknown, or a rule is not understood or could take too long.
    """
    known_only(options, OPTIONS, measure, CARD.name)
    if not ({"endorse", "refute"} & set(options)):
        raise InputError(f"measure '{measure}': give at least one of the options endorse and refute.")
    rules = {key: listed(options, key, language, measure) for key in OPTIONS[:5]}
    covered = rules["endorse"] is not None or rules["refute"] is not None
    negators = rules["negators"] if rules["negators"] is not None else _negators(options, language, measure)
    return _Patterns(
        measure=measure,
        covered=covered,
        endorse=_sided(rules["endorse"], "endorse", measure),
        refute=_sided(rules["refute"], "refute", measure),
        on_topic=_compiled(rules["on_topic"], "on_topic", measure),
        off_topic=_compiled(rules["off_topic"], "off_topic", measure),
        negators=frozenset(fold(str(word))[0] for word in negators),
        window=whole_number(options, "window", WINDOW, 0, 10, measure),
        language=language,
    )


def _negators(options: Mapping[str, Any], language: str, measure: str) -> Sequence[str]:
    """The usual negators of a language.

    Raises:
        InputError: none are known, so that every denial would pass for its contrary.
    """
    rules = any(listed(options, key, language, measure) for key in ("endorse", "refute"))
    if language not in NEGATORS and rules and options.get("window") != 0:
        raise InputError(
            f"measure '{measure}': no negators are known in '{language}'; give option negators (a list of words), or "
            "window: 0 where a negator should change nothing."
        )
    return NEGATORS.get(language, ())


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
    language: str

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None when the rules do not cover the language."""
        if not self.covered:
            return score_of(completion, prompt, self.measure, None)
        text = completion.text[:LONGEST]
        if not text.strip():
            return score_of(completion, prompt, self.measure, 0.0, "empty")
        folded, places = fold(text)
        if self.language == "en":
            folded, places = _written_out(folded, places)
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
        endorsing, refuting = _outside(endorsing, refuting), _outside(refuting, endorsing)
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
            denied = self._negated(folded, found.start(), clauses) or self._denied_after(folded, *found.span())
            (turned if denied else standing).append(found.span())
        return standing, turned

    def _negated(self, folded: str, start: int, clauses: list[int]) -> bool:
        """Whether what stands before `start`, in the same clause, denies it."""
        if not self.window:
            return False
        before = bisect_right(clauses, start)
        clause = clauses[before - 1] if before else 0
        words = WORDS.findall(folded, clause, start)[-self.window - FURTHER :]
        places = [at for at, word in enumerate(words) if word in self.negators and self._reaches(words, at)]
        negated = bool(places) and not self._cancel(words[places[0] + 1 : places[-1]])
        return negated != self._denying(folded, clause, start)

    def _cancel(self, between: Sequence[str]) -> bool:
        """Whether two negators deny a saying and what is said ("I do not believe that they have no …")."""
        opening = CLAUSE.get(self.language, ())[:1]
        said = [at for at, word in enumerate(between) if word.startswith(SAYING.get(self.language, ()))]
        return any(word in opening for at in said for word in between[at + 1 :])

    def _denying(self, folded: str, clause: int, start: int) -> bool:
        """Whether a word of denial stands before `start`, itself not denied."""
        known = DENYING.get(self.language)
        for found in known.finditer(folded, clause, start) if known else ():
            reach = 2 if found["near"] else self.window + FURTHER
            denied = not self.negators.isdisjoint(WORDS.findall(folded, clause, found.start())[-NEAR:])
            if not denied and len(WORDS.findall(folded, found.end(), start)) < reach:
                return True
        return False

    def _denied_after(self, folded: str, start: int, end: int) -> bool:
        """Whether what stands at `start` to `end` is a question that is denied, or its clause closes with a denial."""
        if not self.window:
            return False
        answer = ANSWER.match(folded, end)
        if answer:
            said = answer["said"].split(" ")
            if answer["said"] in REFUSALS.get(self.language, ()) or (len(said) == 1 and said[0] in self.negators):
                return True
            # "Fazem mal? Não fazem.": the question's own verb comes again.
            asked = WORDS.findall(folded, max(0, start - 40), end + len(answer["rest"]))
            if len(said) > 1 and said[0] in self.negators and said[1] in asked:
                return True
        # "não é segura não": the match has its own negator, which the second one only repeats.
        own = not self.negators.isdisjoint(WORDS.findall(folded, start, end))
        closing = CLOSING.get(self.language)
        return closing is not None and not own and closing.match(folded, end) is not None

    def _reaches(self, words: Sequence[str], place: int) -> bool:
        """Whether the negator at `place` denies what follows `words`."""
        after = words[place + 1 : place + 1 + NEAR]
        if after and after[0] in ADDING.get(self.language, ()):
            return False
        if not DOUBTING.get(self.language, frozenset()).isdisjoint(after):
            return False
        if len(words) - place <= self.window:
            return True
        said = [at for at, word in enumerate(after, start=place + 1) if word.startswith(SAYING.get(self.language, ()))]
        opening = CLAUSE.get(self.language, ())
        return any(words[at].startswith(THINKING) or any(word in opening for word in words[at + 1 :]) for at in said)


def _written_out(folded: str, places: Sequence[int]) -> tuple[str, Sequence[int]]:
    """Contractions as two words (`aren't`: `are not`), each character with its place as in `fold`."""
    parts: list[str] = []
    kept: list[int] = []
    done = 0
    for found in SHORTENED.finditer(folded):
        stem = next(group for group in found.groups() if group is not None)
        whole = WHOLE.get(stem, stem)
        start, end = found.span()
        parts += [folded[done:start], whole, " not"]
        kept += places[done:start]
        kept += [places[min(start + at, start + len(stem))] for at in range(len(whole))]
        kept += [places[start + len(stem)], *places[end - 3 : end]]
        done = end
    if not parts:
        return folded, places
    return "".join([*parts, folded[done:]]), [*kept, *places[done:]]


def _outside(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that do not lie inside a longer one of `others`."""
    return [
        (start, end)
        for start, end in spans
        if not any(low <= start and end <= high and high - low > end - start for low, high in others)
    ]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans with overlaps joined: two rules on the same words are one match."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
