"""What panels and charts are drawn on: matplotlib figures measured in pixels, and their PNG files.

matplotlib is imported when a figure is made, not before, and never its global state (pyplot): a figure looks the same
whatever the user's own matplotlib settings are.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = tuple[float, float, float]

GAP, LINE = 8, 18
"""Pixels between the parts of a figure, and of a line of text."""

DPI = 72
"""At which a point, matplotlib's unit of letters and lines, is a pixel."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with matplotlib's defaults and the font it ships; also a decorator."""
    from matplotlib import style

    # Names of images and runs are no formulas, whatever signs they hold.
    with style.context(["default", {"font.size": 11, "text.parse_math": False}]):
        yield


def new_figure(width: int, height: int) -> Figure:
    """Return an empty figure of some pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def size_of(figure: Figure) -> tuple[int, int]:
    """Return (width, height) in pixels."""
    width, height = figure.bbox.size
    return round(width), round(height)


def add_axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Return new axes on a rectangle of pixels, counted from the left and the top edge."""
    across, down = size_of(figure)
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def write(figure: Figure, left: int, top: int, text: str, width: int, size: int = 11, colour: str = "black") -> None:
    """Write one line of text, cut off at a width in pixels."""
    from matplotlib.transforms import Bbox

    across, down = size_of(figure)
    written = figure.text(left / across, 1 - top / down, text, va="top", fontsize=size, color=colour, clip_on=True)
    written.set_clip_box(Bbox.from_bounds(left, down - top - LINE, width, LINE))


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines for a width in pixels."""
    # Letters of a line in this size are 6.4 pixels wide on the average, or less.
    return textwrap.wrap(text, max(1, int(width / 6.4)), break_on_hyphens=False)


def write_lines(figure: Figure, left: int, top: int, lines: list[str]) -> None:
    """Write lines of text below each other."""
    for number, line in enumerate(lines):
        write(figure, left, top + number * LINE, line, size_of(figure)[0] - left, colour="#333333")


def png(figure: Figure, description: str = "") -> bytes:
    """Return a figure as a PNG file without date and versions: the same figure gives the same bytes.

    Args:
        figure: made by :func:`new_figure`.
        description: text that the file carries, for programs and for people who cannot see the picture.
    """
    return png_of(rendered(figure), description)


@house_style()
def rendered(figure: Figure) -> NDArray[np.uint8]:
    """Return the pixels [rows, columns, 3] of a figure made by :func:`new_figure`."""
    with warnings.catch_warnings():
        # A name in letters that the font lacks is shown as boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def png_of(pixels: NDArray[np.uint8], description: str = "", palette: Sequence[Colour] = ()) -> bytes:
    """Return pixels [rows, columns, 3] as a PNG file.

    Args:
        pixels: of the picture.
        description: text that the file carries.
        palette: at most 256 colours in [0, 1] of which each pixel gets the nearest, for a smaller file; all colours
            are kept where there is none.
    """
    if len(palette):
        colours = (np.asarray(palette) * 255).round().astype(np.uint8)
        # Pillow's own choice out of a given palette is a few levels off.
        picture = Image.fromarray(cKDTree(colours).query(pixels)[1].astype(np.uint8))
        picture.putpalette(colours.tobytes())
    else:
        picture = Image.fromarray(pixels)
    information = PngInfo()
    if description:
        information.add_itxt("Description", description)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, pnginfo=information)
    return buffer.getvalue()
