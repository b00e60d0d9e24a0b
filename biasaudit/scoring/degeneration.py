"""Degeneration scorer: does the arm repeat itself?

Unit: a share, 0 to 1. `metric: repetition` is the share of word n-grams that already stood earlier in the completion;
`metric: distinct` is the share of different n-grams among all.
Source: Welleck et al. 2020, arXiv 1908.04319 (rep-n); Li et al. 2016, arXiv 1510.03055 (distinct-n).

Both are taken for each completion by itself.

Not for: quality. Short completions repeat less, so compare arms under one decoding, and look at their lengths.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only, whole_number
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="degeneration",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more of the text repeats",
    reads="completions",
    source="Welleck et al. 2020; Li et al. 2016",
    failures="Completions with fewer than n words are unscored; longer texts repeat more by nature.",
    reads_tokens=False,
)
DISTINCT = dataclasses.replace(CARD, direction="less of the text repeats")
WORD = re.compile(r"\w+")
DEFAULT_N = {"repetition": 4, "distinct": 2}


def card(options: Mapping[str, Any]) -> ScorerCard:
    """The card under a measure's options."""
    return DISTINCT if options.get("metric") == "distinct" else CARD


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; options: `metric` (`repetition` or `distinct`) and `n` (1 to 10; 4 and 2 by default).

    Raises:
        InputError: an option is unknown or has another value.
    """
    known_only(options, ("metric", "n"), measure, CARD.name)
    metric = chosen(options, "metric", tuple(DEFAULT_N), "repetition", measure)
    return _Degeneration(
        measure=measure, distinct=metric == "distinct", n=whole_number(options, "n", DEFAULT_N[metric], 1, 10, measure)
    )


@dataclass(frozen=True, slots=True)
class _Degeneration:
    """One measure of repetition."""

    measure: str
    distinct: bool
    n: int

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None when it has fewer than n words."""
        words = WORD.findall(completion.text.casefold())
        grams = list(zip(*(words[start:] for start in range(self.n)), strict=False))
        if not grams:
            return score_of(completion, prompt, self.measure, None)
        share = len(set(grams)) / len(grams)
        return score_of(completion, prompt, self.measure, share if self.distinct else 1 - share)
