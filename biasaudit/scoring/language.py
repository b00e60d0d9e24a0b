"""Language scorer: does the arm go on in the language of its prompt, and does it switch on the way?

Unit: a share. `metric: language` is 1 when the whole completion is in the prompt's language, else 0. `metric:
switching` is the share of its letters that stand in windows of another language; a window is a sentence or at most
`window` words of one. Labels: `same`, `other`, and with switching `mixed`. Unscored, for they tell too little: fewer
than 20 letters, fewer than 7 different ones (laughter, a word again and again), and what no language is likelier than
not.
Source: lingua (Stahl), models of n-grams of 1 to 5 letters, among a few languages; a window counts as foreign only from
80 % certainty on. Of 600 Portuguese and 600 English sentences cut to 20 letters it gives 2 % to another language and
leaves 19 % unscored; of those cut to 60, under 1 % and 2 %.

Not for: dialects, and languages that are not among those told apart: each text is taken for the nearest of them.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from biasaudit.errors import InputError, UsageError
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only, listed, whole_number
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="language",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more completions stay in the language of the prompt",
    reads="completions",
    labels=("same", "other"),
    source="lingua, n-gram models of letters, among a few languages",
    failures="Short texts are unscored; near languages (Portuguese, Galician, Spanish) are confused.",
    reads_tokens=False,
    aside=(),
    sides=("", ""),
)
SWITCHING = dataclasses.replace(
    CARD,
    direction="more of the text is in another language than the prompt",
    labels=("same", "mixed", "other"),
    failures="Windows of fewer than 20 letters are not judged, so single foreign words are not seen.",
)
METRICS = ("language", "switching")
AMONG = ("de", "en", "es", "fr", "it", "pt")
"""Languages that are told apart by default, and that of the prompt."""
CERTAINTY = 0.8
LIKELIER_THAN_NOT = 0.5
FEWEST_LETTERS = 20
FEWEST_DIFFERENT = 7
LONGEST = 2_000
"""Characters that are read."""
WINDOW = 15
NOISE = re.compile(r"https?://\S+|www\.\S+|[#@]\w+|\[[A-Z]+\]")
SENTENCE = re.compile(r"[^.!?…\n]+[.!?…\n]*")
WORD = re.compile(r"\S+")


def card(options: Mapping[str, Any]) -> ScorerCard:
    """The card under a measure's options."""
    return SWITCHING if options.get("metric") == "switching" else CARD


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer.

    Options: `metric` (`language` or `switching`), `among` (the languages to tell apart) and `window` (words, 5 to 100;
    15 by default).

    Raises:
        InputError: an option is unknown or cannot be used.
        UsageError: lingua is not installed.
    """
    known_only(options, ("metric", "among", "window"), measure, CARD.name)
    among = listed(options, "among", language, measure) or AMONG
    return _Language(
        measure=measure,
        language=language,
        switching=chosen(options, "metric", METRICS, METRICS[0], measure) == "switching",
        window=whole_number(options, "window", WINDOW, 5, 100, measure),
        detector=_detector(tuple(sorted({*map(str, among), language})), measure),
    )


@functools.cache
def _detector(codes: tuple[str, ...], measure: str) -> Any:
    """Lingua for these languages; its models are read when a text asks for them."""
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError as error:
        raise UsageError(
            f"measure '{measure}': telling languages apart needs pip install 'biasaudit[score]'."
        ) from error
    unknown = [code for code in codes if len(code) != 2 or not hasattr(IsoCode639_1, code.upper())]
    if unknown or len(codes) < 2:
        wrong = f"lingua does not know the language '{unknown[0]}'" if unknown else "one language cannot be told apart"
        raise InputError(f"measure '{measure}': {wrong}; give two or more ISO 639-1 codes: pt, en, es …")
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*(getattr(IsoCode639_1, code.upper()) for code in codes))
    return builder.build()


@dataclass(frozen=True, slots=True)
class _Language:
    """One measure of language."""

    measure: str
    language: str
    switching: bool
    window: int
    detector: Any

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None when its letters tell too little."""
        # Blanks in place of links keep every position, for the spans.
        text = NOISE.sub(lambda found: " " * len(found[0]), completion.text[:LONGEST].replace("\x00", " "))
        if _letters(text) < FEWEST_LETTERS or len(set(filter(str.isalpha, text.casefold()))) < FEWEST_DIFFERENT:
            return score_of(completion, prompt, self.measure, None)
        if not self.switching:
            found, certainty = self._judged(text)
            if found and certainty < LIKELIER_THAN_NOT:
                return score_of(completion, prompt, self.measure, None)
            same = found == self.language
            return score_of(completion, prompt, self.measure, float(same), "same" if same else "other")
        own, foreign, spans = 0, 0, []
        for start, end in self._windows(text):
            letters = _letters(text[start:end])
            found, certainty = self._judged(text[start:end]) if letters >= FEWEST_LETTERS else ("", 0.0)
            if found == self.language:
                own += letters
            elif found and certainty >= CERTAINTY:
                foreign += letters
                spans.append((start, end))
        if not own + foreign:
            return score_of(completion, prompt, self.measure, None)
        label = "same" if not foreign else "mixed" if own else "other"
        return score_of(completion, prompt, self.measure, foreign / (own + foreign), label, tuple(spans))

    def _judged(self, text: str) -> tuple[str, float]:
        """Likeliest language and its certainty; empty where nothing speaks for any."""
        best = self.detector.compute_language_confidence_values(text)[0]
        return (best.language.iso_code_639_1.name.lower(), best.value) if best.value else ("", 0.0)

    def _windows(self, text: str) -> Iterator[tuple[int, int]]:
        """Sentences, long ones cut into windows of words."""
        for sentence in SENTENCE.finditer(text):
            words = list(WORD.finditer(text, *sentence.span()))
            for first in range(0, len(words), self.window):
                yield words[first].start(), words[min(first + self.window, len(words)) - 1].end()


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
