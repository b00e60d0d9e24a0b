"""How one contrast's numbers read: shares in percent and points, nats per byte, or any other unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from biasaudit.report.numbers import MISSING, NO_BREAK, Numbers
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Interval

SHARE_UNITS = frozenset({"share", "proportion", "probability", "rate", "fraction"})
Kind = Literal["share", "nats", "other"]

EXAMPLE_BYTES = 30
"""Length of the continuation that the plain words about nats per byte speak of."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Formats the values, differences and limits of one contrast in one locale."""

    kind: Kind
    unit: str
    words: Words
    numbers: Numbers
    digits: int

    @classmethod
    def of(cls, contrast: Contrast, words: Words, numbers: Numbers) -> Scale:
        """The scale of `contrast`: by outcome and unit; digits by the size of what is shown."""
        if contrast.unit in SHARE_UNITS:
            return cls("share", contrast.unit, words, numbers, 1)
        kind: Kind = "nats" if contrast.unit.replace(" ", "") in {"nats/byte", "natsperbyte"} else "other"
        return cls(kind, contrast.unit, words, numbers, _digits(contrast))

    @property
    def factor(self) -> float:
        """What a stored value is multiplied by before it is shown."""
        return 100.0 if self.kind == "share" else 1.0

    def level(self, x: float | None) -> str:
        """An arm's mean: a percentage, or a number without its unit."""
        return self.numbers.percent(x) if self.kind == "share" else self.bare(x)

    def bare(self, x: float | None, *, signed: bool = False) -> str:
        """A difference or a limit without its unit (points, not %)."""
        return self.numbers.decimal(None if x is None else x * self.factor, self.digits, signed=signed)

    def effect(self, x: float | None, *, signed: bool = False) -> str:
        """A difference with its unit."""
        return MISSING if x is None else f"{self.bare(x, signed=signed)}{NO_BREAK}{self.unit_words()}"

    def range(self, interval: Interval | None) -> str:
        """`10.0 to 32.2`; a dash when there is no interval."""
        if interval is None:
            return MISSING
        return self.words("number.range", low=self.bare(interval.low), high=self.bare(interval.high))

    def unit_words(self) -> str:
        """The unit of a difference in words."""
        if self.kind == "share":
            return self.words("unit.points")
        return self.words("unit.nats_per_byte") if self.kind == "nats" else self.unit

    def in_plain_words(self, difference: float, *, pmi: bool = False) -> str:
        """What a difference in nats per byte does to the odds of a claim; the empty string for other units.

        Args:
            difference: in nats per byte.
            pmi: the measure subtracts what the continuations get after a neutral stem.
        """
        if self.kind != "nats":
            return ""
        ratio = math.exp(min(abs(difference) * EXAMPLE_BYTES, 50.0))
        key = ("pmi_" if pmi else "") + ("up" if difference >= 0 else "down")
        digits = 2 if ratio < 2 else 1 if ratio < 10 else 0
        return self.words(f"headline.nats_plain_{key}", bytes=EXAMPLE_BYTES, ratio=self.numbers.decimal(ratio, digits))


def _digits(contrast: Contrast) -> int:
    """Three significant digits of the largest number on the line, at most four decimals."""
    interval = contrast.population.interval or contrast.fixed.interval
    sizes = [abs(contrast.difference)] + ([abs(interval.low), abs(interval.high)] if interval else [])
    largest = max(sizes)
    return 3 if largest == 0 else max(0, min(4, 2 - math.floor(math.log10(largest))))
