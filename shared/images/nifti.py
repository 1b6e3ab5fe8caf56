"""NIfTI in and out, stored values untouched by the header's slope and intercept."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError, NoIntensities
from shared.images.contents import LABELS, nifti_content
from shared.images.nifti_header import Nifti1, Nifti2, enlarge_space, place_of
from shared.images.picture import Picture, SourceRecord

RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def check_nifti(path: str) -> None:
    """Read the header only.

    Raises:
        NoIntensities: its intent is another one, such as labels, statistics or vectors.
        InputError: neither 2-D, 3-D nor 4-D, or a type without intensities.
    """
    open_nifti(path)


def read_nifti(path: str, labels: bool = False) -> Picture:
    """Read stored values as [C, X, Y], [C, X, Y, Z] or [C, X, Y, Z, T]; RGB24 gives C = 3.

    ``scl_slope`` and ``scl_inter`` become the picture's slope and intercept, so that an integer file stays one.

    Args:
        path: of the file.
        labels: whether the file may say that it is a label map, as a mask may.

    Raises:
        NoIntensities, InputError: as :func:`check_nifti`.
    """
    image = open_nifti(path, labels)
    return as_picture(image, np.asanyarray(image.dataobj.get_unscaled()))


def write_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write with the header of the source: matrices and codes, zooms, units, type, slope and intercept.

    A shape that has grown by super-resolution covers the same space. What the header says about space is never taken
    apart and put together again, so that a sheared, singular or malformed matrix stays what it was.
    """
    nibabel.save(enlarged(open_nifti(record.source), to_stored(pixels)), path)


def enlarged(source: Any, stored: NDArray) -> Any:
    """A NIfTI image of stored values with the header of another one, over the same space."""
    header = source.header.copy()
    if stored.shape != source.shape:
        enlarge_space(header, source.shape, stored.shape)
    image = type(source)(stored, None, header=header)
    _keep_scale(image, source.dataobj.slope, source.dataobj.inter)
    return image


def shape_of(path: str) -> tuple[int, ...]:
    """Shape of the image in a file, read from its header."""
    return tuple(open_nifti(path).shape)


def nifti_header(path: str) -> Any:
    """What nibabel knows about an image without its voxels.

    Raises:
        NoIntensities, InputError: as :func:`check_nifti`.
    """
    return open_nifti(path).header


def slope_and_intercept(path: str) -> tuple[float, float]:
    """What turns the stored values of a file into its unit."""
    image = open_nifti(path)
    return float(image.dataobj.slope), float(image.dataobj.inter)


def save(path: str, image: Any, slope: float, intercept: float) -> None:
    """Write stored values as they are, with the given slope and intercept in the header."""
    _keep_scale(image, slope, intercept)
    nibabel.save(image, path)


def as_picture(image: Any, stored: NDArray) -> Picture:
    """The picture of an opened image with stored values as they lie in the file; a part of them will do."""
    affine, notes = place_of(image.header)
    pixels = as_pixels(stored)
    if stored.dtype.fields:
        return Picture(pixels, affine=affine, bits=8, notes=notes)
    # Slope and intercept are taken from the data object: nibabel clears them in the header it has loaded.
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    return Picture(pixels, affine=affine, slope=slope, intercept=intercept, notes=notes)


def as_pixels(stored: NDArray) -> NDArray:
    """Invert :func:`to_stored`; values are in the byte order of the machine."""
    if stored.dtype.fields:
        return np.stack([stored[name] for name in stored.dtype.names or ()])
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)[None]


def to_stored(pixels: NDArray) -> NDArray:
    """[C, X, Y, ...] as a NIfTI array: C = 1 plain, C = 3 as RGB24."""
    if pixels.shape[0] == 1:
        return pixels[0]
    stored = np.empty(pixels.shape[1:], RGB24)
    for channel, name in enumerate("RGB"):
        stored[name] = pixels[channel]
    return stored


def open_nifti(path: str, labels: bool = False) -> Any:
    """An image of nibabel's whose values are not read yet.

    Raises:
        NoIntensities, InputError: as :func:`check_nifti`, but for labels where these are welcome.
    """
    kind = next((kind for kind in (Nifti1, Nifti2) if kind.path_maybe_image(path)[0]), None)
    if kind is None:
        # Of no header that is known: nibabel says what it is, or what is wrong with it.
        found = type(nibabel.load(path)).__name__
        raise InputError(f"{path}: is {found}, expected NIfTI")
    image = kind.from_filename(path)
    content = nifti_content(image.header)
    if content is not None and not (labels and content.kind == LABELS):
        name = f"{content.name} (intent code {image.header['intent_code']})"
        raise NoIntensities(f"{path}: {name}, expected an image of intensities", content.kind)
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InputError(f"{path}: shape {shape}, expected a 2-D, 3-D or 4-D image")
    if dtype != RGB24 and dtype.kind not in "uif":
        raise InputError(f"{path}: type {dtype}, expected integer, real or RGB24 intensities")
    if dtype == RGB24 and len(shape) == 4:
        raise InputError(f"{path}: RGB of shape {shape}, expected a 2-D or 3-D image")
    return image


def _keep_scale(image: Any, slope: float, intercept: float) -> None:
    # Without an explicit slope nibabel would choose one and rescale what it writes.
    image.header.set_slope_inter(slope, intercept)
