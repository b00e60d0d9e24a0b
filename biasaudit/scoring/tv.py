"""Total-variation scorer: with what probability must an arm and the reference arm write different next tokens?

Unit: probability, 0 to 1: half the summed absolute difference over the vocabulary, for each open prompt.
Source: total variation distance; Levin & Peres 2017, Markov Chains and Mixing Times, chapter 4.

Not for: a test against 0. It is never negative, and any training moves it; hold it against a placebo's. There is no
sampling error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biasaudit.records import LikelihoodScorer, ScorerCard
from biasaudit.scoring._nexttokens import NextTokenScorer
from biasaudit.scoring._options import known_only

CARD = ScorerCard(
    name="tv",
    unit="probability",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="the next token is distributed further from the reference",
    reads="likelihoods",
    source="total variation distance; Levin & Peres 2017, Markov Chains and Mixing Times, chapter 4",
    failures="Never negative, so any training moves it: compare with a placebo. Sees the next token, not the text.",
    same_tokenizer=True,
    against_reference=True,
)


def build(options: Mapping[str, Any], measure: str, language: str) -> LikelihoodScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; it has no options.

    Raises:
        InputError: an option is unknown.
    """
    known_only(options, (), measure, CARD.name)
    return NextTokenScorer(measure=measure, field="tv")
