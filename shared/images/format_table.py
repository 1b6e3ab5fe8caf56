"""The formats of image files: which function reads and writes each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images import conversions, itk_volumes, nifti, rasters, tiff
from shared.images.attribution import Producer
from shared.images.dicom import derived, opening, reading
from shared.images.dicom.geometry import frame_count
from shared.images.dicom.secondary_capture import write_secondary_captures
from shared.images.picture import Picture, SourceRecord
from shared.images.signatures import contents, has_suffix

Writer = Callable[[str, NDArray, SourceRecord, Producer], None]
OUTPUT_FORMATS = ("same", "dicom", "nifti", "png")
SUPPORTED = (
    "PNG, JPEG, BMP, GIF, TIFF (.svs too), NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr) or DICOM"
)


@dataclass(frozen=True)
class ImageFormat:
    """One kind of image file.

    Attributes:
        name: what messages call it, and :func:`~shared.images.signatures.contents`.
        check: reads the header, raises when it is no readable image.
        read: path to :class:`Picture`.
        depth: reads the header, gives the sizes of the axes beyond height and width (or X and Y).
        writers: for each of ``OUTPUT_FORMATS``; a path or an existing folder, stored pixels [C, ...], the source's
            record and what made the image.
        result_suffixes: endings of names of what the writer "same" writes.
        read_labels: as ``read``, also where the file says that it is a label map; None where it cannot say so.
    """

    name: str
    check: Callable[[str], Any]
    read: Callable[[str], Picture]
    depth: Callable[[str], tuple[int, ...]]
    writers: dict[str, Writer]
    result_suffixes: tuple[str, ...]
    read_labels: Callable[[str], Picture] | None = None

    def result_name(self, name: str) -> str:
        """Name of what the writer "same" makes of a file: the same, or with a suffix where it tells another format."""
        told = [suffix for suffix in FORMATS if name.lower().endswith(suffix)]
        return name if not told or has_suffix(name, self.result_suffixes) else name + self.result_suffixes[0]


def _without_producer(write: Callable[[str, NDArray, SourceRecord], None]) -> Writer:
    """A writer of a format that cannot say who made the image."""
    return lambda path, pixels, record, producer: write(path, pixels, record)


def _png_of(is_dicom: bool) -> Writer:
    return lambda path, pixels, record, producer: conversions.write_as_png(path, pixels, record, is_dicom)


def _pages(path: str) -> tuple[int, ...]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return tuple(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS")


def _raster(name: str, result_suffixes: tuple[str, ...] = (".png",)) -> ImageFormat:
    write = _without_producer(rasters.write_raster)
    writers = {"same": write, "dicom": write_secondary_captures, "nifti": _RASTER_AS_NIFTI, "png": write}
    return ImageFormat(name, rasters.check_raster, rasters.read_raster, lambda path: (), writers, result_suffixes)


def _itk_volume(name: str, result_suffixes: tuple[str, ...]) -> ImageFormat:
    def write(path: str, pixels: NDArray, record: SourceRecord) -> None:
        itk_volumes.write_volume(path, pixels, record, name)

    return ImageFormat(
        name,
        partial(itk_volumes.check_volume, kind=name),
        partial(itk_volumes.read_volume, kind=name),
        lambda path: itk_volumes.header_of(path, name).size[2:],
        {
            "same": _without_producer(write),
            "dicom": write_secondary_captures,
            "nifti": _without_producer(conversions.write_volume_as_nifti),
            "png": _png_of(False),
        },
        result_suffixes,
        partial(itk_volumes.read_volume, kind=name, labels=True),
    )


_RASTER_AS_NIFTI = _without_producer(conversions.write_raster_as_nifti)
_AS_NIFTI = _without_producer(nifti.write_nifti)
NIFTI = ImageFormat(
    "NIfTI",
    nifti.check_nifti,
    nifti.read_nifti,
    lambda path: nifti.shape_of(path)[2:],
    {"same": _AS_NIFTI, "dicom": write_secondary_captures, "nifti": _AS_NIFTI, "png": _png_of(False)},
    (".nii.gz", ".nii"),
    partial(nifti.read_nifti, labels=True),
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
    (".tif", ".tiff"),
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
    (".dcm", ".dicom"),
)
_JPEG = _raster("JPEG")
_META_IMAGE = _itk_volume(itk_volumes.META_IMAGE, (".mha", ".mhd"))
_NRRD = _itk_volume(itk_volumes.NRRD, (".nrrd", ".nhdr"))
FORMATS: dict[str, ImageFormat] = {
    ".png": _raster("PNG"),
    ".bmp": _raster("BMP", (".bmp",)),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".gif": _raster("GIF"),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    # A slide of Aperio's scanners: a TIFF file whose first image is the whole slide in full resolution.
    ".svs": _TIFF,
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
    ".mha": _META_IMAGE,
    ".mhd": _META_IMAGE,
    ".nrrd": _NRRD,
    ".nhdr": _NRRD,
    ".dcm": DICOM,
    ".dicom": DICOM,
}
_BY_NAME = {image_format.name: image_format for image_format in FORMATS.values()}


def require_output_format(name: str) -> None:
    """Check the name of an output format.

    Raises:
        InputError: it is none of ``OUTPUT_FORMATS``.
    """
    if name not in OUTPUT_FORMATS:
        raise InputError(f"output_format: found {name!r}, expected one of {', '.join(OUTPUT_FORMATS)}")


def format_of(path: str) -> ImageFormat | None:
    """The format of a file with the suffix of an image, or of any DICOM file; None for anything else.

    The content decides, not the suffix: a TIFF file may be called ``a.png``. Where it says nothing, or cannot be read,
    the suffix does, so that the file is refused by the reader that it names. A folder has the format of the first file
    in it.
    """
    if Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("."))
        return format_of(files[0]) if files else None
    told = next((image_format for suffix, image_format in FORMATS.items() if has_suffix(path, (suffix,))), None)
    if told is None:
        return DICOM if opening.is_dicom(path) else None
    try:
        found = contents(path)
        if not found and opening.is_dicom(path):
            return DICOM
    except OSError:
        return told
    if "NIfTI" in found:
        return _nifti_of(path, "gzip" in found)
    if not found or told.name in found:
        return told
    return DICOM if DICOM.name in found else _BY_NAME[min(found)]


def _nifti_of(path: str, is_zipped: bool) -> ImageFormat:
    """NIfTI whose reader goes by the suffix: another one than that of the content is refused."""
    suffix = ".nii.gz" if is_zipped else ".nii"
    if has_suffix(path, (suffix,)):
        return NIFTI

    def refuse(path: str) -> Any:
        content = "NIfTI compressed by gzip" if is_zipped else "NIfTI without compression"
        raise InputError(f"{path}: the file is {content}, expected the suffix {suffix}: rename it")

    return replace(NIFTI, check=refuse, read=refuse, depth=refuse, read_labels=None)


def images_in(folder: str | os.PathLike[str]) -> dict[Path, ImageFormat]:
    """The images that lie in a folder itself, sorted; hidden files and files of other kinds are left out."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        image_format = None if path.name.startswith(".") or not path.is_file() else format_of(str(path))
        if image_format is not None:
            found[path] = image_format
    return found
