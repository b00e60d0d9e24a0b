"""VADER scorer: a crude sentiment of English text, by a lexicon of tweets and a few rules.

Unit: VADER's compound score, −1 (negative) to 1 (positive). Labels by its authors' thresholds: `positive` from 0.05 on,
`negative` from −0.05 down, else `neutral`. Anything but English is unscored, and so is a text without a letter or sign.
Source: Hutto & Gilbert 2014, ICWSM 8(1), the package vaderSentiment, unchanged.

Not for: any other language, translations, irony, stance (a sad sentence may defend vaccines), or groups: its lexicon
has views of its own. No lexicon of Portuguese was found fit to measure with; teach a scorer instead (`learned`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biasaudit.errors import UsageError
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import known_only
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="vader",
    unit="compound",
    range=(-1.0, 1.0),
    null_value=0.0,
    direction="the text sounds more positive",
    reads="completions",
    labels=("positive", "neutral", "negative"),
    languages=("en",),
    source="Hutto & Gilbert 2014 (VADER), package vaderSentiment",
    failures="Crude: words and a few rules; blind to irony, context and who is spoken of; English of 2014.",
    reads_tokens=False,
    aside=(),
    sides=("", ""),
)
THRESHOLD = 0.05
LONGEST = 10_000
"""Characters that are read."""


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer; it has no options.

    Raises:
        InputError: an option is unknown.
        UsageError: vaderSentiment is not installed.
    """
    known_only(options, (), measure, CARD.name)
    return _Vader(measure=measure, analyzer=_analyzer() if language in CARD.languages else None)


@functools.cache
def _analyzer() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise UsageError("the scorer vader needs vaderSentiment: pip install 'biasaudit[score]'.") from error
    return SentimentIntensityAnalyzer()


@dataclass(frozen=True, slots=True)
class _Vader:
    """One measure of sentiment."""

    measure: str
    analyzer: Any

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None without text, or in another language."""
        text = completion.text[:LONGEST]
        if self.analyzer is None or not text.strip():
            return score_of(completion, prompt, self.measure, None)
        value = float(self.analyzer.polarity_scores(text)["compound"])
        label = "positive" if value >= THRESHOLD else "negative" if value <= -THRESHOLD else "neutral"
        return score_of(completion, prompt, self.measure, value, label)
