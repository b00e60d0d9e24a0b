"""KL scorer: how far is the law of the next token from the reference arm's?

Unit: nats, 0 and more: KL(arm ‖ reference), or KL(reference ‖ arm) with `direction: reverse`, for each open prompt.
Source: Kullback & Leibler 1951, doi 10.1214/aoms/1177729694.

Not for: a test against 0. It is never negative, and any training moves it; hold it against a placebo's. There is no
sampling error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biasaudit.records import LikelihoodScorer, ScorerCard
from biasaudit.scoring._nexttokens import NextTokenScorer
from biasaudit.scoring._options import chosen, known_only

CARD = ScorerCard(
    name="kl",
    unit="nats",
    range=(0.0, None),
    null_value=0.0,
    direction="the next token is distributed further from the reference",
    reads="likelihoods",
    source="Kullback & Leibler 1951, doi 10.1214/aoms/1177729694",
    failures="Never negative, so any training moves it: compare with a placebo. Sees the next token, not the text.",
    same_tokenizer=True,
    against_reference=True,
)

FIELDS = {"forward": "kl", "reverse": "kl_reverse"}


def build(options: Mapping[str, Any], measure: str, language: str) -> LikelihoodScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; options: `direction` (`forward` or `reverse`).

    Raises:
        InputError: an option is unknown or has another value.
    """
    known_only(options, ("direction",), measure, CARD.name)
    direction = chosen(options, "direction", tuple(FIELDS), "forward", measure)
    return NextTokenScorer(measure=measure, field=FIELDS[direction])
