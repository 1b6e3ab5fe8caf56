"""Line charts: values where the axes say, gaps, colours by name, and the legend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from shared.errors import InputError
from shared.reporting.canvas import png
from shared.reporting.charts import COLOURS, Chart, Line, chart_figure, draw_charts
from tests.reporting.pictures import description, drawn, pixels, places, texts, where


def test_values_are_where_the_axes_say() -> None:
    chart = Chart("title", "epoch", {"a": Line([0, 10], [0.0, 1.0])}, limits=(0, 1))
    shown = drawn(chart_figure([[chart]], ["a"]))[0]
    points = where(shown, to_rgb(COLOURS[0]))
    height, width = shown.shape[:2]
    across, up = points[:, 1] / width, 1 - points[:, 0] / height
    # The axis ends a hundredth before and behind the values.
    np.testing.assert_allclose(up, (across - 0.01) * 1.02, atol=0.03)
    assert np.ptp(across) > 0.97


def test_missing_values_leave_a_gap_and_a_lone_value_is_seen() -> None:
    lines = {"a": Line([1, 2, 3, 4, 5, 6, 7], [None, 0.5, 0.5, math.nan, 0.5, math.inf, 0.5])}
    shown = drawn(chart_figure([[Chart("t", "x", lines)]], ["a"]))[0]
    columns = np.unique(where(shown, to_rgb(COLOURS[0]))[:, 1])
    gaps = np.diff(columns)
    step = shown.shape[1] * 0.98 / 5
    np.testing.assert_allclose(gaps[gaps > 1], [2 * step, 2 * step], atol=8)


def test_a_line_keeps_its_colour_where_others_are_missing() -> None:
    first, second = Line([1, 2], [0.1, 0.2]), Line([1, 2], [0.3, 0.4])
    charts = [[Chart("left", "x", {"a": first, "b": second}), Chart("right", "x", {"b": second})]]
    figure = chart_figure(charts, ["a", "b"])
    found = [{line.get_label(): to_hex(line.get_color()) for line in axes.lines} for axes in figure.axes]
    assert found == [{"a": COLOURS[0], "b": COLOURS[1]}, {"b": COLOURS[1]}]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["left", "right"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert [to_hex(line.get_color()) for line in legend.get_lines()] == list(COLOURS[:2])


def test_percentages_limits_and_the_zero_line() -> None:
    lines = {"a": Line([1, 2], [0.25, 0.5])}
    figure = chart_figure(
        [[Chart("t", "x", lines, limits=(0, 1), percent=True), Chart("t", "x", lines, zero_line=True)]], ["a"]
    )
    png(figure)
    left, right = figure.axes
    assert left.get_ylim() == (0, 1)
    assert [label.get_text() for label in left.get_yticklabels()][::5] == ["0%", "100%"]
    assert right.get_ylim()[0] <= 0
    assert any(list(line.get_ydata()) == [0, 0] for line in right.lines)


def test_there_is_no_half_epoch() -> None:
    figure = chart_figure([[Chart("t", "x", {"a": Line([1, 2, 3], [1, 2, 3])})]], ["a"])
    assert [tick for tick in figure.axes[0].get_xticks() if 1 <= tick <= 3] == [1, 2, 3]


def test_a_chart_without_values_is_drawn_too() -> None:
    figure = chart_figure([[Chart("t", "x", {"a": Line([1, 2], [None, None])}, zero_line=True)]], ["a"])
    assert len(where(drawn(figure)[0], to_rgb(COLOURS[0]))) == 0


def test_charts_legend_and_names_do_not_overlap() -> None:
    names = [f"a rather long label of line {number}" for number in range(9)]
    chart = Chart("t", "x", {name: Line([1, 2], [1, 2]) for name in names})
    text = "Sentences below all charts. " * 12
    figure = chart_figure([[chart, chart], [chart, chart]], names, text)
    assert description(draw_charts([[chart]], names, text)) == text
    png(figure)
    names_box = figure.legends[0].get_window_extent()
    assert 0 <= names_box.x0 < names_box.x1 <= figure.bbox.width
    tightest = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box.y1 < names_box.y0 for box in tightest)
    assert tightest[0].y0 > tightest[2].y1
    assert tightest[0].x1 < tightest[1].x0
    lines = [text.get_window_extent() for text in figure.texts]
    assert len(lines) > 1
    assert max(box.y1 for box in lines) < min(box.y0 for box in tightest)
    assert min(box.y0 for box in lines) >= 0
    assert " ".join(texts(figure)) == text.strip()
    assert [height for _, _, height, _ in places(figure)] == [260] * 4
    assert pixels(png(figure)).shape[1] == 1280


def test_more_lines_than_colours_are_refused() -> None:
    with pytest.raises(InputError, match="at most 10 lines, found 11"):
        chart_figure([[Chart("t", "x", {})]], [str(number) for number in range(11)])
