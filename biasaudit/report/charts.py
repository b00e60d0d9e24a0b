"""The report's figures as Vega-Lite charts: intervals by row (forest, sweep) and stacked shares.

Every figure is drawn twice, wide with labels in a gutter and narrow with labels above the marks, because text
in a scaled SVG is not readable on a phone; the page shows one of the two. Labels are laid out here, not by Vega:
its overlap rule silently drops names.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from biasaudit.report import svg
from biasaudit.report.text import plain

RowKind = Literal["topic", "prompt", "population", "fixed", "prediction"]
WIDE, NARROW = 760, 340
GUTTER = 250
FONT = 12
_SHAPES = {"topic": "square", "prompt": "circle", "population": "diamond", "fixed": "circle", "prediction": "stroke"}
_SIZES = {"topic": 60, "prompt": 18, "population": 170, "fixed": 80, "prediction": 0}
_COLOURS = {
    "topic": svg.ACCENT, "prompt": svg.MUTED, "population": svg.TUNED, "fixed": svg.REFERENCE,
    "prediction": svg.MUTED,
}  # fmt: skip
_LINES = {**_COLOURS, "prompt": svg.FAINT}
_STROKES = {"topic": 2.0, "prompt": 1.0, "population": 3.0, "fixed": 3.0, "prediction": 1.5}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an interval figure, in shown units (points, nats per byte …)."""

    kind: RowKind
    label: str
    """Empty for prompts, which stand unlabelled under their topic."""
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One stacked bar: an arm and its shares (0 to 1) in the order of the labels."""

    label: str
    shares: tuple[float, ...]


def intervals(rows: Sequence[Row], axis: str, locale: str, *, margin: float | None = None) -> Markup:
    """A forest of intervals around zero.

    Args:
        rows: from top to bottom.
        axis: title of the axis, with the unit.
        locale: `pt` or `en`.
        margin: half-width of the equivalence band in shown units, or None.

    Returns:
        Two `<svg>` elements, of class `wide` and `narrow`.
    """
    wide = _intervals(rows, axis, margin, width=WIDE, gutter=GUTTER)
    narrow = _intervals(rows, axis, margin, width=NARROW, gutter=0)
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def stacked(bars: Sequence[Bar], colours: Sequence[int], axis: str, locale: str) -> Markup:
    """Stacked horizontal bars with the percentage written in every part that has room.

    Args:
        bars: from top to bottom.
        colours: one of 0 to 7 for each share of a bar.
        axis: title of the axis.
        locale: `pt` or `en`.
    """
    wide = _stacked(bars, colours, axis, width=WIDE, gutter=150)
    narrow = _stacked(bars, colours, axis, width=NARROW, gutter=0)
    return svg.draw(wide, locale, "chart wide") + svg.draw(narrow, locale, "chart narrow")


def _intervals(rows: Sequence[Row], axis: str, margin: float | None, *, width: int, gutter: int) -> dict[str, Any]:
    placed, labels, height = _place(rows, gutter, wrap=34 if gutter else 46)
    axis_lines = textwrap.wrap(axis, 84 if gutter else 46)
    x = {"scale": _across(*_domain(rows, margin)), "axis": {"tickCount": 7 if gutter else 4, "title": axis_lines}}
    y = {"y": svg.quantity("y", scale=_across(height, 0), axis=None)}
    layers = []
    if margin is not None:
        band = {"x": svg.quantity("a", **x), "x2": {"field": "b"}}
        layers.append(svg.layer("rect", [{"a": -margin, "b": margin}], band, color=svg.BAND))
    layers.append(svg.layer("rule", [{"x": 0.0}], {"x": svg.quantity("x", **x)}, color=svg.INK, strokeWidth=1))
    for kind in _SHAPES:
        layers += _marks(kind, [p for p in placed if p["kind"] == kind], x, y)
    if labels:
        layers.append(_names(labels, y, -14 if gutter else 0, lineHeight=14))
    return _finish(layers, width, height, gutter, 30 + 14 * len(axis_lines))


def _across(start: float, end: float) -> dict[str, Any]:
    """A scale of just these limits."""
    return {"domain": [start, end], "nice": False, "zero": False}


def _names(labels: Sequence[Mapping[str, Any]], y: Mapping[str, Any], x: int, **look: Any) -> dict[str, Any]:
    """Names of the rows, up to the plot in a gutter (`x` below 0) or from its edge on."""
    channels = {"x": {"value": x}, **y, "text": {"field": "label", "type": "nominal"}}
    align = "right" if x < 0 else "left"
    return svg.layer("text", labels, channels, align=align, baseline="middle", fontSize=FONT, color=svg.INK, **look)


def _marks(
    kind: str, placed: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Line and point of every row of one kind."""
    lines = [p for p in placed if "low" in p]
    layers = []
    if lines:
        look: dict[str, Any] = {"color": _LINES[kind], "strokeWidth": _STROKES[kind]}
        if kind == "prediction":
            look["strokeDash"] = [4, 3]
        layers.append(svg.layer("rule", lines, {"x": svg.quantity("low", **x), "x2": {"field": "high"}, **y}, **look))
    points = [p for p in placed if "x" in p and _SIZES[kind]]
    if points:
        look = {"shape": _SHAPES[kind], "filled": True, "size": _SIZES[kind], "color": _COLOURS[kind], "opacity": 1}
        layers.append(svg.layer("point", points, {"x": svg.quantity("x", **x), **y}, **look))
    return layers


