"""Next-token distributions of several arms at the same prompts, compared without having two models in memory.

The reference arm runs first and leaves its log-probabilities, fp32, in an unnamed temporary file: 4·V bytes a prompt on
disk (0.2 MB for GPT-2), removed with this object. Every other arm then runs alone, prompt by prompt. In memory there
are one model and a few vectors of V numbers, however many the prompts; what is kept of a comparison is five numbers.

Sources: Kullback & Leibler 1951; Lin 1991 (Jensen–Shannon). Sums run in fp64 over the whole vocabulary.
"""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from biasaudit.errors import InputError
from biasaudit.records import ContinuationLogProb, Likelihoods, NextToken


class Laws(Likelihoods, Protocol):
    """An arm whose whole next-token distribution can be asked for."""

    def next_token_logprobs(self, prompt: str) -> torch.Tensor:
        """fp64 (V,): log P of every token after `prompt`."""
        ...

    def first_token_mass(self, prompt: str, words: Sequence[str]) -> float:
        """Probability that the next token is the first of any of `words`."""
        ...


class Reference:
    """The reference arm's log-probabilities, on disk."""

    def __init__(self, arm: Laws, prompts: Sequence[str]) -> None:
        """Run `arm` over `prompts`; the arm is not kept.

        Args:
            arm: the reference.
            prompts: every prompt that other arms will be compared at.

        Raises:
            InputError: a prompt is longer than the arm's context.
        """
        self.tokenizer_fingerprint = arm.tokenizer_fingerprint
        self._places: Mapping[str, int] = {text: n for n, text in enumerate(dict.fromkeys(prompts))}
        self._file = tempfile.TemporaryFile(prefix="biasaudit-")  # noqa: SIM115 - lives as long as this object
        self.close = weakref.finalize(self, self._file.close)
        """Gives the disk back; called by itself when nobody needs the reference any more."""
        self._width = 0
        for text in self._places:
            row = arm.next_token_logprobs(text).float().numpy()
            self._width = len(row)
            self._file.write(row.tobytes())

    def logprobs(self, prompt: str) -> torch.Tensor:
        """fp64 (V,): what was found at `prompt`."""
        size = 4 * self._width
        self._file.seek(self._places[prompt] * size)
        return torch.from_numpy(np.frombuffer(self._file.read(size), dtype=np.float32).astype(np.float64))


class Compared:
    """An arm beside a reference: an arm's likelihoods, and its next tokens in numbers."""

    def __init__(self, arm: Laws, reference: Reference | None) -> None:
        """Stand `arm` beside `reference`; with None there is entropy alone.

        Raises:
            InputError: they have different tokenizers, so their next tokens are different events.
        """
        if reference is not None and arm.tokenizer_fingerprint != reference.tokenizer_fingerprint:
            raise InputError(
                "next-token distributions are compared only between arms that share a tokenizer, and this arm's "
                "differs from the reference's; use measures over likelihoods per byte, or arms with one tokenizer."
            )
        self._arm, self._reference = arm, reference
        self._known: dict[str, NextToken] = {}

    @property
    def arm_fingerprint(self) -> str:
        """Hash of the arm's weights."""
        return self._arm.arm_fingerprint

    @property
    def tokenizer_fingerprint(self) -> str:
        """Hash of the arm's tokenizer."""
        return self._arm.tokenizer_fingerprint

    def continuations(self, prompt: str, continuations: Sequence[str]) -> list[ContinuationLogProb]:
        """Log P of each continuation after `prompt`."""
        return self._arm.continuations(prompt, continuations)

    def first_token_mass(self, prompt: str, words: Sequence[str]) -> float:
        """Probability that the next token is the first of any of `words`."""
        return self._arm.first_token_mass(prompt, words)

    def next_token(self, prompt: str) -> NextToken:
        """The distribution after `prompt` in numbers; several measures ask for the same prompt."""
        if prompt not in self._known:
            law = self._arm.next_token_logprobs(prompt).float().double()
            self._known[prompt] = compare(law, self._reference.logprobs(prompt) if self._reference else None)
        return self._known[prompt]


def compare(law: torch.Tensor, reference: torch.Tensor | None = None) -> NextToken:
    """Entropy of a distribution, and its distances from another.

    Args:
        law: fp64 (V,), log-probabilities, nats.
        reference: fp64 (V,); None for entropy alone.
    """
    entropy = max(0.0, -_mean(law, law))
    if reference is None:
        return NextToken(entropy=entropy)
    middle = torch.logaddexp(law, reference) - math.log(2)
    js = 0.5 * (_mean(law, law - middle) + _mean(reference, reference - middle))
    return NextToken(
        entropy=entropy,
        kl=_finite(_mean(law, law - reference)),
        kl_reverse=_finite(_mean(reference, reference - law)),
        js=_finite(min(js, math.log(2))),
        tv=_finite(min(1.0, 0.5 * float((law.exp() - reference.exp()).abs().sum()))),
    )


def _mean(law: torch.Tensor, values: torch.Tensor) -> float:
    """Expectation of `values` under log-probabilities `law`; what never happens adds nothing, whatever its value."""
    weights = law.exp()
    return float(torch.where(weights > 0, weights * values, 0.0).sum())


def _finite(value: float) -> float | None:
    """Rounding may leave a divergence a hair below 0; an infinite one is no number (None)."""
    return max(0.0, value) if math.isfinite(value) else None


def first_tokens(encode: Any, words: Sequence[str]) -> list[int]:
    """The different first tokens of `words`, in order of ids; words without tokens have none."""
    return sorted({ids[0] for word in words if (ids := encode(word))})
