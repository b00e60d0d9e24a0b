"""How designs beside the plain contrast make their rows: what a row is about, and a t-test on topic means as fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.results import Contrast, Finding
from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.rare import is_rare

Floats = npt.NDArray[np.float64]

ON_TOPICS = "Ibragimov & Müller 2010"
UNCALIBRATED = ", not calibrated for a rare outcome"
"""What the method of a row says whose Student's t leaves the truth out more often than it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a finding is about."""

    measure: str
    outcome: str
    unit: str
    tuned: str
    reference: str
    decoding_id: str
    language: str

    @classmethod
    def of(cls, contrast: Contrast, **changes: str) -> Subject:
        """The subject of `contrast`, but for `changes`."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{**{name: getattr(contrast, name) for name in names}, **changes})

    def finding(self, design: str, name: str, **fields: Any) -> Finding:
        """One row about this subject."""
        return Finding(design=design, name=name, **{**dataclasses.asdict(self), **fields})


def on_topics(effects: Floats, *, level: float = 0.95) -> dict[str, Any]:
    """Estimate, t-interval and p of topic means, shape (G,), as fields of a finding."""
    found = population_estimate(effects, level=level)
    return {
        "target": "population",
        "estimate": float(effects.mean()),
        "interval": found.interval,
        "p": found.p,
        "method": found.method,
        "note": found.note,
    }


def if_rare(row: Finding, mean: float) -> Finding:
    """The row, its method saying so where it is about shares whose `mean` is near to 0 or 1."""
    if row.interval is None or not row.unit.startswith("share") or not is_rare(mean):
        return row
    return dataclasses.replace(
        row, method=row.method + UNCALIBRATED, details={**row.details, "rare": True, "rate": mean}
    )


def by_topic(values: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """(prompt id, topic) -> number, as topic -> unweighted mean over its prompts."""
    found: dict[str, list[float]] = {}
    for (_, topic), value in values.items():
        found.setdefault(topic, []).append(value)
    return {topic: float(np.mean(rows)) for topic, rows in found.items()}


def prompt_differences(contrast: Contrast) -> dict[tuple[str, str], float]:
    """(prompt id, topic) -> difference, where there is one."""
    return {(row.prompt_id, row.topic): row.difference for row in contrast.prompts if row.difference is not None}


def common(held: Sequence[Mapping[tuple[str, str], float]]) -> list[tuple[str, str]]:
    """Keys that all of `held` have, in the order of the first."""
    return [key for key in held[0] if all(key in other for other in held[1:])] if held else []