def _place(rows: Sequence[Row], gutter: int, wrap: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Vertical positions in pixels of marks and labels, and the height of the plot."""
    prompts = sum(row.kind == "prompt" for row in rows)
    step = 8.0 if prompts <= 160 else 5.0
    placed: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    at = 4.0
    previous: RowKind | None = None
    for row in rows:
        if row.kind == "prompt":
            at += step
        else:
            lines = textwrap.wrap(plain(row.label), wrap)[:2] if row.label else []
            at += 14.0 if previous == "prompt" else (10.0 if previous else 6.0)
            if row.kind == "population" and previous:
                at += 14.0
            if gutter == 0:
                labels.append({"label": lines, "y": at})
                at += 14.0 * len(lines)
            else:
                labels.append({"label": lines, "y": at - 7.0 * (len(lines) - 1)})
            if gutter and previous != "prompt":
                at += 0.0
        mark: dict[str, Any] = {"kind": row.kind, "y": at}
        if row.value is not None:
            mark["x"] = row.value
        if row.low is not None and row.high is not None:
            mark |= {"low": row.low, "high": row.high}
        placed.append(mark)
        at += 8.0 if row.kind != "prompt" else 0.0
        previous = row.kind
    return placed, labels, at + 8.0


def _domain(rows: Sequence[Row], margin: float | None) -> tuple[float, float]:
    """Limits that hold every mean, every interval, zero and the margin."""
    found = [0.0] + [r.value for r in rows if r.value is not None]
    for row in rows:
        if row.low is not None and row.high is not None:
            found += [row.low, row.high]
    if margin is not None:
        found += [-margin, margin]
    low, high = min(found), max(found)
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def _stacked(bars: Sequence[Bar], colours: Sequence[int], axis: str, *, width: int, gutter: int) -> dict[str, Any]:
    step = 38.0 if gutter else 54.0
    parts: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for i, bar in enumerate(bars):
        top = i * step + (4.0 if gutter else 20.0)
        names.append({"label": plain(bar.label)[:40], "y": top + 13.0 if gutter else top - 9.0})
        start = 0.0
        for j, share in enumerate(bar.shares):
            end = start + 100 * share
            text = f"{100 * share:.0f}%" if share >= (0.06 if gutter else 0.1) else ""
            parts.append({"a": start, "b": end, "m": (start + end) / 2, "top": top, "bottom": top + 26.0,
                          "y": top + 13.0, "text": text, "c": colours[j]})  # fmt: skip
            start = end
    height = len(bars) * step + 4.0
    y_scale = _across(height, 0)
    x: dict[str, Any] = {"scale": {"domain": [0, 100], "nice": False}, "axis": {"tickCount": 5, "title": axis}}
    y = {"y": svg.quantity("y", scale=y_scale, axis=None)}
    across = {
        "x": svg.quantity("a", **x), "x2": {"field": "b"},
        "y": svg.quantity("top", scale=y_scale, axis=None), "y2": {"field": "bottom"},
    }  # fmt: skip
    written = {"x": svg.quantity("m", **x), **y, "text": {"field": "text", "type": "nominal"}}
    layers = []
    for j in sorted({p["c"] for p in parts}):
        found = [p for p in parts if p["c"] == j]
        layers.append(svg.layer("rect", found, across, color=svg.SERIES[j], stroke=svg.PAPER, strokeWidth=1))
        layers.append(svg.layer("text", found, written, color=svg.SERIES_INK[j], fontSize=FONT, fontWeight=600))
    layers.append(_names(names, y, -12 if gutter else 0))
    return _finish(layers, width, height, gutter, 44)


def _finish(layers: Sequence[Mapping[str, Any]], width: int, height: float, gutter: int, bottom: int) -> dict[str, Any]:
    """A chart whose gutter and axis together are `width` wide, with every label of the axis kept."""
    return svg.chart(
        layers, width - gutter - 24, height, left=max(gutter, 8) + 10, bottom=bottom,
        titleFontSize=FONT, labelOverlap=False, labelFlush=False,
    )  # fmt: skip
