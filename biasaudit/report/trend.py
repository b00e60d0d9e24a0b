"""The dose curve: one dot and interval a trained model, the straight line, and the monotone fit over the doses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from biasaudit.report import svg

WIDE, NARROW, HEIGHT = 760, 340, 220

Point = tuple[float, float]


def trend(
    models: Sequence[tuple[float, float, Sequence[float] | None]],
    line: tuple[Point, Point],
    monotone: Sequence[Point],
    axes: tuple[str, str],
    locale: str,
) -> Markup:
    """Outcomes over doses.

    Args:
        models: (dose, mean, ends of its interval or None), one a trained model.
        line: ends of the straight fit.
        monotone: the monotone fit, ascending in the dose.
        axes: titles of the two axes, with the unit.
        locale: `pt` or `en`.

    Returns:
        Two `<svg>` elements, of class `wide` and `narrow`.
    """
    wide, narrow = (_chart(models, line, monotone, axes, width) for width in (WIDE, NARROW))
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def _chart(
    models: Sequence[tuple[float, float, Sequence[float] | None]],
    line: tuple[Point, Point],
    monotone: Sequence[Point],
    axes: tuple[str, str],
    width: int,
) -> dict[str, Any]:
    doses = [dose for dose, _, _ in models]
    levels = [mean for _, mean, _ in models] + [end for _, _, ends in models for end in ends or ()]
    levels += [value for _, value in (*line, *monotone)]
    x_scale, y_scale = ({"domain": _padded(values), "nice": False, "zero": False} for values in (doses, levels))
    x = svg.quantity("x", scale=x_scale, axis={"tickCount": 6 if width == WIDE else 4, "title": axes[0]})
    y = svg.quantity("y", scale=y_scale, axis={"tickCount": 5, "title": axes[1]})
    place = {"x": x, "y": y}
    drawn, fitted = ([{"x": a, "y": b} for a, b in points] for points in (line, monotone))
    layers = [
        svg.layer("line", fitted, place, color=svg.MUTED, strokeWidth=2, strokeDash=[2, 3]),
        svg.layer("line", drawn, place, color=svg.TUNED, strokeWidth=2),
    ]
    spans = [{"x": dose, "y": ends[0], "top": ends[1]} for dose, _, ends in models if ends is not None]
    if spans:
        layers.append(svg.layer("rule", spans, place | {"y2": {"field": "top"}}, color=svg.FAINT, strokeWidth=1.5))
    dots = [{"x": dose, "y": mean} for dose, mean, _ in models]
    layers.append(svg.layer("point", dots, place, shape="circle", filled=True, size=60, color=svg.REFERENCE, opacity=1))
    return svg.chart(layers, width - 90, HEIGHT, left=72)


def _padded(values: Sequence[float]) -> list[float]:
    """Limits with a margin, so that no dot stands on the edge."""
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.5
    return [low - pad, high + pad]
