"""The line chart: ticks, positions, gaps, and the legend."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shared.errors import InputError
from shared.reporting.chart import BOTTOM, COLOURS, LEFT, RIGHT, TOP, Line, colour_of, draw_chart, draw_legend, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.03, 0.011, [-0.03, -0.02, -0.01, 0, 0.01, 0.02]),
        (1, 100, [0, 20, 40, 60, 80, 100]),
        (3, 3, [2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6]),
    ],
)
def test_ticks_are_round_and_enclose_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def of_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((abs(picture.astype(int) - colour) < 40).all(axis=-1))


def test_values_are_where_the_axes_say() -> None:
    colour = COLOURS[0]
    chart = draw_chart("t", "x", [Line([0, 10], [0.0, 1.0], colour)], limits=(0, 1), size=(400, 300))
    points = of_colour(np.asarray(chart), colour)
    right, bottom = 400 - RIGHT, 300 - BOTTOM
    for y, x in points[:: len(points) // 20]:
        across, up = (x - LEFT) / (right - LEFT), (bottom - y) / (bottom - TOP)
        assert abs(across - up) < 0.03
    assert points[:, 1].min() <= LEFT + 2
    assert points[:, 1].max() >= right - 2


def test_missing_values_leave_a_gap() -> None:
    line = Line([1, 2, 3, 4, 5, 6], [None, 0.5, 0.5, math.nan, 0.5, 0.5], COLOURS[1])
    assert [len(part) for part in line.pieces()] == [2, 2]
    with_gap, without = (
        of_colour(np.asarray(draw_chart("t", "x", [Line(line.x[1:], y, line.colour)])), line.colour)
        for y in (line.y[1:], [0.5] * 5)
    )
    columns = np.unique(with_gap[:, 1])
    assert np.diff(columns).max() > 200  # two of four steps of 140 pixels
    assert np.diff(np.unique(without[:, 1])).max() <= 1


def test_a_chart_without_values_is_drawn_too() -> None:
    assert draw_chart("t", "x", [Line([1, 2], [None, None], COLOURS[0])], zero_line=True).size == (640, 340)


def test_the_legend_wraps_and_knows_its_colours() -> None:
    labels = [f"a rather long label {number}" for number in range(6)]
    wide, narrow = draw_legend(labels, 1300), draw_legend(labels, 420)
    assert wide.width == 1300
    assert narrow.height > wide.height
    for number in range(6):
        assert len(of_colour(np.asarray(narrow), colour_of(number))) > 20
    with pytest.raises(InputError, match="at most 10 lines"):
        draw_legend(["x"] * 11, 500)
