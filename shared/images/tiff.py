"""TIFF in and out: integers and floats, grey and colour, one or many pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.orientation import Grid, upright
from shared.images.picture import Picture, SourceRecord
from shared.images.rasters import enlarge
from shared.images.tiff_decoding import stored_samples
from shared.images.tiff_metadata import ORIENTATION, kept_options
from shared.images.tiff_samples import SampleForm, form_of


def check_tiff(path: str) -> None:
    """Read the header only.

    Raises:
        InputError: pages of different sizes, more than one stack axis, a type without intensities, or samples that
            are neither grey nor a colour that can be turned into RGB.
    """
    with tifffile.TiffFile(path) as file:
        image_axes(path, file)
        form_of(path, file.series[0].keyframe)


def read_tiff(path: str) -> Picture:
    """Read [C, H, W] or [C, H, W, S] for S pages, upright; transparency is left out.

    What becomes of palettes, CMYK and few bits says :class:`~shared.images.tiff_samples.SampleForm`. Of a pyramid it
    is the image in full resolution. A slide's label and thumbnail (SVS) are left out.
    """
    with tifffile.TiffFile(path) as file:
        samples, form = _read(path, file)
    pixels = np.moveaxis(samples[..., : form.channels], -1, 0)
    if pixels.ndim == 4:
        pixels = np.moveaxis(pixels, 1, -1)
    return as_picture(pixels, form)


def as_picture(pixels: NDArray, form: SampleForm) -> Picture:
    """Values [C, ...] of a TIFF image and what its header says about them."""
    return Picture(pixels, bits=form.bits, inverted=form.inverted)


def write_tiff(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write with the source's number of pages, extra channels (transparency) and what else is kept of it.

    That is the size of a pixel, names of channels and the like in OME-XML and ImageJ's form, colour profile, kind of
    alpha (:func:`~shared.images.tiff_metadata.kept_options`). The image is upright, without a tag that turns it. A
    source that was compressed gives a file compressed without loss (Deflate).
    """
    image = np.moveaxis(pixels, 0, -1)
    if image.ndim == 4:
        image = np.moveaxis(image, 2, 0)
    factor = pixels.shape[1] // record.shape[0]
    with tifffile.TiffFile(record.source) as file:
        series = file.series[0]
        form = form_of(record.source, series.keyframe)
        if series.keyframe.samplesperpixel > form.colours:
            extra = _read(record.source, file)[0][..., form.channels :]
            image = np.concatenate([image, enlarge(extra, image.shape[-3:-1])], axis=-1)
        grid = Grid(factor, series.keyframe.tags.valueof(ORIENTATION, 1))
        options = kept_options(series, form, grid, image.shape[-1])
    if image.shape[-1] == 1:
        image = image[..., 0]
    tifffile.imwrite(path, image, byteorder="<", ome=False, metadata=None, **options)


def image_axes(path: str, file: tifffile.TiffFile) -> tuple[str, tuple[int, ...]]:
    """Axes and shape of the image or the stack in a file, as stored.

    Raises:
        InputError: as :func:`check_tiff`.
    """
    if len(file.series) != 1 and (not file.series or file.series[0].kind != "svs"):
        raise InputError(f"{path}: holds {len(file.series)} images of different kinds, expected one image or one stack")
    series = file.series[0]
    axes, shape = series.axes, series.shape
    stack = [axis for axis in axes if axis not in "YXS"]
    if not {"Y", "X"} <= set(axes) or len(stack) > 1:
        raise InputError(f"{path}: axes {axes} of shape {shape}, expected height, width, colour and at most one more")
    if series.dtype is None or series.dtype.kind not in "buif" or 0 in shape:
        raise InputError(f"{path}: type {series.dtype} of shape {shape}, expected integer or real intensities")
    return axes, shape


def _read(path: str, file: tifffile.TiffFile) -> tuple[NDArray, SampleForm]:
    """All channels of the image or stack, upright, [H, W, C + extra] or [S, H, W, C + extra], and their form."""
    axes, _ = image_axes(path, file)
    series: Any = file.series[0]
    form = form_of(path, series.keyframe)
    array = stored_samples(path, series)
    if "S" not in axes:
        array, axes = array[..., None], axes + "S"
    stack = [axis for axis in axes if axis not in "YXS"]
    array = np.moveaxis(array, [axes.index(axis) for axis in [*stack, "Y", "X", "S"]], range(array.ndim))
    samples = upright(form.convert(array), series.keyframe.tags.valueof(ORIENTATION, 1), rows=len(stack))
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("=")), form
