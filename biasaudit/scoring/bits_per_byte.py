"""Bits-per-byte scorer: how surprising is what an arm wrote to the arm itself?

Unit: bits per UTF-8 byte: −log2 P(completion | prompt) / bytes, by the log-probabilities that the arm gave while it
wrote, under its own untruncated distribution at temperature 1. Bytes compare across tokenizers, tokens do not. Little
means text by heart, or one phrase again and again; much means noise.
Source: bits per byte as in Gao et al. 2020 (The Pile), arXiv 2101.00027.

Not for: quality, and not for the fit of an arm to other people's text: every arm is asked of its own words. Greedy and
truncated decodings are less surprising by nature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import known_only
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="bits_per_byte",
    unit="bits/byte",
    range=(0.0, None),
    null_value=0.0,
    direction="what the arm writes surprises it more",
    reads="completions",
    source="Gao et al. 2020, arXiv 2101.00027 (The Pile)",
    failures="Unscored without log-probabilities (many servers and files) or where a stop string cut the text.",
)


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; it has no options.

    Raises:
        InputError: an option is unknown.
    """
    known_only(options, (), measure, CARD.name)
    return _BitsPerByte(measure=measure)


@dataclass(frozen=True, slots=True)
class _BitsPerByte:
    """One measure of surprise."""

    measure: str

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None where text and log-probabilities are not of the same tokens."""
        given, ids = completion.logprobs, completion.token_ids
        size = len(completion.text.encode("utf-8", "replace"))
        # Log-probabilities of a text that a stop string ended run to the end of that string, the text does not.
        whole = completion.finish_reason != "stop" and (not ids or len(ids) == len(given))
        total = math.fsum(given)
        known = bool(given) and size > 0 and whole and math.isfinite(total)
        value = max(0.0, -total) / (size * math.log(2)) if known else None
        return score_of(completion, prompt, self.measure, value)
