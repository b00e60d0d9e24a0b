"""Shares that fall with a length: one stepped line an arm, told apart by colour, dash and a label at the side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

from biasaudit.report import svg
from biasaudit.report.text import plain

WIDE, NARROW, HEIGHT = 760, 340, 240
_DASHES: tuple[list[int], ...] = ([], [7, 3], [2, 3], [9, 3, 2, 3], [1, 2], [12, 4], [5, 2, 1, 2], [3, 1])
_LABEL = 18.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line."""

    label: str
    points: tuple[tuple[float, float], ...]
    """(x, share of all that reaches x), ascending in x."""


def curves(found: Sequence[Curve], axes: tuple[str, str], locale: str, *, mark: float) -> Markup:
    """Lines from the first x on, each going down to 0 behind its last point.

    Args:
        found: at most eight.
        axes: titles of the two axes.
        locale: `pt` or `en`.
        mark: an x with an upright line.

    Returns:
        Two `<svg>` elements, of class `wide` and `narrow`.
    """
    drawn = (_chart(found[: len(_DASHES)], axes, mark, width) for width in (WIDE, NARROW))
    wide, narrow = drawn
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def _chart(found: Sequence[Curve], axes: tuple[str, str], mark: float, width: int) -> Any:
    top = _LABEL * len(found) + 4
    longest = max([mark, *(curve.points[-1][0] for curve in found if curve.points)]) + 1
    x_scale = alt.Scale(domain=[0, longest], nice=False)
    x = alt.X("x:Q", scale=x_scale, axis=alt.Axis(tickCount=8 if width == WIDE else 4, title=axes[0]))
    y_scale = alt.Scale(domain=[0, 1], range=[HEIGHT + top, top])
    y = alt.Y("y:Q", scale=y_scale, axis=alt.Axis(format=".0%", tickCount=5, title=axes[1]))
    layers = [
        alt.Chart(alt.Data(values=[{"x": mark}])).mark_rule(color=svg.INK, strokeWidth=1, strokeDash=[2, 2]).encode(x=x)
    ]
    for number, curve in enumerate(found):
        values = [{"x": a, "y": b} for a, b in ((0.0, 1.0), *curve.points)]
        values += [{"x": values[-1]["x"], "y": 0.0}, {"x": longest, "y": 0.0}]
        line = alt.Chart(alt.Data(values=values))
        dash = {"strokeDash": _DASHES[number]} if _DASHES[number] else {}
        layers.append(
            line.mark_line(color=svg.SERIES[number], strokeWidth=2, interpolate="step-before", **dash).encode(x=x, y=y)
        )
        layers += _legend(number, curve.label, dash)
    return svg.plot(layers, width - 90, HEIGHT + top, left=66)


def _legend(number: int, label: str, dash: dict[str, Any]) -> list[Any]:
    """A piece of the line with its name, above the plot."""
    at = 8.0 + _LABEL * number
    sample = alt.Chart(alt.Data(values=[{}])).mark_rule(color=svg.SERIES[number], strokeWidth=2, **dash)
    name = alt.Chart(alt.Data(values=[{"label": plain(label)[:40]}]))
    return [
        sample.encode(x=alt.value(4), x2=alt.value(34), y=alt.value(at)),
        name.mark_text(align="left", baseline="middle", fontSize=12, color=svg.INK).encode(
            x=alt.value(42), y=alt.value(at), text="label:N"
        ),
    ]
