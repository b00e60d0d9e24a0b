"""What a scorer may need beside completions, and how the pipeline gives it: the battery, or somebody to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from biasaudit.records import Battery, CompletionScorer

Ask = Callable[[Sequence[str]], Sequence[str | None]]
"""Questions in, answers out, in the same order; None where the budget ended before an answer came."""


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
    def server(self) -> Mapping[str, Any]:
        """Whom it wants to ask: the options `server`, `tokens` and `seed`."""
        ...

    def answered_by(self, ask: Ask) -> CompletionScorer:
        """The same scorer with somebody to ask."""
        ...
