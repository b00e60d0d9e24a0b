"""The door of the scorers: one file a scorer; the file's name is the scorer's name.

Names are listed from the folder without importing anything. Each scorer module has `CARD`, a `ScorerCard`, and
`build(options, measure, language)`, which returns a `CompletionScorer` or a `LikelihoodScorer` as the card's `reads`
says; a scorer whose labels depend on its options also has `card(options)`. Names that start with an underscore are
helpers, not scorers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from biasaudit.errors import UnknownNameError
from biasaudit.records import CompletionScorer, LikelihoodScorer, ScorerCard


def names() -> list[str]:
    """Every scorer that can be named in a battery, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def card(name: str, options: Mapping[str, Any] | None = None) -> ScorerCard:
    """What the scorer `name` claims about itself; with a measure's `options`, about what it is under these.

    Raises:
        UnknownNameError: no scorer has this name.
        InputError: an option cannot be used.
    """
    module = _module(name)
    made = getattr(module, "card", None)
    found: ScorerCard = module.CARD if made is None or options is None else made(options)
    return found


def build(name: str, options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer | LikelihoodScorer:
    """Make the scorer `name` ready for one measure in one language.

    Args:
        name: of the scorer.
        options: the measure's options in the battery.
        measure: name that goes into every score.
        language: of the prompts and completions.

    Raises:
        UnknownNameError: no scorer has this name.
        InputError: an option is unknown or cannot be used.
    """
    made: CompletionScorer | LikelihoodScorer = _module(name).build(options, measure, language)
    return made


def _module(name: str) -> ModuleType:
    """Import one scorer's module."""
    if name not in names():
        raise UnknownNameError("scorer", name, names())
    return importlib.import_module(f"biasaudit.scoring.{name}")
