"""What a scorer may need beside completions, and how the pipeline gives it: the battery, or somebody to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from biasaudit.records import Battery, CompletionScorer

Ask = Callable[[Sequence[tuple[str, int]]], Sequence[str]]
"""(question, time that it is asked, from 0) in, answers out, in the same order."""


@runtime_checkable
class ReadsBattery(Protocol):
    """A scorer that reads the battery's topics: it has to be given them first."""

    def of_battery(self, battery: Battery) -> CompletionScorer:
        """The same scorer with the battery at hand."""
        ...


@runtime_checkable
class AsksModel(Protocol):
    """A scorer that asks a language model: it has to be given one first."""

    @property
    def asked(self) -> tuple[str, int, float]:
        """Whom it wants to ask (`openai:MODEL@URL`, as an arm is written), tokens of an answer, temperature."""
        ...

    def answered_by(self, ask: Ask) -> CompletionScorer:
        """The same scorer with somebody to ask."""
        ...
