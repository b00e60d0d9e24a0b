"""Vega-Lite chart → static SVG for a page: no script, no style attribute, colours that follow the page's theme.

A chart is a mapping in Vega-Lite's own words, made by the functions below. Vega knows colours, not CSS variables:
charts draw with stand-in colours, replaced here by `var(--…)`, so that one SVG serves light, dark and print. Nothing
is fetched (`allowed_base_urls=[]`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

INK, MUTED, LINE, TUNED, REFERENCE, ACCENT, BAND, PAPER, FAINT = (f"#0a0b{i:02x}" for i in range(1, 10))
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", TUNED: "--tuned", REFERENCE: "--reference",
    ACCENT: "--accent", BAND: "--band", PAPER: "--paper", FAINT: "--faint",
}  # fmt: skip
SERIES = tuple(f"#0a0c{i:02x}" for i in range(1, 9))
"""Stand-ins of the eight categorical colours `--c1` … `--c8`."""
SERIES_INK = tuple(f"#0a0d{i:02x}" for i in range(1, 9))
"""Stand-ins of the text colours on them."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Names the version of the language to vl-convert; never fetched."""

_NOISE = re.compile(r' (?:role|aria-[a-z]+|pointer-events|xmlns:xlink|version)="[^"]*"')
_HIDDEN = re.compile(r'<path class="(?:fore|back)ground"[^>]*/>')
_TAG = re.compile(r"<[^>]*>")
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")


def draw(chart: Mapping[str, Any], locale: str, css_class: str) -> Markup:
    """Convert a chart to inline SVG markup.

    Args:
        chart: of `chart`; its colours are the stand-ins of this module.
        locale: `pt` or `en`; the numbers on the axes follow it.
        css_class: classes of the `<svg>` element.

    Returns:
        One `<svg aria-hidden="true">` element; the figure around it carries the words.
    """
    source = vl_convert.vegalite_to_svg(
        dict(chart), allowed_base_urls=[], format_locale="pt-BR" if locale == "pt" else "en-US"
    )
    source = _HIDDEN.sub("", _NOISE.sub("", source))
    source = _TAG.sub(lambda tag: _DECIMALS.sub(r"\1", tag[0]), source)
    for colour, variable in _VARIABLES.items():
        source = source.replace(f'"{colour}"', f'"var({variable})"')
    for i, (fill, ink) in enumerate(zip(SERIES, SERIES_INK, strict=True), start=1):
        source = source.replace(f'"{fill}"', f'"var(--c{i})"').replace(f'"{ink}"', f'"var(--c{i}-ink)"')
    source = source.replace('font-family="sans-serif"', 'font-family="inherit"')
    source = source.replace('<svg class="marks"', "<svg").replace(' class="marks"', "", 1)
    source = source.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    # Vega escapes every text of the chart; test_report_charts checks it with hostile names.
    return Markup(source.replace("<svg ", f'<svg class="{css_class}" ', 1))  # noqa: S704


def quantity(field: str, **options: Any) -> dict[str, Any]:
    """A channel that shows the numbers of `field`; `options` as Vega-Lite names them (`scale`, `axis`)."""
    return {"field": field, "type": "quantitative", **options}


def layer(mark: str, values: Sequence[Mapping[str, Any]], channels: Mapping[str, Any], **look: Any) -> dict[str, Any]:
    """One layer of a chart.

    Args:
        mark: `rect`, `rule`, `text`, `point` or `line`.
        values: the rows.
        channels: what of a row goes where.
        look: properties of every mark, as Vega-Lite names them.
    """
    return {"data": {"values": list(values)}, "mark": {"type": mark, **look}, "encoding": dict(channels)}


def chart(
    layers: Sequence[Mapping[str, Any]], width: float, height: float, *, left: int, bottom: int = 44, **axis: Any
) -> dict[str, Any]:
    """Layers in the report's colours.

    Args:
        layers: of `layer`, from the back to the front.
        width: of the plot in pixels, without what stands around it.
        height: likewise.
        left: pixels for the labels of the vertical axis. Fixed, as `bottom` is: a label is measured by us, not by a
            font that the reader may lack.
        bottom: pixels for the horizontal axis.
        axis: more settings of both axes.
    """
    return {
        "$schema": SCHEMA,
        "layer": list(layers),
        "width": width,
        "height": height,
        "autosize": "none",
        "background": "transparent",
        "padding": {"left": left, "right": 14, "top": 6, "bottom": bottom},
        "config": {
            "aria": False,
            "view": {"stroke": None},
            "axis": {
                "gridColor": LINE, "domainColor": LINE, "tickColor": LINE, "labelColor": MUTED, "titleColor": INK,
                "titleFontWeight": "normal", "labelFontSize": 12, **axis,
            },
        },
    }  # fmt: skip
