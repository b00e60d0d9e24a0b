"""How one contrast's numbers read: shares in percent and points, nats per byte, or any other unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from biasaudit.records import Battery
from biasaudit.report.numbers import MISSING, NO_BREAK, Numbers
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Interval

SHARE_UNITS = frozenset({"share", "proportion", "probability", "rate", "fraction"})
Kind = Literal["share", "nats", "other"]

MANY = 1000
"""Answers of an arm below which a percentage of them has one decimal (METHODS §4)."""
NOISE = 1e-8
"""Below this, in shown units, a number is rounding and gets no digits of its own."""
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
    capped: bool = False
    """A share of few answers: one decimal, and what would round to 0 is shown as smaller than the last place."""

    @classmethod
    def of(cls, contrast: Contrast, words: Words, numbers: Numbers) -> Scale:
        """The scale of `contrast`: by outcome and unit; digits by the size of what is shown."""
        if contrast.unit in SHARE_UNITS:
            few = contrast.outcome != "value" and min(contrast.n_tuned, contrast.n_reference) < MANY
            digits = 1 if few else max(1, _digits(contrast, 100.0, 1, 2))
            return cls("share", contrast.unit, words, numbers, digits, few)
        kind: Kind = "nats" if contrast.unit.replace(" ", "") in {"nats/byte", "natsperbyte"} else "other"
        return cls(kind, contrast.unit, words, numbers, _digits(contrast, 1.0, 4, 3))

    @property
    def factor(self) -> float:
        """What a stored value is multiplied by before it is shown."""
        return 100.0 if self.kind == "share" else 1.0

    def level(self, x: float | None) -> str:
        """An arm's mean: a percentage, or a number without its unit."""
        return self.numbers.percent(x, self.digits) if self.kind == "share" else self.bare(x)

    def bare(self, x: float | None, *, signed: bool = False) -> str:
        """A difference or a limit without its unit (points, not %)."""
        shown = None if x is None else x * self.factor
        least = 10.0**-self.digits
        if self.capped and shown is not None and NOISE < abs(shown) < least / 2:
            end = self.numbers.decimal(math.copysign(least, shown), self.digits)
            return f"<{end}" if shown > 0 else f">{end}"
        return self.numbers.decimal(shown, self.digits, signed=signed)

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
        return self.words("unit.nats_per_byte") if self.kind == "nats" else self.words.phrase("unit", self.unit)

    def beyond(self, mde: float) -> bool:
        """Whether no difference can be as large as `mde`: shares differ by 100 points at most."""
        return self.kind == "share" and mde >= 1

    def in_plain_words(
        self, difference: float, *, pmi: bool = False, zero_possible: bool = False, told: str = "claims"
    ) -> str:
        """What a difference in nats per byte does to the odds of a claim; the empty string for other units.

        Args:
            difference: in nats per byte.
            pmi: the measure subtracts what the continuations get after a neutral stem.
            zero_possible: the interval holds 0, so that the sentence speaks of the point estimate alone.
            told: what the battery's pairs are, as `told_by` says.
        """
        if self.kind != "nats":
            return ""
        ratio = math.exp(min(abs(difference) * EXAMPLE_BYTES, 50.0))
        key = ("open_" if zero_possible else "") + ("pmi_" if pmi else "") + ("up" if difference >= 0 else "down")
        digits = 2 if ratio < 2 else 1 if ratio < 10 else 0
        holes = {name: self.words(f"told.{told}.{name}") for name in ("one", "other", "of")}
        holes["ratio"] = self.numbers.decimal(ratio, digits)
        return self.words(f"headline.nats_plain_{key}", bytes=EXAMPLE_BYTES, **holes)


def told_by(battery: Battery) -> str:
    """What the first continuations of a battery's pairs are: `claims` of narratives, or plain `statements`."""
    return "claims" if not battery.topics or any(topic.claim for topic in battery.topics) else "statements"


def _digits(contrast: Contrast, factor: float, least: int, significant: int) -> int:
    """Decimals that show the difference and never write an interval without zero as one that touches it.

    Args:
        contrast: whose difference and limits are shown.
        factor: from stored to shown values.
        least: decimals of numbers that are large enough; numbers below a tenth of their last place get more.
        significant: digits of the largest number, as far as `least` decimals hold them.
    """
    shown = contrast.population.interval or contrast.fixed.interval
    ends = [] if shown is None else [shown.low, shown.high]
    largest = factor * max(abs(x) for x in (contrast.difference, *ends))
    if largest < NOISE:
        return min(least, 3)
    first = -math.floor(math.log10(largest))
    digits = max(0, min(first + significant - 1, max(least, first + 1)))
    for interval in (contrast.population.interval, contrast.fixed.interval):
        if interval is not None and interval.low * interval.high > 0:
            end = factor * min(abs(interval.low), abs(interval.high))
            if NOISE <= end < 0.5 * 10.0**-digits:
                digits = -math.floor(math.log10(end))
    return digits
