"""NIfTI in and out, stored values untouched by the header's slope and intercept."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.inference.picture import Picture, SourceRecord

RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def check_nifti(path: str) -> None:
    """Read the header only.

    Raises:
        InputError: neither 2-D, 3-D nor 4-D, or a type without intensities.
    """
    _open(path)


def read_nifti(path: str) -> Picture:
    """Read stored values as [C, X, Y], [C, X, Y, Z] or [C, X, Y, Z, T]; RGB24 gives C = 3.

    ``scl_slope`` and ``scl_inter`` become the picture's slope and intercept, so that an integer file stays one.
    """
    image = _open(path)
    # Slope and intercept are taken from the data object: nibabel clears them in the header it has loaded.
    stored = np.asanyarray(image.dataobj.get_unscaled())
    if stored.dtype.fields:
        pixels = np.stack([stored[name] for name in stored.dtype.names or ()])
        return Picture(pixels, affine=image.affine, bits=8)
    pixels = stored.astype(stored.dtype.newbyteorder("="), copy=False)[None]
    return Picture(
        pixels,
        affine=image.affine,
        slope=float(image.dataobj.slope),
        intercept=float(image.dataobj.inter),
    )


def write_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write with the header of the source: affine and codes, zooms, units, type, slope and intercept.

    A shape that has grown by super-resolution gets an affine that covers the same space.
    """
    source = _open(record.source)
    shape = pixels.shape[1:]
    affine = source.affine if shape == source.shape else grown_affine(source.affine, source.shape, shape)
    image = type(source)(to_stored(pixels), affine, header=source.header)
    if shape != source.shape:
        # For a new matrix nibabel forgets which space (scanner, MNI, ...) each of the two leads to.
        for place in ("qform", "sform"):
            matrix, code = getattr(source, f"get_{place}")(coded=True)
            grown = affine if matrix is None else grown_affine(matrix, source.shape, shape)
            getattr(image, f"set_{place}")(grown, int(code))
    save(path, image, source.dataobj.slope, source.dataobj.inter)


def shape_of(path: str) -> tuple[int, ...]:
    """Shape of the image in a file, read from its header."""
    return tuple(_open(path).shape)


def slope_and_intercept(path: str) -> tuple[float, float]:
    """What turns the stored values of a file into its unit."""
    image = _open(path)
    return float(image.dataobj.slope), float(image.dataobj.inter)


def save(path: str, image: Any, slope: float, intercept: float) -> None:
    """Write stored values as they are, with the given slope and intercept in the header."""
    # Without an explicit slope nibabel would choose one and rescale what it writes.
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, path)


def to_stored(pixels: NDArray) -> NDArray:
    """[C, X, Y, ...] as a NIfTI array: C = 1 plain, C = 3 as RGB24."""
    if pixels.shape[0] == 1:
        return pixels[0]
    stored = np.empty(pixels.shape[1:], RGB24)
    for channel, name in enumerate("RGB"):
        stored[name] = pixels[channel]
    return stored


def grown_affine(affine: NDArray, old: tuple[int, ...], new: tuple[int, ...]) -> NDArray:
    """The matrix of a grid of shape ``new`` that covers the same space as the grid of shape ``old``."""
    factors = np.ones(3)
    count = min(3, len(old))
    factors[:count] = np.array(old[:count]) / np.array(new[:count])
    grown = affine @ np.diag([*factors, 1.0])
    # Voxel centres move: the corner of the first voxel stays where it was.
    grown[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((factors - 1) / 2)
    return grown


def _open(path: str) -> Any:
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError(f"{path}: is {type(image).__name__}, expected NIfTI")
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InputError(f"{path}: shape {shape}, expected a 2-D, 3-D or 4-D image")
    if dtype != RGB24 and dtype.kind not in "uif":
        raise InputError(f"{path}: type {dtype}, expected integer, real or RGB24 intensities")
    if dtype == RGB24 and len(shape) == 4:
        raise InputError(f"{path}: RGB of shape {shape}, expected a 2-D or 3-D image")
    if not np.isfinite(image.affine).all():
        raise InputError(f"{path}: the affine matrix holds values that are not finite")
    return image
