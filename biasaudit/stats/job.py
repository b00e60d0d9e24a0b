"""One analysis as every step of it reads it: battery, arms, decodings, scores and counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from biasaudit.labels import HumanLabel
from biasaudit.records import Arm, Battery, Decoding, Measure, ScorerCard
from biasaudit.stats.stopping import Stopping
from biasaudit.stats.table import Table

Role = Literal["primary", "secondary", "descriptive"]
HUMAN = "human"
"""The scorer whose labels are people's own: there is nothing to correct in them."""
PLAIN_LABELS = ("neutral", "own")
"""Labels whose shares are shown in the composition and tested nowhere."""


def decoding_name(decoding: Decoding | None) -> str:
    """The id of a decoding; likelihoods, which none touches, have the empty string."""
    return "" if decoding is None else decoding.decoding_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every step of one analysis reads."""

    battery: Battery
    language: str
    arms: tuple[Arm, ...]
    decodings: tuple[Decoding, ...]
    cards: Mapping[str, ScorerCard]
    """Measure name -> the card of its scorer under its options."""
    tables: Mapping[str, Table]
    """Measure name -> its scores; measures without a table are not analysed."""
    numerics: Mapping[str, Collection[str]]
    """Arm name -> ids of the numerics fingerprints of its completions."""
    stored: Mapping[str, int]
    """Arm name -> completions stored."""
    wanted: Mapping[str, int]
    """Arm name -> completions that the run asks for."""
    stopping: Stopping | None = None
    """Where the run stopped by looks."""
    texts: Mapping[str, Mapping[str, Mapping[int, str]]] = field(default_factory=dict)
    """Arm name -> prompt id -> index -> completion under the first decoding; empty where nobody looks at texts."""
    labels: tuple[HumanLabel, ...] = ()
    """What people said of the run's completions."""

    @property
    def level(self) -> float:
        """Of the intervals."""
        return 1 - self.battery.alpha

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The battery's measures that have scores."""
        return tuple(measure for measure in self.battery.measures if measure.name in self.tables)

    def card(self, measure: Measure) -> ScorerCard:
        """The card of a measure's scorer."""
        return self.cards[measure.name]

    def decodings_of(self, measure: Measure) -> tuple[Decoding | None, ...]:
        """The decodings of a measure; likelihoods have the one that is None."""
        return self.decodings if self.card(measure).reads == "completions" else (None,)

    def outcomes(self, measure: Measure) -> list[str]:
        """`value`, the labels worth a contrast, and the primary outcome."""
        found = ["value", *(label for label in self.card(measure).labels if label not in PLAIN_LABELS)]
        primary = self.battery.primary
        if primary is not None and primary.measure == measure.name:
            found.append(primary.outcome)
        return list(dict.fromkeys(found))

    def is_primary(self, measure: Measure, outcome: str, decoding: Decoding | None) -> bool:
        """Whether this is the battery's one confirmatory question: its first decoding only."""
        primary = self.battery.primary
        return (
            primary is not None
            and (primary.measure, primary.outcome) == (measure.name, outcome)
            and (decoding is None or decoding == self.decodings[0])
        )
