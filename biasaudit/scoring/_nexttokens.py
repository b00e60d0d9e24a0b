"""What scorers of next-token distributions share: one number of `NextToken` for every open prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from biasaudit.errors import InputError
from biasaudit.records import Battery, Likelihoods, NextTokens, Score


def asked(likelihoods: Likelihoods, measure: str) -> NextTokens:
    """The arm as one that knows its next-token distributions.

    Raises:
        InputError: it gives likelihoods of texts only.
    """
    if not isinstance(likelihoods, NextTokens):
        raise InputError(
            f"measure '{measure}' reads whole next-token distributions, and this arm's backend does not give them; "
            "leave the measure out, or run the arm with the torch backend."
        )
    return likelihoods


@dataclass(frozen=True, slots=True)
class NextTokenScorer:
    """One measure that is one field of `NextToken`."""

    measure: str
    field: str

    def __call__(self, likelihoods: Likelihoods, battery: Battery, language: str, /) -> Iterator[Score]:
        """Yield one score for every open prompt of `language`; None where the number does not exist."""
        arm = asked(likelihoods, self.measure)
        for prompt in battery.prompts:
            if prompt.language == language:
                yield Score(
                    measure=self.measure,
                    arm_fingerprint=likelihoods.arm_fingerprint,
                    prompt_id=prompt.prompt_id,
                    topic=prompt.topic,
                    value=getattr(arm.next_token(prompt.text), self.field),
                )
