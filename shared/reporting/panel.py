"""A picture of a few test images: degraded, enhanced, clean and error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from shared.errors import InputError
from shared.reporting.drawing import (
    GAP,
    LINE,
    OUTLINE,
    check_orientation,
    colour_bar,
    encode,
    error_map,
    error_scale,
    fit,
    heat_pixels,
    rgb,
    upright,
    write,
)
from shared.reporting.images import spread

__all__ = ["OUTLINE", "PanelRow", "SpreadSample", "check_orientation", "draw_panel"]

COLUMNS = ("degraded", "enhanced", "clean", "error |enhanced - clean|")


@dataclass(frozen=True)
class PanelRow:
    """One test image of the panel: images [C, H, W] in [0, 1] of one shape, an optional mask [1, H, W], captions."""

    id: str
    degraded: torch.Tensor
    enhanced: torch.Tensor
    clean: torch.Tensor
    degraded_caption: str = ""
    enhanced_caption: str = ""
    mask: torch.Tensor | None = None


class SpreadSample:
    """Keeps a few items spread evenly over a stream of unknown length, and never more than four times as many.

    Every n-th item is kept; when there are too many, every second one is dropped and n doubles.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.stride = 1
        self.count = 0
        self.kept: list[PanelRow] = []

    def wants_next(self) -> bool:
        """Count one more item of the stream, and tell whether it is to be added."""
        wanted = self.size > 0 and self.count % self.stride == 0
        self.count += 1
        return wanted

    def add(self, row: PanelRow) -> None:
        """Keep an item that was wanted."""
        self.kept.append(row)
        if len(self.kept) > 4 * self.size:
            self.kept = self.kept[::2]
            self.stride *= 2

    def chosen(self) -> list[PanelRow]:
        """Return at most `size` of the kept items, from the first to the last."""
        return [self.kept[position] for position in spread(len(self.kept), self.size)]


def draw_panel(rows: Sequence[PanelRow], orientation: str = "yx", tile: int = 208, max_bytes: int = 300_000) -> bytes:
    """Draw the panel as a PNG file.

    Each image has a row: degraded, enhanced, clean, and the absolute error averaged over the channels, on a scale
    common to all rows that is stated beside a colour bar. Where there is a mask, its outline (of every class) is
    drawn on the enhanced and the clean image.

    Args:
        rows: at least one.
        orientation: how [H, W] lies on the screen: "yx", "xy" or "ras", see `check_orientation`.
        tile: longest side of an image on the panel, in pixels.
        max_bytes: the tiles shrink until the file is no larger than this.

    Raises:
        InputError: when there are no rows or the orientation is unknown.
    """
    check_orientation(orientation)
    if not rows:
        raise InputError("a panel needs at least one image, found none")
    in_colour = any(row.clean.shape[0] == 3 for row in rows)
    while True:
        content = encode(_draw(rows, orientation, tile), in_colour)
        if len(content) <= max_bytes or tile <= 64:
            return content
        tile = max(64, int(tile * 0.85))


def _draw(rows: Sequence[PanelRow], orientation: str, tile: int) -> Image.Image:
    errors = [error_map(row.enhanced, row.clean) for row in rows]
    scale = error_scale(errors)
    pictures = [_pictures(row, error / scale, orientation, tile) for row, error in zip(rows, errors, strict=True)]
    cell = max(max(picture.width for row in pictures for picture in row), 150)
    heights = [row[0].height for row in pictures]
    width = GAP + len(COLUMNS) * (cell + GAP)
    canvas = Image.new("RGB", (width, GAP + LINE + sum(h + 2 * LINE + GAP for h in heights) + 2 * LINE), "white")
    draw = ImageDraw.Draw(canvas)
    lefts = [GAP + column * (cell + GAP) for column in range(len(COLUMNS))]
    for left, title in zip(lefts, COLUMNS, strict=True):
        write(draw, left, GAP, title, cell, size=14)
    top = GAP + LINE
    for row, images, height in zip(rows, pictures, heights, strict=True):
        write(draw, GAP, top, row.id, width - 2 * GAP, colour="#555555")
        captions = (row.degraded_caption, row.enhanced_caption, "", "")
        for left, image, caption in zip(lefts, images, captions, strict=True):
            write(draw, left, top + LINE, caption, cell)
            canvas.paste(image, (left, top + 2 * LINE))
        top += height + 2 * LINE + GAP
    colour_bar(canvas, lefts[-1], top, cell, scale)
    return canvas


def _pictures(row: PanelRow, error: np.ndarray, orientation: str, tile: int) -> list[Image.Image]:
    outline = None if row.mask is None else upright(row.mask.cpu().numpy().reshape(row.clean.shape[1:]), orientation)
    pictures = [
        fit(rgb(image, orientation), tile, outline if outlined else None)
        for image, outlined in ((row.degraded, False), (row.enhanced, True), (row.clean, True))
    ]
    return [*pictures, fit(heat_pixels(error, orientation), tile)]
