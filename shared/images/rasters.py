"""PNG, JPEG, BMP and GIF in, PNG and BMP out."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from shared.errors import InputError
from shared.images import deep_jpeg, deep_png
from shared.images.layout import repeated
from shared.images.orientation import swaps_axes, upright
from shared.images.picture import Picture, SourceRecord
from shared.images.signatures import contents, has_suffix, other_content

RASTERS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "BMP": (".bmp",), "GIF": (".gif",)}
_DIRECT = {"L", "RGB", "RGBA", "LA", "I;16"}


def check_raster(path: str) -> None:
    """Read the header only.

    Raises:
        InputError: no image of these formats, an animation, or a depth that a package which is missing decodes.
    """
    if deep_jpeg.is_deep(path):
        deep_jpeg.check(path)
        return
    with _open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format in ("GIF", "PNG"):
            raise InputError(f"{path}: an animation of {frames} frames, expected one image")


def read_raster(path: str) -> Picture:
    """Read colour or grey values as [C, H, W], C in {1, 3}; alpha is left out, see :func:`read_alpha`.

    Samples of more than 8 bits are those that are stored, whatever the file says about their significance (PNG's
    chunk sBIT). A palette becomes RGB, CMYK becomes RGB, 1, 2 and 4 bits per pixel become eight; the orientation that
    a camera noted in EXIF is applied.

    Raises:
        InputError: as :func:`check_raster`.
    """
    check_raster(path)
    colour, _ = _split_alpha(_decode(path))
    header = deep_jpeg.frame_header(path)
    bits = 8 * colour.dtype.itemsize if header is None else header.bits
    return Picture(np.moveaxis(colour, -1, 0), bits=bits)


def raster_form(path: str) -> tuple[np.dtype, int, tuple[int, int]]:
    """Type, channels without alpha and (H, W) of the image as :func:`read_raster` gives it, from its header.

    Raises:
        InputError: no image of these formats.
    """
    if deep_jpeg.is_deep(path):
        header = deep_jpeg.frame_header(path)
        if header is not None:
            return np.dtype(np.uint16), header.channels, (header.height, header.width)
    with _open(path) as image:
        is_deep = deep_png.is_deep(path)
        mode = deep_png.mode_of(image) if is_deep else _mode_for(image)
        size = (image.width, image.height) if swaps_axes(_orientation(image)) else (image.height, image.width)
    return np.dtype(np.uint16 if is_deep else np.uint8), 3 if mode.startswith("RGB") else 1, size


def read_alpha(path: str) -> NDArray | None:
    """Transparency of the image as [H, W, 1], None where it has none; also of PNG's and GIF's transparent colour."""
    if deep_jpeg.is_deep(path):
        return None
    with _open(path) as image:
        if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
            return None
    return _split_alpha(_decode(path))[1]


def write_raster(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write [C, H, W] with the source's resolution (of the enlarged grid), colour profile and unchanged alpha.

    A transparent colour becomes an alpha channel of the same depth: enhanced values are no key to it.
    """
    image = np.moveaxis(pixels, 0, -1)
    profile: dict[str, Any] = {}
    if is_raster(record.source):
        alpha = read_alpha(record.source)
        if alpha is not None:
            image = np.concatenate([image, enlarge(alpha, image.shape[:2])], axis=-1)
        profile = _profile(record.source, pixels.shape[1] / record.shape[0])
    save_raster(path, image, **profile)


def save_raster(path: str, image: NDArray, **profile: Any) -> None:
    """Write [H, W, C] of 8 or 16 bits in the format of the path's suffix.

    Args:
        path: of the file.
        image: C in {1, 3}, or {2, 4} with transparency.
        profile: resolution and colour profile as Pillow takes them.
    """
    if image.dtype == np.uint16 and image.shape[-1] > 1:
        deep_png.write(path, image, profile)
        return
    plane = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    Image.fromarray(plane).save(path, **profile)


def is_raster(path: str) -> bool:
    """Whether this module is the reader of a file, by its content, or by its name where that says nothing."""
    found = contents(path)
    return bool(found & set(RASTERS)) if found else has_suffix(path, sum(RASTERS.values(), ()))


