"""Layout of the figures: columns with titles, rows of tiles with captions, and a legend below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.errors import InputError
from shared.metrics import psnr, ssim
from shared.reporting.drawing import GAP, LINE, colour_bar, encode, fit, font, rgb, upright, write
from shared.reproduction.papers.gradprom.trained import TrainedRun

PHANTOM = "These are phantom data, no result."
WIDEST = 1960
MARK = (230, 30, 30)


@dataclass(frozen=True)
class Tile:
    """One picture of a figure: pixels [rows, columns, 3], a caption above it, and what is marked on it.

    Attributes:
        pixels: bytes, the right way up.
        caption: one line.
        mark: booleans [rows, columns], whose outline is drawn in red.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""
    mark: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Row:
    """One row of a figure; None leaves a place empty.

    Attributes:
        tiles: one per column.
        heading: a line above the row.
    """

    tiles: Sequence[Tile | None]
    heading: str = ""


def draw_sheet(
    columns: Sequence[str],
    rows: Sequence[Row],
    legend: str,
    error_scale: float | None = None,
    error_title: str = "absolute error",
    tile: int = 208,
) -> bytes:
    """Draw a figure as a PNG file, at most 1960 pixels wide; its text field "Description" holds the legend.

    Args:
        columns: their titles.
        rows: at least one, each with a tile per column.
        legend: sentences below the pictures, wrapped.
        error_scale: value at the end of the colour scale of error maps; None draws no colour bar.
        error_title: what that scale shows.
        tile: longest side of a picture, in pixels; smaller where there are many columns.

    Raises:
        InputError: when there are no rows, or so many columns that a picture would be smaller than 64 pixels.
    """
    tile = min(tile, (WIDEST - GAP) // max(1, len(columns)) - GAP)
    if not rows or tile < 64:
        raise InputError(f"a figure needs 1 to 27 columns and at least one row, found {len(columns)} and {len(rows)}")
    pictures = [[None if t is None else fit(t.pixels, tile, t.mark, MARK, 2) for t in row.tiles] for row in rows]
    cell = max(tile, 150) if len(columns) <= 12 else tile
    width = GAP + len(columns) * (cell + GAP)
    lines = wrapped(legend, max(width, 480) - 2 * GAP)
    heights = [_height(row, images) for row, images in zip(rows, pictures, strict=True)]
    bar = 0 if error_scale is None else 2 * LINE
    size = (max(width, 480), 2 * GAP + LINE + sum(heights) + bar + GAP + len(lines) * LINE)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    lefts = [GAP + column * (cell + GAP) for column in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        write(draw, left, GAP // 2, title, cell, size=14)
    top = GAP + LINE
    for row, images, height in zip(rows, pictures, heights, strict=True):
        _draw_row(canvas, row, images, lefts, top, cell)
        top += height
    if error_scale is not None:
        colour_bar(canvas, GAP, top, cell, error_scale)
        write(draw, lefts[1] if len(lefts) > 1 else GAP, top, error_title, cell)
    for number, line in enumerate(lines):
        write(draw, GAP, top + bar + number * LINE, line, size[0], colour="#333333")
    return encode(canvas, description=legend)


def _height(row: Row, images: Sequence[Image.Image | None]) -> int:
    tallest = max((image.height for image in images if image is not None), default=0)
    return LINE * (bool(row.heading) + _has_captions(row)) + tallest + GAP


def _has_captions(row: Row) -> bool:
    return any(tile is not None and tile.caption for tile in row.tiles)


def _draw_row(
    canvas: Image.Image, row: Row, images: Sequence[Image.Image | None], lefts: Sequence[int], top: int, cell: int
) -> None:
    draw = ImageDraw.Draw(canvas)
    if row.heading:
        write(draw, GAP, top, row.heading, canvas.width - 2 * GAP, colour="#555555")
        top += LINE
    below = LINE if _has_captions(row) else 0
    for left, tile, image in zip(lefts, row.tiles, images, strict=True):
        if tile is not None and image is not None:
            write(draw, left, top, tile.caption, cell)
            canvas.paste(image, (left, top + below))


def wrapped(text: str, width: int, size: int = 12) -> list[str]:
    """Break a text into lines no wider than a number of pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def legend(sentences: Sequence[str], runs: Mapping[str, TrainedRun]) -> str:
    """Join the sentences of a legend, with the words that runs on phantom data need."""
    phantom = [PHANTOM] if any(run.phantom for run in runs.values()) else []
    return " ".join([*sentences, *phantom])


def quality(image: torch.Tensor, clean: torch.Tensor) -> str:
    """Return PSNR and SSIM of an image as a caption."""
    return f"{psnr(image, clean):.2f} dB, SSIM {ssim(image, clean):.3f}"


@dataclass(frozen=True)
class Box:
    """A rectangle of an image [C, H, W], in its own pixels."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, image: torch.Tensor) -> torch.Tensor:
        """Return that part of an image."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def mark(self, image: torch.Tensor, orientation: str) -> NDArray[np.bool_]:
        """Return the rectangle as booleans, the right way up."""
        inside = np.zeros(tuple(image.shape[-2:]), bool)
        inside[self.top : self.top + self.height, self.left : self.left + self.width] = True
        return upright(inside, orientation)


def detail(clean: torch.Tensor, part: int = 4) -> Box:
    """Return the box of a quarter of each side in which a clean image varies most.

    It looks at the clean image alone, so that no method is favoured. Boxes of which a tenth is black (the surroundings
    of an ultrasound fan, the air around a head) count only where there is no other.

    Args:
        clean: [C, H, W] in [0, 1].
        part: what fraction of a side the box takes.
    """
    size = [max(2, side // part) for side in clean.shape[-2:]]
    grey = clean.mean(dim=0, keepdim=True)[None]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(values, size, stride=1)[0, 0]

    variance = mean(grey**2) - mean(grey) ** 2
    allowed = mean((grey < 0.02).float()) < 0.1
    if bool(allowed.any()):
        variance = variance.masked_fill(~allowed, -1.0)
    top, left = divmod(int(variance.argmax()), variance.shape[1])
    return Box(top, left, *size)


def image_tile(image: torch.Tensor, orientation: str, caption: str = "", box: Box | None = None) -> Tile:
    """Return a tile of an image [C, H, W] in [0, 1], with a box marked on it."""
    return Tile(rgb(image, orientation), caption, None if box is None else box.mark(image, orientation))
