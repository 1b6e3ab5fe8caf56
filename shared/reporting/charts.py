"""Line charts: a grid of them with one set of named lines, for curves over epochs or over test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shared.errors import InputError
from shared.reporting.canvas import GAP, LINE, house_style, new_figure, png, wrapped, write_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#7f7f7f", "#bcbd22",
)
"""Told apart by colour-blind readers too, the first seven (Okabe and Ito)."""

WIDTH, HEIGHT = 640, 340
FEW = 30


@dataclass(frozen=True)
class Line:
    """A line of a chart; values that are None or not finite leave a gap.

    Attributes:
        x: positions, ascending.
        y: a value per position.
    """

    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: above it.
        x_title: below it.
        lines: by their name.
        limits: range of the vertical axis; None takes the lines' own.
        zero_line: whether 0 is part of the range and marked.
        percent: whether values are fractions written as percentages.
    """

    title: str
    x_title: str
    lines: Mapping[str, Line]
    limits: tuple[float, float] | None = None
    zero_line: bool = False
    percent: bool = False


def draw_charts(charts: Sequence[Sequence[Chart]], names: Sequence[str], legend: str = "") -> bytes:
    """Draw charts as a PNG file whose text field "Description" holds the legend; see :func:`chart_figure`."""
    return png(chart_figure(charts, names, legend), legend)


@house_style()
def chart_figure(charts: Sequence[Sequence[Chart]], names: Sequence[str], legend: str = "") -> Figure:
    """Lay out rows of charts, each 640 x 340 pixels, under the names of their lines and above a legend.

    Args:
        charts: rows of equally many charts, at least one.
        names: of all lines; a line has the same colour in every chart, whether or not another one is missing there.
        legend: sentences below the charts, wrapped.

    Raises:
        InputError: when there are more than ten lines.
    """
    from matplotlib.lines import Line2D

    if len(names) > len(COLOURS):
        raise InputError(f"a chart shows at most {len(COLOURS)} lines, found {len(names)}")
    colours = dict(zip(names, COLOURS, strict=False))
    width = len(charts[0]) * WIDTH
    # Of a name's letters and its piece of line, in pixels.
    in_a_row = max(1, min(len(names), width // max([1, *(60 + 8 * len(name) for name in names)])))
    top = GAP + (LINE + 4) * -(-len(names) // in_a_row)
    lines = wrapped(legend, width - 2 * GAP)
    height = top + len(charts) * HEIGHT + len(lines) * LINE + GAP
    figure = new_figure(width, height)
    edges = {"left": 64 / width, "right": 1 - 16 / width, "top": 1 - (top + 34) / height}
    edges |= {"bottom": (len(lines) * LINE + GAP + 46) / height}
    # Between two charts lies what surrounds one; matplotlib counts it in plot widths and heights.
    between = {"wspace": (64 + 16) / (WIDTH - 64 - 16), "hspace": (34 + 46) / (HEIGHT - 34 - 46)}
    grid = figure.subplots(len(charts), len(charts[0]), squeeze=False, gridspec_kw=edges | between)
    for row, axes_of_row in zip(charts, grid, strict=True):
        for chart, axes in zip(row, axes_of_row, strict=True):
            _draw_chart(axes, chart, colours)
    handles = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    figure.legend(
        handles, list(names), loc="upper left", bbox_to_anchor=(0, 1), ncols=in_a_row, frameon=False, fontsize=12
    )
    write_lines(figure, GAP, height - len(lines) * LINE - GAP // 2, lines)
    return figure


def _draw_chart(axes: Axes, chart: Chart, colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set_title(chart.title, loc="left", fontsize=13)
    axes.set_xlabel(chart.x_title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e1e1e1")
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    if all(x == int(x) for line in chart.lines.values() for x in line.x):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # there is no epoch or image 1.5
    for name, line in chart.lines.items():
        values = np.array(line.y, dtype=float)  # None becomes NaN, at which matplotlib leaves a gap
        # A dot at each value where they are few; a lone value between gaps must be seen anyway.
        size = 6 if np.isfinite(values).sum() <= FEW else 2
        axes.plot(
            line.x, values, color=colours[name], linewidth=2, marker="o", markersize=size, label=name, clip_on=False
        )
    if chart.zero_line:
        axes.axhline(0, color="#787878", linewidth=1, zorder=1)
    if chart.limits is not None:
        axes.set_ylim(*chart.limits)
    if chart.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
