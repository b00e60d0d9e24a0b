"""The report's figures as Altair charts: intervals by row (forest, sweep) and stacked shares.

Every figure is drawn twice, wide with labels in a gutter and narrow with labels above the marks, because text
in a scaled SVG is not readable on a phone; the page shows one of the two. Labels are laid out here, not by Vega:
its overlap rule silently drops names.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
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


def _intervals(rows: Sequence[Row], axis: str, margin: float | None, *, width: int, gutter: int) -> Any:
    placed, labels, height = _place(rows, gutter, wrap=34 if gutter else 46)
    low, high = _domain(rows, margin)
    x_scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False, zero=False))
    axis_lines = textwrap.wrap(axis, 84 if gutter else 46)
    x_axis = alt.Axis(tickCount=7 if gutter else 4, title=axis_lines)
    x = functools.partial(alt.X, scale=x_scale, axis=x_axis)
    layers = []
    if margin is not None:
        band = alt.Chart(alt.Data(values=[{"a": -margin, "b": margin}]))
        layers.append(band.mark_rect(color=svg.BAND).encode(x=x("a:Q"), x2="b:Q"))
    zero = alt.Chart(alt.Data(values=[{"x": 0.0}]))
    layers.append(zero.mark_rule(color=svg.INK, strokeWidth=1).encode(x=x("x:Q")))
    for kind in _SHAPES:
        layers += _marks(kind, [p for p in placed if p["kind"] == kind], x, y)
    if labels:
        names = alt.Chart(alt.Data(values=labels))
        layers.append(
            names.mark_text(
                align="right" if gutter else "left", baseline="middle", fontSize=FONT, color=svg.INK, lineHeight=14
            ).encode(x=alt.value(-14 if gutter else 0), y=y, text="label:N")
        )
    return _finish(alt.layer(*layers), width - gutter - 24, height, gutter, 30 + 14 * len(axis_lines))


def _marks(kind: str, placed: list[dict[str, Any]], x: Any, y: Any) -> list[Any]:
    """Line and point of every row of one kind."""
    lines = [p for p in placed if "low" in p]
    layers = []
    if lines:
        rule = alt.Chart(alt.Data(values=lines))
        dash = {"strokeDash": [4, 3]} if kind == "prediction" else {}
        layers.append(
            rule.mark_rule(color=_LINES[kind], strokeWidth=_STROKES[kind], **dash).encode(
                x=x("low:Q"), x2="high:Q", y=y
            )
        )
    points = [p for p in placed if "x" in p and _SIZES[kind]]
    if points:
        layers.append(
            alt.Chart(alt.Data(values=points))
            .mark_point(shape=_SHAPES[kind], filled=True, size=_SIZES[kind], color=_COLOURS[kind], opacity=1)
            .encode(x=x("x:Q"), y=y)
        )
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


def _stacked(bars: Sequence[Bar], colours: Sequence[int], axis: str, *, width: int, gutter: int) -> Any:
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
    y_scale = alt.Scale(domain=[height, 0], nice=False, zero=False)
    x_scale = alt.Scale(domain=[0, 100], nice=False)
    x_axis = alt.Axis(tickCount=5, title=axis)
    layers = []
    for j in sorted({p["c"] for p in parts}):
        data = alt.Chart(alt.Data(values=[p for p in parts if p["c"] == j]))
        layers.append(
            data.mark_rect(color=svg.SERIES[j], stroke=svg.PAPER, strokeWidth=1).encode(
                x=alt.X("a:Q", scale=x_scale, axis=x_axis),
                x2="b:Q",
                y=alt.Y("top:Q", axis=None, scale=y_scale),
                y2="bottom:Q",
            )
        )
        layers.append(
            data.mark_text(color=svg.SERIES_INK[j], fontSize=FONT, fontWeight=600).encode(
                x=alt.X("m:Q", scale=x_scale, axis=x_axis), y=alt.Y("y:Q", axis=None, scale=y_scale), text="text:N"
            )
        )
    label = alt.Chart(alt.Data(values=names))
    layers.append(
        label.mark_text(align="right" if gutter else "left", baseline="middle", fontSize=FONT, color=svg.INK).encode(
            x=alt.value(-12 if gutter else 0), y=alt.Y("y:Q", axis=None, scale=y_scale), text="label:N"
        )
    )
    return _finish(alt.layer(*layers), width - gutter - 24, height, gutter, 44)


def _finish(chart: Any, width: float, height: float, gutter: int, bottom: int) -> Any:
    """Fixed paddings (labels are measured by us, not by a font that the reader may lack) and quiet axes."""
    return (
        chart.properties(
            width=width,
            height=height,
            autosize="none",
            background="transparent",
            padding={"left": max(gutter, 8) + 10, "right": 14, "top": 6, "bottom": bottom},
        )
        .configure(aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=svg.LINE,
            domainColor=svg.LINE,
            tickColor=svg.LINE,
            labelColor=svg.MUTED,
            titleColor=svg.INK,
            titleFontWeight="normal",
            labelFontSize=FONT,
            titleFontSize=FONT,
            labelOverlap=False,
            labelFlush=False,
        )
    )
