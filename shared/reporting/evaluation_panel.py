"""A picture of a few test images: degraded, enhanced, and where there is a clean image, that and the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from shared.errors import InputError
from shared.reporting.canvas import Colour, png_of, rendered
from shared.reporting.display import check_orientation, error_map, error_scale, upright
from shared.reporting.images import spread
from shared.reporting.panels import (
    ERROR,
    OUTLINE,
    SMALLEST,
    Picture,
    Row,
    drawn_length,
    image_picture,
    picture_figure,
    usual_tile,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PanelRow", "SpreadSample", "check_orientation", "draw_panel", "panel_figure"]

PIXELS_PER_BYTE = 16
"""Of the pictures on a first drawing, for each byte that the file may have: PNG never holds more pixels of an image."""


@dataclass(frozen=True)
class PanelRow:
    """One test image of the panel.

    Attributes:
        id: its identity.
        images: [C, H, W] in [0, 1] by the name of their column.
        captions: of these images, by the same names; none where a name is missing.
        mask: class indices [1, H, W].
    """

    id: str
    images: Mapping[str, torch.Tensor]
    captions: Mapping[str, str] = field(default_factory=dict)
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


def draw_panel(
    rows: Sequence[PanelRow],
    orientation: str = "yx",
    enhanced: str = "enhanced",
    reference: str = "clean",
    max_bytes: int = 300_000,
) -> bytes:
    """Draw the panel of :func:`panel_figure` as a PNG file.

    A file that would be larger than `max_bytes` gets fewer greys (one level of 255 off at most) where all images are
    grey, then smaller pictures, of 64 pixels at least.
    """
    palette = () if any(len(image) == 3 for row in rows for image in row.images.values()) else _palette()
    tile = _first_tile(rows, max_bytes)
    while True:
        pixels = rendered(panel_figure(rows, orientation, enhanced, reference, tile))
        content = png_of(pixels)
        if len(content) > max_bytes and palette:
            content = png_of(pixels, palette=palette)
        # Enlarged pictures are whole multiples of their size: the next ones must be smaller than these are.
        tile = max((drawn_length(side, tile) for side in _longest_sides(rows)), default=tile)
        if len(content) <= max_bytes or tile <= SMALLEST:
            return content
        tile = max(SMALLEST, int(tile * min(0.9, math.sqrt(max_bytes / len(content)))))


def _first_tile(rows: Sequence[PanelRow], max_bytes: int) -> int:
    """Return the usual size of a panel's pictures, or a smaller one where a drawing of that size would be in vain."""
    columns = len({name for row in rows for name in row.images}) + 1
    affordable = int(math.sqrt(PIXELS_PER_BYTE * max_bytes / max(1, len(rows) * columns)))
    return max(SMALLEST, min(usual_tile(columns, _longest_sides(rows)), affordable))


def _longest_sides(rows: Sequence[PanelRow]) -> list[int]:
    return [max(image.shape[-2:]) for row in rows for image in row.images.values()]


def panel_figure(
    rows: Sequence[PanelRow],
    orientation: str = "yx",
    enhanced: str = "enhanced",
    reference: str = "clean",
    tile: int | None = None,
) -> Figure:
    """Lay out the panel: a row per test image, a column per name of its images, in the order of the names.

    Where a row has both an enhanced image and a reference, the last column is the absolute error averaged over the
    channels, on a scale common to all rows that is stated below. Where it has a mask, the outline of every class is
    drawn on these two images.

    Args:
        rows: at least one.
        orientation: how [H, W] lies on the screen: "yx", "xy" or "ras", see `check_orientation`.
        enhanced: name of the images whose error is shown.
        reference: name of the images that they are compared with; rows may lack them.
        tile: longest side of an image on the panel, in pixels; None: see `picture_figure`.

    Raises:
        InputError: when there are no rows or the orientation is unknown.
    """
    check_orientation(orientation)
    if not rows:
        raise InputError("a panel needs at least one image, found none")
    names = list(dict.fromkeys(name for row in rows for name in row.images))
    errors = [
        error_map(row.images[enhanced], row.images[reference]) if {enhanced, reference} <= row.images.keys() else None
        for row in rows
    ]
    measured = [error for error in errors if error is not None]
    scale = error_scale(measured) if measured else None
    drawn = []
    for row, error in zip(rows, errors, strict=True):
        pictures: list[Picture | None] = [
            image_picture(
                row.images[name], orientation, row.captions.get(name, ""),
                row.mask if name in (enhanced, reference) else None,
            )
            if name in row.images
            else None
            for name in names
        ]
        if scale is not None:
            pictures.append(None if error is None else Picture(upright(error, orientation), scale=scale))
        drawn.append(Row(pictures, row.id))
    columns = names if scale is None else [*names, f"error |{enhanced} - {reference}|"]
    return picture_figure(columns, drawn, scale=scale, tile=tile)


def _palette() -> list[Colour]:
    """Return 128 greys, the colours of error maps and the outline's."""
    from matplotlib import colormaps

    greys = [(level, level, level) for level in np.linspace(0, 1, 128).tolist()]
    hot = colormaps[ERROR](np.linspace(0, 1, 127))[:, :3].tolist()
    return [*greys, *(tuple(colour) for colour in hot), OUTLINE]
