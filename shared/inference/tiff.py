"""TIFF in and out: 8 and 16 bit, float, grey and RGB, one or many pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK
import tifffile
from numpy.typing import NDArray

from shared.errors import InputError
from shared.inference.picture import Picture, SourceRecord
from shared.inference.rasters import enlarge

_BIT_DEPTHS = {"uint8": 8, "uint16": 16}
_INVERTED = tifffile.PHOTOMETRIC.MINISWHITE
_COLOUR = tifffile.PHOTOMETRIC.RGB
_PHOTOMETRICS = (tifffile.PHOTOMETRIC.MINISBLACK, _INVERTED, _COLOUR)
_JPEG = (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)


def check_tiff(path: str) -> None:
    """Read the header only.

    Raises:
        InputError: pages of different sizes, more than one stack axis, or a type without intensities.
    """
    with tifffile.TiffFile(path) as file:
        image_axes(path, file)


def read_tiff(path: str) -> Picture:
    """Read [C, H, W] or [C, H, W, S] for S pages; transparency is left out.

    Of a pyramid it is the image in full resolution. A slide's label and thumbnail (SVS) are left out.
    """
    with tifffile.TiffFile(path) as file:
        return as_picture(_read(path, file)[0], file.pages.first)


def as_picture(pixels: NDArray, page: Any) -> Picture:
    """Stored values [C, ...] of a TIFF image and what its first page says about them."""
    return Picture(pixels, bits=_BIT_DEPTHS.get(pixels.dtype.name), inverted=photometric(page) == _INVERTED)


def photometric(page: Any) -> Any:
    """How the values of a page are meant once decoded; JPEG's colours become RGB."""
    # Aperio's tag says RGB here too, and no decoder turns the colours.
    if page.compression == tifffile.COMPRESSION.APERIO_JP2000_YCBC:
        return tifffile.PHOTOMETRIC.YCBCR
    found = page.photometric
    return _COLOUR if found == tifffile.PHOTOMETRIC.YCBCR and page.compression in _JPEG else found


def colour_channels(path: str, page: Any) -> int:
    """Number of channels that are colour; those behind them are extra, as transparency is.

    Raises:
        InputError: neither grey nor RGB.
    """
    found = photometric(page)
    if found not in _PHOTOMETRICS:
        raise InputError(f"{path}: photometric interpretation {found.name}, expected grey or RGB")
    return 3 if found == _COLOUR else 1


def write_tiff(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write with the source's resolution, extra channels (transparency) and number of pages.

    A source that was compressed gives a file compressed without loss (Deflate).
    """
    image = np.moveaxis(pixels, 0, -1)
    if image.ndim == 4:
        image = np.moveaxis(image, 2, 0)
    with tifffile.TiffFile(record.source) as file:
        page = file.pages.first
        options = kept_options(page, pixels.shape[1] // record.shape[0], pixels.shape[0])
        if page.samplesperpixel > pixels.shape[0]:
            extra = _read(record.source, file)[1]
            image = np.concatenate([image, enlarge(extra, image.shape[-3:-1])], axis=-1)
    if image.shape[-1] == 1:
        image = image[..., 0]
    tifffile.imwrite(path, image, metadata=None, **options)


def kept_options(page: Any, factor: int, channels: int) -> dict[str, Any]:
    """What is kept of a page, as options of tifffile's writer.

    Args:
        page: of the source.
        factor: by which the image has grown; it has as many more pixels per unit of length.
        channels: of colour; what the page has more are extra.
    """
    options: dict[str, Any] = {
        "compression": None if page.compression == tifffile.COMPRESSION.NONE else "zlib",
        "photometric": photometric(page),
    }
    extra = page.samplesperpixel - channels
    if extra > 0:
        options["extrasamples"] = ["unassalpha"] + ["unspecified"] * (extra - 1)
    if page.samplesperpixel > 1:
        options["planarconfig"] = "contig"
    if "XResolution" in page.tags and "YResolution" in page.tags:
        resolution = (page.tags[name].value for name in ("XResolution", "YResolution"))
        options["resolution"] = tuple((factor * numerator, denominator) for numerator, denominator in resolution)
        unit = page.tags.get("ResolutionUnit")
        options["resolutionunit"] = None if unit is None else unit.value
    return options


def image_axes(path: str, file: tifffile.TiffFile) -> tuple[str, tuple[int, ...]]:
    """Axes and shape of the image or the stack in a file.

    Raises:
        InputError: as :func:`check_tiff`.
    """
    if len(file.series) != 1 and (not file.series or file.series[0].kind != "svs"):
        raise InputError(
            f"{path}: holds {len(file.series)} images of different kinds, expected one image or one stack"
        )
    series = file.series[0]
    axes, shape = series.axes, series.shape
    stack = [axis for axis in axes if axis not in "YXS"]
    if not {"Y", "X"} <= set(axes) or len(stack) > 1:
        raise InputError(
            f"{path}: axes {axes} of shape {shape}, expected height, width, colour and at most one more"
        )
    if series.dtype is None or series.dtype.kind not in "uif" or 0 in shape:
        raise InputError(
            f"{path}: type {series.dtype} of shape {shape}, expected integer or real intensities"
        )
    return axes, shape


def _read(path: str, file: tifffile.TiffFile) -> tuple[NDArray, NDArray]:
    """Pixels [C, H, W] or [C, H, W, S] and the channels beyond colour, [H, W, A] or [S, H, W, A], A may be 0."""
    axes, shape = image_axes(path, file)
    channels = colour_channels(path, file.pages.first)
    array = _decode(path, file, axes, shape)
    if "S" not in axes:
        array, axes = array[..., None], axes + "S"
    stack = [axis for axis in axes if axis not in "YXS"]
    array = np.moveaxis(array, [axes.index(axis) for axis in [*stack, "Y", "X", "S"]], range(array.ndim))
    colour, extra = array[..., :channels], array[..., channels:]
    pixels = np.moveaxis(colour, -1, 0)
    if stack:
        pixels = np.moveaxis(pixels, 1, -1)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native, extra


def _decode(path: str, file: tifffile.TiffFile, axes: str, shape: tuple[int, ...]) -> NDArray:
    try:
        return file.series[0].asarray()
    except ValueError as err:
        if "imagecodecs" not in str(err):
            raise
    # LZW and other codecs that tifffile leaves to an optional package; ITK brings its own.
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    expected = tuple(shape[axes.index(axis)] for axis in axes if axis != "S")
    if array.shape[: len(expected)] != expected or axes[-1:] not in "XS":
        raise InputError(
            f"{path}: compressed in a form that cannot be read (shape {array.shape}, expected {shape})"
        )
    return array
