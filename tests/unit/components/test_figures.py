"""Figures: empty, one point, NaN; each accepted by Plotly's own validation."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import pytest

from components.chart_specs import CORES, SYSTEM, TRAFFIC, Area, ChartSpec, Series
from components.charts import cores_figure, time_figure
from components.phases import PhaseNode, own_times, phases_figure
from components.theme import TOKENS, template

SPEC = ChartSpec(
    "heat", "Heat", "K", 100, 6, (Series("a", "A", "series-1"),), (Area("a", "series-1-fill"),)
)
COLUMNS = ("t", "a", "b")
QUIET: dict[str, Any] = {
    "type": "scatter",
    "mode": "lines",
    "connectgaps": False,
    "hoverinfo": "skip",
    "showlegend": False,
}


def test_an_empty_time_figure_is_a_whole_figure_without_points() -> None:
    figure = time_figure(SPEC)
    assert figure["data"] == [
        QUIET
        | {
            "x": [],
            "y": [],
            "line": {"width": 0},
            "fill": "tozeroy",
            "fillcolor": TOKENS["dark"]["series-1-fill"],
            "meta": {"column": "a", "area": True, "fill_token": "series-1-fill"},
        },
        QUIET
        | {
            "x": [],
            "y": [],
            "name": "A",
            "line": {"color": TOKENS["dark"]["series-1"], "width": 1.5},
            "meta": {"column": "a", "token": "series-1"},
        },
    ]
    assert figure["layout"]["height"] == 100
    assert figure["layout"]["uirevision"] == "heat"
    assert figure["layout"]["template"] == template("dark")
    assert figure["layout"]["meta"]["unit"] == "K"


def test_one_point_is_drawn_in_milliseconds() -> None:
    area, line = time_figure(SPEC, "light", COLUMNS, [[10.0, 2.5, None]])["data"]
    assert (line["x"], line["y"]) == ([10_000.0], [2.5])
    assert (area["x"], area["y"]) == ([10_000.0], [2.5])
    assert line["line"]["color"] == TOKENS["light"]["series-1"]


def test_nan_and_none_are_gaps_in_lines_and_zero_in_areas() -> None:
    points: list[list[float | None]] = [[1.0, math.nan], [2.0, None], [3.0, math.inf], [4.0, 7.0]]
    area, line = time_figure(SPEC, "dark", ("t", "a"), points)["data"]
    assert line["y"] == [None, None, None, 7.0]
    assert area["y"] == [0.0, 0.0, 0.0, 7.0]


def test_a_column_that_is_not_there_leaves_its_line_empty() -> None:
    line = time_figure(SPEC, "dark", ("t", "other"), [[1.0, 2.0]])["data"][-1]
    assert (line["x"], line["y"]) == ([], [])


def test_a_band_fills_between_its_edges() -> None:
    lower, upper = time_figure(TRAFFIC[0])["data"][:2]
    assert (lower["meta"]["column"], "fill" in lower) == ("p50_ms", False)
    assert (upper["meta"]["column"], upper["fill"]) == ("p99_ms", "tonexty")


@pytest.mark.parametrize("spec", TRAFFIC + SYSTEM, ids=lambda spec: spec.name)
def test_plotly_accepts_every_time_figure(spec: ChartSpec) -> None:
    figure = go.Figure(time_figure(spec))
    assert len(figure.data) >= len(spec.series)


@pytest.mark.parametrize("spec", TRAFFIC + SYSTEM, ids=lambda spec: spec.name)
def test_the_period_before_is_one_empty_dashed_line_of_a_line_that_is_drawn(
    spec: ChartSpec,
) -> None:
    assert spec.headline in {series.column for series in spec.series}
    before = [trace for trace in time_figure(spec)["data"] if trace["meta"].get("previous")]
    assert [(line["meta"]["column"], line["x"]) for line in before] == [(spec.headline, [])]
    assert before[0]["line"]["dash"] == "dash"


def test_the_cores_are_a_map_of_heat_from_idle_to_busy() -> None:
    trace = go.Figure(cores_figure(CORES)).data[0]
    assert trace.type == "heatmap"
    assert (trace.zmin, trace.zmax) == (0, 100)


def test_there_are_at_most_eight_live_charts() -> None:
    assert len(TRAFFIC) + len(SYSTEM) + 1 <= 8


NODES = (
    PhaseNode("requests", "requests", "", 10.0, 4),
    PhaseNode("m", "m", "requests", 10.0, 4),
    PhaseNode("m/run", "run", "m", 6.0, 4),
    PhaseNode("m/encode", "encode", "m", 4.1, 4),
)


def test_a_node_s_own_time_is_without_its_children_and_never_negative() -> None:
    assert own_times(NODES) == [0.0, 0.0, 6.0, 4.1]


def test_an_unknown_time_counts_as_none() -> None:
    assert own_times([PhaseNode("requests", "requests", "", math.nan, 0)]) == [0.0]


def test_an_empty_icicle_is_accepted_by_plotly() -> None:
    figure = go.Figure(phases_figure())
    assert figure.data[0].type == "icicle"
    assert list(figure.data[0].ids) == []


def test_the_icicle_is_coloured_by_own_time() -> None:
    trace = go.Figure(phases_figure(NODES, "light")).data[0]
    assert list(trace.marker.colors) == [0.0, 0.0, 6.0, 4.1]
    assert list(trace.parents) == ["", "requests", "m", "m"]
