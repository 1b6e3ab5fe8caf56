"""What pictures of images are made of: tiles, outlines, colour scales and text, with Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import binary_dilation

from shared.errors import InputError

ORIENTATIONS = ("yx", "xy", "ras")
OUTLINE = (0, 200, 255)
GAP, LINE = 8, 18
Colour = tuple[int, int, int]


def check_orientation(orientation: str) -> None:
    """Raise an InputError unless the orientation is known.

    How [H, W] lies on the screen. "yx": the first axis goes down. "xy": the first axis goes right, as MONAI reads
    PNG and JPEG files. "ras": the first axis goes right and the second up, as in a NIfTI slice.
    """
    if orientation not in ORIENTATIONS:
        raise InputError(f"orientation of the panel must be one of {', '.join(ORIENTATIONS)}, found {orientation!r}")


def upright(values: NDArray, orientation: str) -> NDArray:
    """Return [H, W] as it lies on the screen: rows from top to bottom."""
    if orientation == "yx":
        return values
    return values.T if orientation == "xy" else values.T[::-1]


def rgb(image: torch.Tensor, orientation: str) -> NDArray[np.uint8]:
    """Return an image [C, H, W] in [0, 1] as bytes [rows, columns, 3], the right way up."""
    values = (image.clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
    # Other numbers of channels have no agreed colours: the first one stands for all.
    channels = values if values.shape[0] == 3 else np.repeat(values[:1], 3, axis=0)
    return np.stack([upright(channel, orientation) for channel in channels], axis=-1)


def fit(
    pixels: NDArray[np.uint8],
    tile: int,
    mask: NDArray | None = None,
    colour: Colour = OUTLINE,
    thickness: int = 1,
) -> Image.Image:
    """Scale pixels [rows, columns, 3] to a longest side of `tile`, with an outline of every class of a mask.

    Args:
        pixels: the picture.
        tile: longest side in pixels.
        mask: class indices [rows, columns].
        colour: of the outline.
        thickness: of the outline, in pixels of the result.
    """
    picture = Image.fromarray(pixels)
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
    painted[binary_dilation(edges, iterations=thickness - 1) if thickness > 1 else edges] = colour
    return Image.fromarray(painted)


def error_map(image: torch.Tensor, clean: torch.Tensor) -> NDArray:
    """Return the absolute error [H, W] of an image [C, H, W], both clamped to [0, 1], averaged over the channels."""
    return (image.clamp(0, 1) - clean.clamp(0, 1)).abs().mean(dim=0).cpu().numpy()


def error_scale(errors: Iterable[NDArray]) -> float:
    """Return the error at which the colour scale common to some error maps ends, a multiple of 0.05."""
    # The largest errors of a few pixels would darken the whole map; 0.05 keeps scales comparable between runs.
    return max(0.05, math.ceil(max(float(np.percentile(error, 99.5)) for error in errors) / 0.05) * 0.05)


def heat(values: NDArray) -> NDArray:
    """Map [0, 1] to black, red, yellow, white, [..., 3] in [0, 1]; larger values stay white."""
    channels = [np.interp(values, (start, start + 1 / 3), (0, 1)) for start in (0, 1 / 3, 2 / 3)]
    return np.stack(channels, axis=-1)


def heat_pixels(values: NDArray, orientation: str = "yx") -> NDArray[np.uint8]:
    """Return values [H, W] in [0, 1] in the colours of :func:`heat`, as bytes [rows, columns, 3]."""
    return (heat(upright(values, orientation)) * 255).round().astype(np.uint8)


def colour_bar(canvas: Image.Image, left: int, top: int, width: int, scale: float) -> None:
    """Draw the colours of :func:`heat` with the value at their end; two lines high."""
    draw = ImageDraw.Draw(canvas)
    ramp = np.broadcast_to(np.linspace(0, 1, width), (LINE // 2, width))
    canvas.paste(Image.fromarray(heat_pixels(ramp)), (left, top))
    draw.rectangle((left, top, left + width - 1, top + LINE // 2 - 1), outline="#888888")
    write(draw, left, top + LINE // 2 + 2, "0", width)
    label = f"{scale:.2f} or more"
    write(draw, left + width - int(draw.textlength(label, font=font(12))), top + LINE // 2 + 2, label, width)


def write(
    draw: ImageDraw.ImageDraw, left: int, top: int, text: str, width: int, size: int = 12, colour: str = "black"
) -> None:
    """Write one line of text, cut off at a width."""
    chosen = font(size)
    while text and draw.textlength(text, font=chosen) > width:
        text = text[:-1]
    draw.text((left, top), text, fill=colour, font=chosen)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow ships."""
    return ImageFont.load_default(size)


def encode(canvas: Image.Image, in_colour: bool = True, description: str = "") -> bytes:
    """Return a PNG file; pictures without colours of their own take a third of the bytes.

    Args:
        canvas: the picture.
        in_colour: whether it holds colours other than greys, those of :func:`heat` and the outline.
        description: text that the file carries, for programs and for people who cannot see the picture.
    """
    if not in_colour:
        # Grey images need a third of the bytes with a palette; noise keeps the steps between greys from showing.
        greys = np.repeat(np.linspace(0, 255, 128).round()[:, None], 3, axis=1)
        colours = np.concatenate([greys, heat(np.linspace(0, 1, 127)) * 255, [OUTLINE]]).round().astype(np.uint8)
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours.tobytes())
        canvas = canvas.quantize(palette=palette, dither=Image.Dither.NONE)
    information = PngInfo()
    if description:
        information.add_itxt("Description", description)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True, pnginfo=information)
    return buffer.getvalue()
