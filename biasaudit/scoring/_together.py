"""Scorers that read many completions at once, because one by one would cost many times as much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from biasaudit.records import Completion, Prompt, Score


@runtime_checkable
class ScoresTogether(Protocol):
    """A completion scorer with a quicker way for many; each score is the one that its completion gets alone."""

    def together(self, completions: Sequence[Completion], prompts: Sequence[Prompt], /) -> list[Score]:
        """Score every completion, which answers the prompt at the same place."""
        ...
