"""A line chart drawn with Pillow: axes, ticks, lines and a legend, no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from shared.errors import InputError
from shared.reporting.drawing import Colour, font

COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0),
    (86, 180, 233), (0, 0, 0), (140, 86, 75), (127, 127, 127), (188, 189, 34),
)
"""Told apart by colour-blind readers too, the first seven (Okabe and Ito)."""

LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 46
SMOOTH = 3


@dataclass(frozen=True)
class Line:
    """A line of a chart; values that are None or not finite leave a gap.

    Attributes:
        x: positions, ascending.
        y: a value per position.
        colour: of the line.
    """

    x: Sequence[float]
    y: Sequence[float | None]
    colour: Colour

    def pieces(self) -> list[list[tuple[float, float]]]:
        """Return the parts between gaps."""
        parts: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(self.x, self.y, strict=True):
            if y is not None and math.isfinite(y):
                parts[-1].append((x, y))
            elif parts[-1]:
                parts.append([])
        return [part for part in parts if part]


def colour_of(position: int) -> Colour:
    """Return the colour of a line by its place in the legend.

    Raises:
        InputError: when there are more lines than colours.
    """
    if position >= len(COLOURS):
        raise InputError(f"a chart shows at most {len(COLOURS)} lines, found more")
    return COLOURS[position]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) that enclose a range."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded: 3 * 0.1 would be written as 0.30000000000000004.
    return [round(number * step, 12) for number in range(first, last + 1)]


def draw_chart(
    title: str,
    x_title: str,
    lines: Sequence[Line],
    limits: tuple[float, float] | None = None,
    zero_line: bool = False,
    percent: bool = False,
    size: tuple[int, int] = (640, 340),
) -> Image.Image:
    """Draw a chart.

    Args:
        title: above it.
        x_title: below it.
        lines: what is drawn.
        limits: range of the vertical axis; None takes the lines' own.
        zero_line: whether 0 is part of the range and marked.
        percent: whether values are fractions written as percentages.
        size: (width, height) in pixels.
    """
    parts = [part for line in lines for part in line.pieces()]
    xs = [x for part in parts for x, _ in part] or [0.0, 1.0]
    ys = [y for part in parts for _, y in part] or [0.0, 1.0]
    ys += [0.0] if zero_line else []
    low, high = limits or (min(ys), max(ys))
    vertical = ticks(low, high)
    horizontal = [tick for tick in ticks(min(xs), max(xs)) if min(xs) <= tick <= max(xs)] or [xs[0]]
    # Drawn larger and scaled down: Pillow's own lines have stairs.
    canvas = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), "white")
    plot = _Plot(canvas, (min(xs), max(xs)), (vertical[0], vertical[-1]))
    plot.axes(vertical, horizontal, percent, zero_line)
    plot.text((LEFT, 10), title, size=14)
    plot.text(((LEFT + size[0] - RIGHT) / 2, size[1] - 18), x_title, anchor="ma")
    for line in lines:
        for part in line.pieces():
            plot.line(part, line.colour)
    return canvas.resize(size, Image.Resampling.LANCZOS)


def draw_legend(labels: Sequence[str], width: int) -> Image.Image:
    """Draw the names of lines beside their colours, in as many lines of text as the width needs."""
    places, left, top = [], 8, 4
    for label in labels:
        needed = 34 + int(font(13).getlength(label)) + 22
        if left > 8 and left + needed > width:
            left, top = 8, top + 22
        places.append((left, top))
        left += needed
    canvas = Image.new("RGB", (width * SMOOTH, (top + 24) * SMOOTH), "white")
    plot = _Plot(canvas, (0, 1), (0, 1))
    for position, (label, (x, y)) in enumerate(zip(labels, places, strict=True)):
        plot.stroke([(x, y + 9), (x + 26, y + 9)], colour_of(position), 2.0)
        plot.text((x + 34, y), label, size=13)
    return canvas.resize((width, top + 24), Image.Resampling.LANCZOS)


class _Plot:
    """Coordinates of a chart, and strokes and text in them."""

    def __init__(self, canvas: Image.Image, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.width, self.height = canvas.width / SMOOTH, canvas.height / SMOOTH
        self.x, self.y = x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return pixels of a point; a single position lies in the middle."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0]) if self.x[1] > self.x[0] else 0.5
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        return LEFT + across * (right - LEFT), bottom - up * (bottom - TOP)

    def stroke(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """Draw a line through pixels."""
        scaled = [(x * SMOOTH, y * SMOOTH) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * SMOOTH), joint="curve")

    def text(self, at: tuple[float, float], text: str, size: int = 12, anchor: str = "la") -> None:
        """Write at a pixel."""
        place = (at[0] * SMOOTH, at[1] * SMOOTH)
        self.draw.text(place, text, fill="black", font=font(size * SMOOTH), anchor=anchor)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw a line through values, with a dot at each where they are few."""
        places = [self.place(x, y) for x, y in points]
        self.stroke(places, colour, 2.0)
        if len(places) <= 30:
            for x, y in places:
                box = [(x - 3) * SMOOTH, (y - 3) * SMOOTH, (x + 3) * SMOOTH, (y + 3) * SMOOTH]
                self.draw.ellipse(box, fill=colour)

    def axes(self, vertical: Sequence[float], horizontal: Sequence[float], percent: bool, zero_line: bool) -> None:
        """Draw grid, ticks and their numbers."""
        digits = max(0, -math.floor(math.log10(vertical[1] - vertical[0]) + 1e-9))
        for value in vertical:
            left, right = self.place(self.x[0], value), self.place(self.x[1], value)
            ends = [(LEFT, left[1]), (self.width - RIGHT, right[1])]
            strong = zero_line and value == 0
            self.stroke(ends, (120, 120, 120) if strong else (225, 225, 225), 1.0)
            self.text((LEFT - 8, left[1]), f"{value:.0%}" if percent else f"{value:.{digits}f}", anchor="rm")
        for value in horizontal:
            x, y = self.place(value, self.y[0])
            self.stroke([(x, y), (x, y + 5)], (120, 120, 120), 1.0)
            self.text((x, y + 8), f"{value:g}", anchor="ma")
        corner = self.height - BOTTOM
        self.stroke([(LEFT, TOP), (LEFT, corner), (self.width - RIGHT, corner)], (120, 120, 120), 1.0)
