"""Next-token scorer: how much probability does the arm give to a text that begins with one of the declared words?

Unit: probability, 0 to 1, for each open prompt. A word may be several tokens long. With `event: word` (the default) the
value is the sum over words of the product of their tokens' probabilities, each given the tokens before it: the chance
that the text begins with a word in the tokenizer's own spelling, a lower bound of the chance of the words. With `event:
first_token` it is the chance that the next token is the first token of any declared word, each token counted once: an
upper bound of the former, for other words may begin alike.
Source: exact probability in place of samples wherever a label depends on the first tokens alone (Rao–Blackwell).

Not for: arms with different tokenizers, whose next-token events differ; such arms are refused. There is no sampling
error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from biasaudit.errors import InputError
from biasaudit.records import Battery, Likelihoods, LikelihoodScorer, Score, ScorerCard
from biasaudit.scoring._nexttokens import asked
from biasaudit.scoring._options import chosen, known_only, listed

CARD = ScorerCard(
    name="nexttoken",
    unit="probability",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="the text begins with a declared word more often",
    reads="likelihoods",
    source="exact next-token probabilities of a declared word list",
    failures="Counts one tokenization of each word, and longer words that begin like a declared one.",
    same_tokenizer=True,
)
EVENTS = ("word", "first_token")


def build(options: Mapping[str, Any], measure: str, language: str) -> LikelihoodScorer:
    """Make the scorer; options: `event`, and `words`: a list, or one a language, each word with its leading blank.

    Raises:
        InputError: no words, or an option is unknown.
    """
    known_only(options, ("words", "event"), measure, CARD.name)
    words = listed(options, "words", language, measure)
    if words is not None and (not words or any(not isinstance(word, str) or not word.strip() for word in words)):
        raise InputError(f"measure '{measure}': option 'words' must hold at least one word, each of them text.")
    first = chosen(options, "event", EVENTS, "word", measure) == "first_token"
    return _NextToken(measure=measure, words=None if words is None else _disjoint(words), first=first)


def _disjoint(words: list[str]) -> tuple[str, ...]:
    """Drop words that begin with another declared word: their event is inside the shorter one's."""
    kept: list[str] = []
    for word in sorted(set(words), key=lambda word: (len(word), word)):
        if not any(word.startswith(shorter) for shorter in kept):
            kept.append(word)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _NextToken:
    """One measure of a declared word list."""

    measure: str
    words: tuple[str, ...] | None
    """None: the language is not covered, and every prompt stays unscored."""
    first: bool = False
    """Whether the first tokens alone are asked for."""

    def __call__(self, likelihoods: Likelihoods, battery: Battery, language: str, /) -> Iterator[Score]:
        """Yield one score for every open prompt of `language`."""
        for prompt in battery.prompts:
            if prompt.language != language:
                continue
            value = None
            if self.words is not None and self.first:
                value = asked(likelihoods, self.measure).first_token_mass(prompt.text, self.words)
            elif self.words is not None:
                found = likelihoods.continuations(prompt.text, self.words)
                value = min(1.0, math.fsum(math.exp(each.total) for each in found))
            yield Score(
                measure=self.measure,
                arm_fingerprint=likelihoods.arm_fingerprint,
                prompt_id=prompt.prompt_id,
                topic=prompt.topic,
                value=value,
            )
