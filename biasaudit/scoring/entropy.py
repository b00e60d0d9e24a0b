"""Entropy scorer: how uncertain is an arm about the next token?

Unit: nats, 0 to the logarithm of the vocabulary, for each open prompt. 0 is certainty, not absence of an effect.
Source: Shannon 1948, doi 10.1002/j.1538-7305.1948.tb01338.x.

Not for: arms with different tokenizers, whose next-token events differ; such arms are refused. No sampling error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biasaudit.records import LikelihoodScorer, ScorerCard
from biasaudit.scoring._nexttokens import NextTokenScorer
from biasaudit.scoring._options import known_only

CARD = ScorerCard(
    name="entropy",
    unit="nats",
    range=(0.0, None),
    null_value=0.0,
    direction="the next token is less certain",
    reads="likelihoods",
    source="Shannon 1948, doi 10.1002/j.1538-7305.1948.tb01338.x",
    failures="Says nothing about what is written; depends on the tokenizer and on how long a model was trained.",
    same_tokenizer=True,
)


def build(options: Mapping[str, Any], measure: str, language: str) -> LikelihoodScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; it has no options.

    Raises:
        InputError: an option is unknown.
    """
    known_only(options, (), measure, CARD.name)
    return NextTokenScorer(measure=measure, field="entropy")
