"""PNG, JPEG and BMP in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.errors import InputError
from shared.inference.picture import Picture, SourceRecord

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DIRECT = {"L", "RGB", "RGBA", "LA", "I;16"}


def check_raster(path: str) -> None:
    """Read the header only; raises what Pillow raises."""
    with Image.open(path) as image:
        image.size  # noqa: B018


def read_raster(path: str) -> Picture:
    """Read colour or grey values as [C, H, W], C in {1, 3}; alpha is left out, see :func:`read_alpha`.

    A palette becomes RGB, CMYK becomes RGB, one bit per pixel becomes eight; the orientation that a camera noted
    in EXIF is applied.
    """
    colour, _ = _split_alpha(_decode(path))
    bits = 16 if colour.dtype == np.uint16 else 8
    return Picture(np.moveaxis(colour, -1, 0), bits=bits)


def read_alpha(path: str) -> NDArray | None:
    """Transparency of the image as [H, W, 1], None where it has none."""
    with Image.open(path) as image:
        if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
            return None
    return _split_alpha(_decode(path))[1]


def write_raster(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write [C, H, W] with the source's resolution (of the enlarged grid), colour profile and unchanged alpha."""
    image = np.moveaxis(pixels, 0, -1)
    profile: dict[str, Any] = {}
    if is_raster(record.source):
        alpha = read_alpha(record.source)
        if alpha is not None:
            image = np.concatenate([image, enlarge(alpha, image.shape[:2])], axis=-1)
        with Image.open(record.source) as source:
            profile = {key: source.info[key] for key in ("dpi", "icc_profile") if key in source.info}
            if "dpi" in profile:
                factor = pixels.shape[1] / record.shape[0]
                profile["dpi"] = tuple(factor * value for value in profile["dpi"])
            if source.mode not in ("L", "I;16", "LA", "RGB", "RGBA", "P", "PA"):
                profile.pop("icc_profile", None)
    save_raster(path, image, **profile)


def save_raster(path: str, image: NDArray, **profile: Any) -> None:
    """Write [H, W, C] of 8 or 16 bits in the format of the path's suffix.

    Args:
        path: of the file.
        image: C in {1, 3}, or {2, 4} with transparency.
        profile: resolution and colour profile as Pillow takes them; they are lost for 16-bit colour.
    """
    if image.dtype == np.uint16 and image.shape[-1] > 1:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image, isVector=True), path)
        return
    plane = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    Image.fromarray(plane).save(path, **profile)


def is_raster(path: str) -> bool:
    """Whether Pillow is the reader of this file."""
    return Path(path).suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")


def enlarge(extra: NDArray, size: tuple[int, ...]) -> NDArray:
    """Repeat the pixels of [..., H, W, A] to a size (H, W) that is a whole multiple of it."""
    for axis, length in zip((-3, -2), size, strict=True):
        if length % extra.shape[axis]:
            raise InputError(f"transparency of size {extra.shape[-3:-1]} does not divide the output's {size}")
        extra = np.repeat(extra, length // extra.shape[axis], axis=axis)
    return extra


def _split_alpha(image: NDArray) -> tuple[NDArray, NDArray | None]:
    if image.shape[-1] in (2, 4):
        return image[..., :-1], image[..., -1:]
    return image, None


def _decode(path: str) -> NDArray:
    """All channels as [H, W, C], C in {1, 2, 3, 4}, uint8 or uint16."""
    with open(path, "rb") as file:
        head = file.read(26)
    if head.startswith(_PNG_SIGNATURE) and head[24] == 16 and head[25] != 0:
        return _decode_deep_png(path, colour_type=head[25])
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        mode = upright.mode
        if "transparency" in upright.info and mode != "I;16":
            upright = upright.convert("RGBA")
        elif mode == "1":
            upright = upright.convert("L")
        elif mode not in _DIRECT:
            upright = upright.convert("RGBA" if mode == "PA" else "RGB")
        array = np.array(upright)
    return array[..., None] if array.ndim == 2 else array


def _decode_deep_png(path: str, colour_type: int) -> NDArray:
    """16 bits and more than one channel, which Pillow would cut to 8 bits without a word."""
    if colour_type == 4:
        raise InputError(
            f"{path}: 16-bit grey with transparency is not supported; expected it without transparency"
        )
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
