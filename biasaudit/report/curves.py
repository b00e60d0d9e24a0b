"""Shares that fall with a length: one stepped line an arm, told apart by colour, dash and a label at the side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def _chart(found: Sequence[Curve], axes: tuple[str, str], mark: float, width: int) -> dict[str, Any]:
    top = _LABEL * len(found) + 4
    longest = max([mark, *(curve.points[-1][0] for curve in found if curve.points)]) + 1
    x_axis = {"tickCount": 8 if width == WIDE else 4, "title": axes[0]}
    x = svg.quantity("x", scale={"domain": [0, longest], "nice": False}, axis=x_axis)
    y_axis = {"format": ".0%", "tickCount": 5, "title": axes[1]}
    y = svg.quantity("y", scale={"domain": [0, 1], "range": [HEIGHT + top, top]}, axis=y_axis)
    layers = [svg.layer("rule", [{"x": mark}], {"x": x}, color=svg.INK, strokeWidth=1, strokeDash=[2, 2])]
    for number, curve in enumerate(found):
        values = [{"x": a, "y": b} for a, b in ((0.0, 1.0), *curve.points)]
        values += [{"x": values[-1]["x"], "y": 0.0}, {"x": longest, "y": 0.0}]
        dash = {"strokeDash": _DASHES[number]} if _DASHES[number] else {}
        look = {"color": svg.SERIES[number], "strokeWidth": 2, **dash}
        layers.append(svg.layer("line", values, {"x": x, "y": y}, interpolate="step-before", **look))
        layers += _legend(number, curve.label, look)
    return svg.chart(layers, width - 90, HEIGHT + top, left=66)


def _legend(number: int, label: str, look: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A piece of the line with its name, above the plot."""
    y = {"value": 8.0 + _LABEL * number}
    name = {"x": {"value": 42}, "y": y, "text": {"field": "label", "type": "nominal"}}
    return [
        svg.layer("rule", [{}], {"x": {"value": 4}, "x2": {"value": 34}, "y": y}, **look),
        svg.layer(
            "text", [{"label": plain(label)[:40]}], name, align="left", baseline="middle", fontSize=12, color=svg.INK
        ),
    ]
