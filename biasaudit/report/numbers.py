"""Numbers as a reader of Portuguese or English expects them: decimal comma, thousands, p with a floor.

Rules (METHODS §4): a difference of shares is in points, never in %; percentages have one decimal,
or more where one would hide an effect; p is never 0.
"""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
P_FLOOR = 0.001
LEVELS = (0.005, 0.01, 0.025, 0.05, 0.1)
"""Levels of tests that are in use: that a p value lies below one is never rounded away."""
P_DIGITS = 9
MISSING = "\N{EN DASH}"


class Numbers:
    """Formats numbers for one locale.

    Args:
        locale: `pt` or `en`.
    """

    def __init__(self, locale: str) -> None:
        self.locale = locale
        self._point, self._thousands = (",", ".") if locale == "pt" else (".", ",")

    def decimal(self, x: float | None, digits: int = 1, *, signed: bool = False) -> str:
        """`x` rounded to `digits`, with a true minus sign; a plus sign when `signed`; a dash for None."""
        if x is None:
            return MISSING
        whole, _, part = f"{abs(x):,.{digits}f}".partition(".")
        body = whole.replace(",", self._thousands) + (self._point + part if part else "")
        zero = not body.strip("0.,")
        if x < 0 and not zero:
            return MINUS + body
        return f"+{body}" if signed and not zero else body

    def integer(self, n: int | None) -> str:
        """A count with thousands separators; a dash for None."""
        return self.decimal(n, 0)

    def percent(self, share: float | None, digits: int = 1) -> str:
        """A share (0 to 1) as a percentage."""
        return MISSING if share is None else f"{self.decimal(100 * share, digits)}%"

    def p(self, p: float | None) -> str:
        """A p value alone, for tables: `<.001`, `.026`; Portuguese keeps the leading zero."""
        if p is None:
            return MISSING
        if p < P_FLOOR:
            return "<" + self._p_digits(P_FLOOR)
        if p > 1 - P_FLOOR:
            return ">" + self._p_digits(1 - P_FLOOR)
        return self._p_digits(p)

    def p_phrase(self, p: float | None) -> str:
        """A p value in a sentence: `p < .001`, `p = .026`; words keep it on one line."""
        value = self.p(p)
        sign, rest = (value[0], value[1:]) if value[0] in "<>" else ("=", value)
        return f"p{NO_BREAK}{sign}{NO_BREAK}{rest}"

    def _p_digits(self, p: float) -> str:
        """Three decimals; more where a p below a level would otherwise read as that level."""
        text = f"{p:.3f}"
        for digits in range(4, P_DIGITS + 1):
            if not any(p < level <= float(text) for level in LEVELS):
                break
            text = f"{p:.{digits}f}"
        return text.replace(".", ",") if self.locale == "pt" else text.removeprefix("0")
