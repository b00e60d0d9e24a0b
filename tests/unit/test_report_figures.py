"""Figures are written in Vega-Lite's own words; its schema is the judge of them."""

from __future__ import annotations

from typing import Any

import pytest

from biasaudit.report import charts, curves, svg, trend

ROWS = [
    charts.Row("topic", "um", 0.1, 0.0, 0.2),
    charts.Row("prompt", "", 0.3),
    charts.Row("fixed", "fixo", 0.1, -0.1, 0.2),
    charts.Row("prediction", "novo", 0.1, -0.4, 0.5),
]


def drawn(name: str) -> dict[str, Any]:
    if name == "intervals":
        return charts._intervals(ROWS, "pontos", 0.05, width=charts.WIDE, gutter=charts.GUTTER)
    if name == "stacked":
        return charts._stacked([charts.Bar("base", (0.2, 0.8))], [0, 3], "%", width=charts.NARROW, gutter=0)
    if name == "trend":
        return trend._chart([(0, 0.1, (0.0, 0.2)), (1, 0.3, None)], ((0, 0.1), (1, 0.3)), [(0, 0.1)], ("x", "y"), 760)
    return curves._chart([curves.Curve("a", ((1, 0.5),)), curves.Curve("b", ((2, 0.1),))], ("n", "%"), 5, 340)


@pytest.mark.parametrize("name", ["intervals", "stacked", "trend", "curves"])
def test_every_figure_is_what_the_schema_of_its_language_allows(name: str) -> None:
    altair = pytest.importorskip("altair")
    chart = drawn(name)
    altair.LayerChart.from_dict(chart)
    chart["layer"][-1]["mark"]["colour"] = "red"
    with pytest.raises(Exception, match="Failed validating"):
        altair.LayerChart.from_dict(chart)


@pytest.mark.parametrize("name", ["intervals", "stacked", "trend", "curves"])
def test_every_figure_is_drawn_in_the_pages_colours_alone(name: str) -> None:
    figure = str(svg.draw(drawn(name), "pt", "chart"))
    assert figure.startswith('<svg class="chart" aria-hidden="true"')
    assert "var(--" in figure
    assert "#0a0" not in figure
