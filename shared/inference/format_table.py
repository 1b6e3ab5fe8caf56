"""The formats of image files: which function reads and writes each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from shared.errors import InputError
from shared.inference import conversions, nifti, rasters, tiff
from shared.inference.dicom import derived, reading
from shared.inference.dicom.geometry import frame_count
from shared.inference.dicom.secondary_capture import write_secondary_captures
from shared.inference.picture import Picture, SourceRecord
from shared.inference.producer import Producer

Writer = Callable[[str, NDArray, SourceRecord, Producer], None]
OUTPUT_FORMATS = ("same", "dicom", "nifti", "png")
SUPPORTED = "PNG, JPEG, BMP, TIFF (.svs too), NIfTI (.nii, .nii.gz) or DICOM"


@dataclass(frozen=True)
class ImageFormat:
    """One kind of image file.

    Attributes:
        name: what messages call it.
        check: reads the header, raises when it is no readable image.
        read: path to :class:`Picture`.
        depth: reads the header, gives the sizes of the axes beyond height and width (or X and Y).
        writers: for each of ``OUTPUT_FORMATS``; a path or an existing folder, stored pixels [C, ...], the source's
            record and what made the image.
        output_suffix: appended to the source's name to name the output "same"; "" keeps the name, so the format.
    """

    name: str
    check: Callable[[str], Any]
    read: Callable[[str], Picture]
    depth: Callable[[str], tuple[int, ...]]
    writers: dict[str, Writer]
    output_suffix: str = ""


def _without_producer(write: Callable[[str, NDArray, SourceRecord], None]) -> Writer:
    """A writer of a format that cannot say who made the image."""
    return lambda path, pixels, record, producer: write(path, pixels, record)


def _png_of(is_dicom: bool) -> Writer:
    return lambda path, pixels, record, producer: conversions.write_as_png(path, pixels, record, is_dicom)


def _pages(path: str) -> tuple[int, ...]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return tuple(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS")


def _raster(name: str, output_suffix: str = "") -> ImageFormat:
    write = _without_producer(rasters.write_raster)
    writers = {"same": write, "dicom": write_secondary_captures, "nifti": _RASTER_AS_NIFTI, "png": write}
    return ImageFormat(name, rasters.check_raster, rasters.read_raster, lambda path: (), writers, output_suffix)


_RASTER_AS_NIFTI = _without_producer(conversions.write_raster_as_nifti)
_AS_NIFTI = _without_producer(nifti.write_nifti)
NIFTI = ImageFormat(
    "NIfTI",
    nifti.check_nifti,
    nifti.read_nifti,
    lambda path: nifti.shape_of(path)[2:],
    {"same": _AS_NIFTI, "dicom": write_secondary_captures, "nifti": _AS_NIFTI, "png": _png_of(False)},
)
_TIFF = ImageFormat(
    "TIFF",
    tiff.check_tiff,
    tiff.read_tiff,
    _pages,
    {
        "same": _without_producer(tiff.write_tiff),
        "dicom": write_secondary_captures,
        "nifti": _RASTER_AS_NIFTI,
        "png": _png_of(False),
    },
)
DICOM = ImageFormat(
    "DICOM",
    reading.read_header,
    lambda path: reading.read_dicom([path]),
    lambda path: (frame_count(reading.read_header(path)),),
    {
        "same": derived.write_derived,
        "dicom": derived.write_derived,
        "nifti": _without_producer(conversions.write_dicom_as_nifti),
        "png": _png_of(True),
    },
)
FORMATS: dict[str, ImageFormat] = {
    ".png": _raster("PNG"),
    ".bmp": _raster("BMP"),
    ".jpg": _raster("JPEG", ".png"),
    ".jpeg": _raster("JPEG", ".png"),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    # A slide of Aperio's scanners: a TIFF file whose first image is the whole slide in full resolution.
    ".svs": replace(_TIFF, output_suffix=".tif"),
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
}


def require_output_format(name: str) -> None:
    """Check the name of an output format.

    Raises:
        InputError: it is none of ``OUTPUT_FORMATS``.
    """
    if name not in OUTPUT_FORMATS:
        raise InputError(f"output_format: found {name!r}, expected one of {', '.join(OUTPUT_FORMATS)}")


def format_of(path: str) -> ImageFormat | None:
    """The format of a file by its suffix, DICOM by its magic number too; None for anything else.

    A folder has the format of the first file in it.
    """
    if Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("."))
        return format_of(files[0]) if files else None
    for suffix, image_format in FORMATS.items():
        if Path(path).name.lower().endswith(suffix):
            return image_format
    return DICOM if reading.is_dicom(path) else None


def images_in(folder: str | os.PathLike[str]) -> dict[Path, ImageFormat]:
    """The images that lie in a folder itself, sorted; hidden files and files of other kinds are left out."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        image_format = None if path.name.startswith(".") or not path.is_file() else format_of(str(path))
        if image_format is not None:
            found[path] = image_format
    return found
