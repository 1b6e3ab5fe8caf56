"""A picture of a few test images: degraded, enhanced, clean and error."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from shared.errors import InputError

ORIENTATIONS = ("yx", "xy", "ras")
COLUMNS = ("degraded", "enhanced", "clean", "error |enhanced - clean|")
OUTLINE = (0, 200, 255)
GAP, LINE = 8, 18


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
        size = min(self.size, len(self.kept))
        positions = np.linspace(0, len(self.kept) - 1, size).round().astype(int)
        return [self.kept[position] for position in positions]


def draw_panel(rows: Sequence[PanelRow], orientation: str = "yx", tile: int = 208, max_bytes: int = 300_000) -> bytes:
    """Draw the panel as a PNG file.

    Each image has a row: degraded, enhanced, clean, and the absolute error averaged over the channels, on a scale
    common to all rows that is stated beside a colour bar. Where there is a mask, its outline (of every class) is
    drawn on the enhanced and the clean image.

    Args:
        rows: at least one.
        orientation: how [H, W] lies on the screen. "yx": the first axis goes down. "xy": the first axis goes right,
            as MONAI reads PNG and JPEG files. "ras": the first axis goes right and the second up, as in a NIfTI
            slice.
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
        content = _encode(_draw(rows, orientation, tile), in_colour)
        if len(content) <= max_bytes or tile <= 64:
            return content
        tile = max(64, int(tile * 0.85))


def check_orientation(orientation: str) -> None:
    """Raise an InputError unless the orientation is known."""
    if orientation not in ORIENTATIONS:
        raise InputError(f"orientation of the panel must be one of {', '.join(ORIENTATIONS)}, found {orientation!r}")


def _draw(rows: Sequence[PanelRow], orientation: str, tile: int) -> Image.Image:
    errors = [(row.enhanced.clamp(0, 1) - row.clean.clamp(0, 1)).abs().mean(dim=0).cpu().numpy() for row in rows]
    # The largest errors of a few pixels would darken the whole map; 0.05 keeps scales comparable between runs.
    scale = max(0.05, math.ceil(max(float(np.percentile(error, 99.5)) for error in errors) / 0.05) * 0.05)
    pictures = [_pictures(row, error / scale, orientation, tile) for row, error in zip(rows, errors, strict=True)]
    cell = max(max(picture.width for row in pictures for picture in row), 150)
    heights = [row[0].height for row in pictures]
    width = GAP + len(COLUMNS) * (cell + GAP)
    canvas = Image.new("RGB", (width, GAP + LINE + sum(h + 2 * LINE + GAP for h in heights) + 2 * LINE), "white")
    draw = ImageDraw.Draw(canvas)
    lefts = [GAP + column * (cell + GAP) for column in range(len(COLUMNS))]
    for left, title in zip(lefts, COLUMNS, strict=True):
        _write(draw, left, GAP, title, cell, size=14)
    top = GAP + LINE
    for row, images, height in zip(rows, pictures, heights, strict=True):
        _write(draw, GAP, top, row.id, width - 2 * GAP, colour="#555555")
        captions = (row.degraded_caption, row.enhanced_caption, "", "")
        for left, image, caption in zip(lefts, images, captions, strict=True):
            _write(draw, left, top + LINE, caption, cell)
            canvas.paste(image, (left, top + 2 * LINE))
        top += height + 2 * LINE + GAP
    _colour_bar(canvas, draw, lefts[-1], top, cell, scale)
    return canvas


def _pictures(row: PanelRow, error: np.ndarray, orientation: str, tile: int) -> list[Image.Image]:
    outline = None if row.mask is None else _upright(row.mask.cpu().numpy().reshape(row.clean.shape[1:]), orientation)
    pictures = []
    for image, outlined in ((row.degraded, False), (row.enhanced, True), (row.clean, True)):
        values = (image.clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
        # Other numbers of channels have no agreed colours: the first one stands for all.
        channels = values if values.shape[0] == 3 else np.repeat(values[:1], 3, axis=0)
        upright = np.stack([_upright(channel, orientation) for channel in channels], axis=-1)
        pictures.append(_fit(Image.fromarray(upright), tile, outline if outlined else None))
    colours = (_heat(_upright(error, orientation)) * 255).round().astype(np.uint8)
    return [*pictures, _fit(Image.fromarray(colours), tile, None)]


def _upright(values: np.ndarray, orientation: str) -> np.ndarray:
    if orientation == "yx":
        return values
    return values.T if orientation == "xy" else values.T[::-1]


def _fit(picture: Image.Image, tile: int, mask: np.ndarray | None) -> Image.Image:
    factor = tile / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    # Enlarged pixels stay visible as pixels.
    scaled = picture.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)
    if mask is None:
        return scaled
    classes = np.asarray(Image.fromarray(mask.round().astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    painted = np.array(scaled)
    # One pixel wide on one side only: thin structures must stay visible between their outlines.
    edges = np.zeros(classes.shape, bool)
    edges[:-1] |= classes[:-1] != classes[1:]
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    painted[edges] = OUTLINE
    return Image.fromarray(painted)


def _heat(values: np.ndarray) -> np.ndarray:
    """Map [0, 1] to black, red, yellow, white; larger values stay white."""
    channels = [np.interp(values, (start, start + 1 / 3), (0, 1)) for start in (0, 1 / 3, 2 / 3)]
    return np.stack(channels, axis=-1)


def _colour_bar(canvas: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, width: int, scale: float) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, width), (LINE // 2, width))
    canvas.paste(Image.fromarray((_heat(ramp) * 255).round().astype(np.uint8)), (left, top))
    draw.rectangle((left, top, left + width - 1, top + LINE // 2 - 1), outline="#888888")
    _write(draw, left, top + LINE // 2 + 2, "0", width)
    label = f"{scale:.2f} or more"
    _write(draw, left + width - int(draw.textlength(label, font=_font(12))), top + LINE // 2 + 2, label, width)


def _write(
    draw: ImageDraw.ImageDraw, left: int, top: int, text: str, width: int, size: int = 12, colour: str = "black"
) -> None:
    font = _font(size)
    while text and draw.textlength(text, font=font) > width:
        text = text[:-1]
    draw.text((left, top), text, fill=colour, font=font)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _encode(canvas: Image.Image, in_colour: bool) -> bytes:
    if not in_colour:
        # Grey images need a third of the bytes with a palette; noise keeps the steps between greys from showing.
        greys = np.repeat(np.linspace(0, 255, 128).round()[:, None], 3, axis=1)
        colours = np.concatenate([greys, _heat(np.linspace(0, 1, 127)) * 255, [OUTLINE]]).round().astype(np.uint8)
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours.tobytes())
        canvas = canvas.quantize(palette=palette, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
