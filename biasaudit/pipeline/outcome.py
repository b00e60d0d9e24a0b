"""What a verb hands to the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Text for a person, the same as data for a machine, and the exit code."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0
