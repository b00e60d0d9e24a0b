"""Altair chart → static SVG for a page: no script, no style attribute, colours that follow the page's theme.

Vega knows colours, not CSS variables: charts draw with stand-in colours, replaced here by `var(--…)`, so that one
SVG serves light, dark and print. Nothing is fetched (`allowed_base_urls=[]`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import altair as alt
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

_NOISE = re.compile(r' (?:role|aria-[a-z]+|pointer-events|xmlns:xlink|version)="[^"]*"')
_HIDDEN = re.compile(r'<path class="(?:fore|back)ground"[^>]*/>')
_TAG = re.compile(r"<[^>]*>")
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")


def draw(chart: Any, locale: str, css_class: str) -> Markup:
    """Convert an Altair chart to inline SVG markup.

    Args:
        chart: an `altair` chart whose colours are the stand-ins of this module.
        locale: `pt` or `en`; the numbers on the axes follow it.
        css_class: classes of the `<svg>` element.

    Returns:
        One `<svg aria-hidden="true">` element; the figure around it carries the words.
    """
    source = vl_convert.vegalite_to_svg(
        chart.to_dict(), allowed_base_urls=[], format_locale="pt-BR" if locale == "pt" else "en-US"
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


def plot(layers: Sequence[Any], width: int, height: float, *, left: int) -> Any:
    """A chart of `layers` in the report's colours; `left` pixels are for the labels of its vertical axis."""
    return (
        alt.layer(*layers)
        .properties(
            width=width,
            height=height,
            autosize="none",
            background="transparent",
            padding={"left": left, "right": 14, "top": 6, "bottom": 44},
        )
        .configure(aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=LINE, domainColor=LINE, tickColor=LINE, labelColor=MUTED, titleColor=INK,
            titleFontWeight="normal", labelFontSize=12,
        )
    )  # fmt: skip
