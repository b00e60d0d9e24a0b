"""Words by how frequent and how telling they are, and densities of scores one above the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasaudit.report import svg
from biasaudit.report.text import plain

WIDE, NARROW, HEIGHT = 760, 340, 300
FONT = 12
LINE_HEIGHT, LETTER = 13.0, 7.0
"""Pixels that a name takes at most: names that would stand on another are left to the table."""
RIDGE = 74.0
"""Pixels of one density."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One word."""

    word: str
    documents: int
    z: float


def words_by_z(
    named: Sequence[Dot], others: Sequence[tuple[float, float]], threshold: float, axes: tuple[str, str], locale: str
) -> Markup:
    """Z over frequency with the band of chance; words beyond it are named as far as there is room.

    Args:
        named: words that may stand beyond the band.
        others: (documents, z) of more words.
        threshold: half-width of the band.
        axes: titles of the two axes.
        locale: `pt` or `en`.

    Returns:
        Two `<svg>` elements, of class `wide` and `narrow`.
    """
    wide, narrow = (_words(named, others, threshold, axes, width) for width in (WIDE, NARROW))
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def _words(
    named: Sequence[Dot], others: Sequence[tuple[float, float]], threshold: float, axes: tuple[str, str], width: int
) -> dict[str, Any]:
    counts = [float(dot.documents) for dot in named] + [count for count, _ in others]
    reach = 1.12 * max([threshold, *(abs(dot.z) for dot in named), *(abs(z) for _, z in others)])
    ends = (max(1.0, min(counts)) / 1.2, max(counts) * 1.4)
    ticks = [2**k for k in range(math.ceil(math.log2(ends[0])), math.floor(math.log2(ends[1])) + 1)]
    most = 9 if width == WIDE else 5
    axis = {"values": ticks[:: max(1, -(-len(ticks) // most))], "title": axes[0]}
    x = svg.quantity("x", scale={"type": "log", "domain": list(ends), "nice": False}, axis=axis)
    y = svg.quantity("y", scale={"domain": [-reach, reach], "nice": False, "zero": False}, axis={"title": axes[1]})
    place = {"x": x, "y": y}
    band = [{"y": -threshold, "top": threshold}]
    layers = [
        svg.layer("rect", band, {"y": y, "y2": {"field": "top"}}, color=svg.BAND),
        svg.layer("rule", [{"y": 0.0}], {"y": y}, color=svg.INK, strokeWidth=1),
    ]
    inside = [dot for dot in named if abs(dot.z) <= threshold]
    grey = [{"x": max(1.0, a), "y": b} for a, b in (*others, *((float(dot.documents), dot.z) for dot in inside))]
    look = {"filled": True, "opacity": 1}
    layers.append(svg.layer("point", grey, place, shape="circle", size=14, color=svg.FAINT, **look))
    beyond = sorted((dot for dot in named if abs(dot.z) > threshold), key=lambda dot: -abs(dot.z))
    for sign, shape, colour in ((1, "triangle-up", svg.TUNED), (-1, "triangle-down", svg.REFERENCE)):
        own = [{"x": float(dot.documents), "y": dot.z} for dot in beyond if dot.z * sign > 0]
        layers.append(svg.layer("point", own, place, shape=shape, size=44, color=colour, **look))
    names = _named(beyond, ends, reach, width)
    text = {**place, "text": {"field": "label", "type": "nominal"}}
    for align, dx in (("left", 7), ("right", -7)):
        own = [name for name in names if name["align"] == align]
        layers.append(svg.layer("text", own, text, align=align, dx=dx, baseline="middle", fontSize=FONT, color=svg.INK))
    return svg.chart([layer for layer in layers if layer["data"]["values"]], width - 90, HEIGHT, left=66)


def _named(beyond: Sequence[Dot], ends: tuple[float, float], reach: float, width: int) -> list[dict[str, Any]]:
    """Names that stand on no other name, the largest |z| first; beside their point, on the side that has room."""
    span = width - 90
    taken: list[tuple[float, float, float]] = []
    found = []
    for dot in beyond:
        label = plain(dot.word)[:24]
        at = span * math.log(dot.documents / ends[0]) / math.log(ends[1] / ends[0])
        down = HEIGHT * (1 - dot.z / reach) / 2
        size = LETTER * len(label) + 8
        left = at + size > span
        box = (at - size, at, down) if left else (at, at + size, down)
        free = all(abs(down - y) >= LINE_HEIGHT or box[1] < a or box[0] > b for a, b, y in taken)
        if free and box[0] > -20:
            taken.append(box)
            found.append({"x": float(dot.documents), "y": dot.z, "label": label, "align": "right" if left else "left"})
    return found


def ridges(names: Sequence[str], found: Mapping[str, Any], threshold: float | None, axis: str, locale: str) -> Markup:
    """One density an arm above a common axis, with the same bandwidth and height of scale.

    Args:
        names: of the arms, as many as densities.
        found: `stats.robust.ridges`.
        threshold: where the tail begins, drawn upright; or None.
        axis: title of the axis, with the unit.
        locale: `pt` or `en`.

    Returns:
        Two `<svg>` elements, of class `wide` and `narrow`.
    """
    wide, narrow = (_ridges(names, found, threshold, axis, width) for width in (WIDE, NARROW))
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def _ridges(
    names: Sequence[str], found: Mapping[str, Any], threshold: float | None, axis: str, width: int
) -> dict[str, Any]:
    rows = found["densities"]
    height = RIDGE * len(rows) + 10
    peak = max(max(row) for row in rows) or 1.0
    step = (found["high"] - found["low"]) / (len(rows[0]) - 1)
    domain = [min(found["low"], *([] if threshold is None else [threshold])), found["high"]]
    x_axis = {"tickCount": 7 if width == WIDE else 4, "title": axis}
    x = svg.quantity("x", scale={"domain": domain, "nice": False, "zero": False}, axis=x_axis)
    y_scale = {"domain": [height, 0], "nice": False, "zero": False}
    y = svg.quantity("y", scale=y_scale, axis=None)
    layers = []
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        foot = RIDGE * (number + 1)
        colour = (svg.TUNED, svg.REFERENCE)[number % 2]
        outline = [
            {"x": found["low"] + step * k, "y": foot - (RIDGE - 22) * value / peak, "foot": foot}
            for k, value in enumerate(row)
        ]
        layers.append(svg.layer("area", outline, {"x": x, "y": y, "y2": {"field": "foot"}}, color=svg.BAND))
        layers.append(svg.layer("line", outline, {"x": x, "y": y}, color=colour, strokeWidth=2))
        base = {"x": x, "x2": {"field": "end"}, "y": y}
        layers.append(svg.layer("rule", [{"x": domain[0], "end": domain[1], "y": foot}], base, color=svg.LINE))
        label = {"x": {"value": 2}, "y": y, "text": {"field": "label", "type": "nominal"}}
        look = {"align": "left", "baseline": "top", "fontSize": FONT, "color": svg.INK}
        layers.append(svg.layer("text", [{"label": plain(name)[:40], "y": foot - RIDGE + 6}], label, **look))
    if threshold is not None:
        mark = {"x": x}
        layers.append(svg.layer("rule", [{"x": threshold}], mark, color=svg.INK, strokeWidth=1, strokeDash=[3, 3]))
    return svg.chart(layers, width - 40, height, left=24)
