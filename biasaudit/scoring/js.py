"""Jensen–Shannon scorer: how far apart are the laws of the next token of an arm and the reference arm?

Unit: nats, 0 to ln 2, symmetric, for each open prompt.
Source: Lin 1991, doi 10.1109/18.61115.

Not for: a test against 0. It is never negative, and any training moves it; hold it against a placebo's. There is no
sampling error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from biasaudit.records import LikelihoodScorer, ScorerCard
from biasaudit.scoring._nexttokens import NextTokenScorer
from biasaudit.scoring._options import known_only

CARD = ScorerCard(
    name="js",
    unit="nats",
    range=(0.0, math.log(2)),
    null_value=0.0,
    direction="the next token is distributed further from the reference",
    reads="likelihoods",
    source="Lin 1991, doi 10.1109/18.61115",
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
    return NextTokenScorer(measure=measure, field="js")