def dots_per_inch(path: str) -> tuple[float, float] | None:
    """Across and down the upright image; None where the file does not say."""
    if deep_jpeg.is_deep(path):
        return None
    with _open(path) as image:
        dots = image.info.get("dpi")
        if dots is None:
            return None
        across, down = (float(number) for number in dots)
        return (down, across) if swaps_axes(_orientation(image)) else (across, down)


def enlarge(extra: NDArray, size: tuple[int, ...]) -> NDArray:
    """Repeat the pixels of [..., H, W, A] to a size (H, W) that is a whole multiple of it."""
    try:
        return repeated(extra, (*extra.shape[:-3], *size, extra.shape[-1]))
    except ValueError as err:
        message = f"transparency of size {extra.shape[-3:-1]} does not divide the output's {size}"
        raise InputError(message) from err


def _open(path: str) -> Any:
    """Open by Pillow, whatever the name.

    Raises:
        InputError: none of the formats of this module.
    """
    if not contents(path) & set(RASTERS):
        found = other_content(path)
        reason = "no image format is recognised in it" if found is None else f"the file is {found}"
        raise InputError(f"{path}: cannot be read as an image: {reason}, expected PNG, JPEG, BMP or GIF")
    try:
        return Image.open(path, formats=tuple(RASTERS))
    except UnidentifiedImageError as err:
        raise InputError(f"{path}: cannot be read as an image: its header is damaged") from err


def _profile(path: str, factor: float) -> dict[str, Any]:
    """What is kept of a source, as Pillow's writers take it; ``factor`` is that by which the image has grown."""
    if deep_jpeg.is_deep(path):
        return {}
    profile: dict[str, Any] = {}
    with _open(path) as image:
        if "icc_profile" in image.info and image.mode in ("L", "I;16", "LA", "RGB", "RGBA", "P", "PA"):
            profile["icc_profile"] = image.info["icc_profile"]
        if image.format == "PNG":
            profile["pnginfo"] = _colour_chunks(image.info)
    dots = dots_per_inch(path)
    if dots is not None:
        profile["dpi"] = tuple(factor * number for number in dots)
    return profile


def _colour_chunks(info: dict[str, Any]) -> PngImagePlugin.PngInfo:
    """How values are meant to be shown, where a PNG file says so."""
    kept = PngImagePlugin.PngInfo()
    if "srgb" in info:
        kept.add(b"sRGB", bytes([info["srgb"]]))
    if "gamma" in info:
        kept.add(b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000)))
    if "chromaticity" in info:
        kept.add(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in info["chromaticity"])))
    return kept


def _split_alpha(image: NDArray) -> tuple[NDArray, NDArray | None]:
    if image.shape[-1] in (2, 4):
        return image[..., :-1], image[..., -1:]
    return image, None


def _decode(path: str) -> NDArray:
    """All channels, upright, as [H, W, C], C in {1, 2, 3, 4}, uint8 or uint16."""
    if deep_jpeg.is_deep(path):
        return deep_jpeg.decode(path)
    with _open(path) as image:
        if deep_png.is_deep(path):
            return upright(deep_png.decode(image), _orientation(image))
        if image.format == "PNG" and isinstance(image.info.get("transparency"), int):
            _stretch_key(path, image)
        turned = ImageOps.exif_transpose(image)
        array = np.array(turned.convert(_mode_for(turned)))
    return array[..., None] if array.ndim == 2 else array


def _mode_for(image: Any) -> str:
    """Pillow's mode that holds all there is in an image, of one of its modes."""
    if "transparency" in image.info:
        return "LA" if image.mode in ("1", "L") else "RGBA"
    if image.mode in _DIRECT:
        return str(image.mode)
    return {"1": "L", "PA": "RGBA"}.get(image.mode, "RGB")


def _stretch_key(path: str, image: Any) -> None:
    """Give the transparent grey of 2 or 4 bits the 8 bits that Pillow gives to the pixels."""
    with open(path, "rb") as file:
        bits = file.read(25)[24]
    if image.mode == "L" and bits < 8:
        image.info["transparency"] *= 255 // (2**bits - 1)


def _orientation(image: Any) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))
