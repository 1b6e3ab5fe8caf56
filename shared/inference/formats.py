"""Which file is read and written by what, and the errors around it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.inference import dicom, nifti, rasters, tiff
from shared.inference.picture import Picture, SourceRecord

T = TypeVar("T")


@dataclass(frozen=True)
class ImageFormat:
    """One kind of image file.

    Attributes:
        name: what messages call it.
        check: reads the header, raises when it is no readable image.
        read: path to :class:`Picture`.
        write: path of the output, stored pixels [C, ...] and the source's record.
        output_suffix: appended to the source's name to name the output; "" keeps the name, so the format.
    """

    name: str
    check: Callable[[str], None]
    read: Callable[[str], Picture]
    write: Callable[[str, NDArray, SourceRecord], None]
    output_suffix: str = ""


_RASTER = (rasters.check_raster, rasters.read_raster, rasters.write_raster)
_TIFF = ImageFormat("TIFF", tiff.check_tiff, tiff.read_tiff, tiff.write_tiff)
_NIFTI = ImageFormat("NIfTI", nifti.check_nifti, nifti.read_nifti, nifti.write_nifti)
_JPEG = ImageFormat("JPEG", *_RASTER, output_suffix=".png")
_DICOM = ImageFormat(
    "DICOM", dicom.check_dicom, dicom.read_dicom, dicom.write_dicom_as_nifti, output_suffix=".nii.gz"
)
FORMATS: dict[str, ImageFormat] = {
    ".png": ImageFormat("PNG", *_RASTER),
    ".bmp": ImageFormat("BMP", *_RASTER),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
}
SUPPORTED = "PNG, JPEG, BMP, TIFF, NIfTI (.nii, .nii.gz) or DICOM"


def format_of(path: str) -> ImageFormat | None:
    """The format of a file by its suffix, DICOM by its magic number too; None for anything else."""
    for suffix, image_format in FORMATS.items():
        if Path(path).name.lower().endswith(suffix):
            return image_format
    return _DICOM if dicom.is_dicom(path) else None


def output_name(path: str) -> str:
    """File name of the enhanced image: the same name, or the whole name and a suffix where the format changes.

    ``a.png`` gives ``a.png``, ``a.jpg`` gives ``a.jpg.png`` and ``a.dcm`` gives ``a.dcm.nii.gz``: which name a file
    gets depends on itself alone, and files that differ in their suffix never meet.
    """
    return Path(path).name + _format(path).output_suffix


def check_picture(path: str) -> None:
    """Read the header of an image.

    Raises:
        InputError: no such file, unknown format, or no readable image; names the file.
    """
    _guard(path, lambda: _format(path).check(path))


def read_picture(path: str) -> Picture:
    """Read an image of any supported format.

    Raises:
        InputError: as :func:`check_picture`; truncated or damaged; NaN or infinite values; names the file.
    """
    picture = _guard(path, lambda: _format(path).read(path))
    if np.issubdtype(picture.pixels.dtype, np.floating):
        broken = picture.pixels.size - int(np.isfinite(picture.pixels).sum())
        if broken:
            raise InputError(f"{path}: {broken} of {picture.pixels.size} values are NaN or infinite")
    return picture


def write_picture(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write stored pixels [C, ...] to ``path``, whole or not at all; folders are made.

    Raises:
        InputError: the file cannot be written; names it.
    """
    target = Path(path)
    # A leading dot: a search for images does not see what a killed run may leave behind.
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _format(record.source).write(str(partial), pixels, record)
        os.replace(partial, target)
    except OSError as err:
        raise InputError(f"{path}: cannot be written: {err}") from err
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _format(path: str) -> ImageFormat:
    image_format = _guard(path, lambda: format_of(path))
    if image_format is None:
        raise InputError(f"{path}: not an image of a known format, expected {SUPPORTED}")
    return image_format


def _guard(path: str, action: Callable[[], T]) -> T:
    """Run a reader; whatever it raises about the file becomes one InputError that names the file."""
    try:
        return action()
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    # Readers of damaged files raise nearly anything: OSError, SyntaxError, struct.error, zlib.error, ...
    except Exception as err:
        reason = (str(err).strip() or type(err).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as an image: {reason}") from err
