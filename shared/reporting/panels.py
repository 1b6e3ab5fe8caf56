"""Pictures side by side: columns with titles, rows of pictures with captions, a colour scale and a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import InputError
from shared.metrics import psnr, ssim
from shared.reporting.canvas import (
    GAP,
    LINE,
    Colour,
    add_axes,
    house_style,
    new_figure,
    png,
    size_of,
    wrapped,
    write,
    write_lines,
)
from shared.reporting.display import Box, displayed, upright

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 1960
NARROWEST_CELL = 150
SMALLEST = 64
ERROR, ACTIVATION = "hot", "jet"
"""matplotlib's colour maps of errors and gradients, and of class-activation maps."""

OUTLINE: Colour = (0.0, 0.8, 1.0)
MARK: Colour = (0.9, 0.1, 0.1)


def drawn_length(longest: int, tile: int) -> int:
    """Return how long the longest side of a picture becomes where pictures are `tile` pixels long at most."""
    return longest * (tile // longest) or tile


def usual_tile(columns: int, longest: Sequence[int]) -> int:
    """Return the longest side of pictures, in pixels, for nobody's wish: see :func:`picture_figure`.

    Args:
        columns: of the panel.
        longest: side of each picture, in its own pixels.
    """
    return min(_room(columns), max([208, *longest]))


def _room(columns: int) -> int:
    """Pixels that a picture may be wide."""
    return (WIDEST - GAP) // max(1, columns) - GAP


@dataclass(frozen=True)
class Picture:
    """One picture of a panel, the right way up.

    Attributes:
        values: an image as bytes [rows, columns, 3], or a map of values [rows, columns], drawn from black to white.
        caption: a line above it.
        scale: the value of a map that is drawn white.
        classes: class indices [rows, columns]; the outlines between them are drawn.
        box: a rectangle that is marked.
        overlay: values [rows, columns] in [0, 1] that are laid over it, blue to red.
    """

    values: NDArray
    caption: str = ""
    scale: float = 1.0
    classes: NDArray | None = None
    box: Box | None = None
    overlay: NDArray | None = None

    @property
    def longest(self) -> int:
        """Longest side, in its own pixels."""
        return max(self.values.shape[:2])

    def drawn_size(self, tile: int) -> tuple[int, int]:
        """Return (width, height) on a panel whose pictures are `tile` pixels long at most.

        Each image pixel becomes a square of as many pixels as fit. A picture that is longer is made smaller.
        """
        zoom = drawn_length(self.longest, tile) / self.longest
        height, width = (max(1, round(side * zoom)) for side in self.values.shape[:2])
        return width, height


@dataclass(frozen=True)
class Row:
    """One row of a panel; None leaves a place empty.

    Attributes:
        pictures: one per column.
        heading: a line above the row.
    """

    pictures: Sequence[Picture | None]
    heading: str = ""

    @property
    def captioned(self) -> bool:
        """Whether a picture has a caption."""
        return any(picture is not None and picture.caption for picture in self.pictures)

    def height(self, tile: int) -> int:
        """Return pixels from the top of this row to that of the next one."""
        tallest = max((picture.drawn_size(tile)[1] for picture in self.pictures if picture is not None), default=0)
        return LINE * (bool(self.heading) + self.captioned) + tallest + GAP


def image_picture(
    image: torch.Tensor, orientation: str, caption: str = "", mask: torch.Tensor | None = None, box: Box | None = None
) -> Picture:
    """Return a picture of an image [C, H, W] in [0, 1].

    Args:
        image: shown in its colours where it has three channels, else its first channel.
        orientation: how [H, W] lies on the screen, see :func:`shared.reporting.display.check_orientation`.
        caption: a line above it.
        mask: class indices [1, H, W] or [H, W], drawn as outlines.
        box: in the image's own pixels, marked.
    """
    sides = (image.shape[-2], image.shape[-1])
    classes = None if mask is None else upright(mask.cpu().numpy().reshape(sides).round().astype(int), orientation)
    marked = None if box is None else box.upright(sides, orientation)
    return Picture(displayed(image, orientation), caption, classes=classes, box=marked)


def quality_caption(image: torch.Tensor, reference: torch.Tensor) -> str:
    """Return PSNR and SSIM of an image as a caption."""
    return f"{psnr(image, reference):.2f} dB, SSIM {ssim(image, reference):.3f}"


def draw_pictures(
    columns: Sequence[str],
    rows: Sequence[Row],
    legend: str = "",
    scale: float | None = None,
    scale_title: str = "absolute error",
) -> bytes:
    """Draw pictures as a PNG file whose text field "Description" holds the legend; see :func:`picture_figure`."""
    return png(picture_figure(columns, rows, legend, scale, scale_title), legend)


@house_style()
def picture_figure(
    columns: Sequence[str],
    rows: Sequence[Row],
    legend: str = "",
    scale: float | None = None,
    scale_title: str = "absolute error",
    tile: int | None = None,
) -> Figure:
    """Lay out pictures, at most 1960 pixels wide.

    Args:
        columns: their titles.
        rows: at least one, each with a picture per column.
        legend: sentences below the pictures, wrapped.
        scale: value at the end of the colour scale of error maps; None draws no colour bar.
        scale_title: what that scale shows.
        tile: longest side of a picture, in pixels. None takes 208 pixels, more where an image is longer, less where
            there are many columns.

    Raises:
        InputError: when there are no rows, or so many columns that a picture would be smaller than 64 pixels.
    """
    room = _room(len(columns))
    if not rows or room < SMALLEST:
        raise InputError(f"a figure needs 1 to 27 columns and at least one row, found {len(columns)} and {len(rows)}")
    pictures = [picture for row in rows for picture in row.pictures if picture is not None]
    tile = min(room, tile or usual_tile(len(columns), [picture.longest for picture in pictures]))
    widest = max((picture.drawn_size(tile)[0] for picture in pictures), default=tile)
    cell = min(max(widest, NARROWEST_CELL), room)
    width = max(GAP + len(columns) * (cell + GAP), 480)
    lines = wrapped(legend, width - 2 * GAP)
    bar = 0 if scale is None else 3 * LINE
    figure = new_figure(width, 2 * GAP + LINE + sum(row.height(tile) for row in rows) + bar + len(lines) * LINE)
    lefts = [GAP + column * (cell + GAP) for column in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        write(figure, left, GAP // 2, title, cell, size=13)
    top = GAP + LINE
    for row in rows:
        _draw_row(figure, row, lefts, top, cell, tile)
        top += row.height(tile)
    if scale is not None:
        _draw_scale(figure, lefts[_first_map(rows)], top, cell, scale, scale_title)
    write_lines(figure, GAP, top + bar, lines)
    return figure


def _draw_row(figure: Figure, row: Row, lefts: Sequence[int], top: int, cell: int, tile: int) -> None:
    if row.heading:
        write(figure, GAP, top, row.heading, size_of(figure)[0] - 2 * GAP, colour="#555555")
        top += LINE
    below = LINE if row.captioned else 0
    for left, picture in zip(lefts, row.pictures, strict=True):
        if picture is not None:
            write(figure, left, top, picture.caption, cell)
            axes = add_axes(figure, left, top + below, *picture.drawn_size(tile))
            _draw_picture(axes, picture, tile)


def _draw_picture(axes: Axes, picture: Picture, tile: int) -> None:
    # A smaller picture shows averages: single pixels picked out of noise would look like more noise.
    interpolation = "nearest" if picture.longest <= tile else "hanning"
    axes.set_axis_off()
    axes.imshow(picture.values, ERROR, vmin=0, vmax=picture.scale, interpolation=interpolation, aspect="auto")
    if picture.overlay is not None:
        axes.imshow(picture.overlay, ACTIVATION, vmin=0, vmax=1, alpha=0.5, interpolation=interpolation, aspect="auto")
    if picture.classes is not None:
        _draw_outlines(axes, picture.classes, max(1, tile // picture.longest))
    if picture.box is not None:
        _draw_box(axes, picture.box)


def _draw_outlines(axes: Axes, classes: NDArray, zoom: int) -> None:
    if min(classes.shape) < 2:
        return  # matplotlib's contours need two rows and two columns
    # Half a pixel of the panel aside, a line between two image pixels is one pixel wide and not two: thin structures
    # must stay visible between their outlines. For the same reason neighbouring classes have one line in common.
    down, across = (np.arange(side) + 0.5 / zoom for side in classes.shape)
    for label in np.unique(classes)[1:]:
        axes.contour(across, down, classes >= label, [0.5], colors=[OUTLINE], linewidths=1, antialiased=False)


def _draw_box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import Rectangle

    corner = (box.left - 0.5, box.top - 0.5)
    axes.add_patch(
        Rectangle(corner, box.width, box.height, fill=False, edgecolor=MARK, linewidth=2, antialiased=False)
    )


def _first_map(rows: Sequence[Row]) -> int:
    """The first column with an error map: the scale belongs below it."""
    columns = [n for row in rows for n, p in enumerate(row.pictures) if p is not None and p.values.ndim == 2]
    return min(columns, default=0)


def _draw_scale(figure: Figure, left: int, top: int, width: int, scale: float, title: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(0, scale), ERROR), cax=add_axes(figure, left, top, width, LINE // 2),
        orientation="horizontal", ticks=[0, scale],
    )
    bar.ax.set_xticklabels(["0", f"{scale:.2f} or more"])
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bar.ax.tick_params(length=0)
    write(figure, left, top + LINE + GAP, title, width)
