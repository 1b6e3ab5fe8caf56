"""Which file is read and written by what, and the errors around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError, first_line
from shared.images.attribution import Producer
from shared.images.dicom import reading
from shared.images.dicom.geometry import affine_of
from shared.images.dicom.series import gap_in, series_name, series_of
from shared.images.format_table import DICOM, SUPPORTED, ImageFormat, format_of, images_in, require_output_format
from shared.images.gaps import darkest, note_on_gaps
from shared.images.output_limits import cannot_hold, header_of
from shared.images.picture import Picture, SourceRecord
from shared.images.result_files import result_file, result_folder

T = TypeVar("T")
Source = str | os.PathLike[str] | Sequence[str]
"""A file, a folder that holds one DICOM series, or the files of one."""
# Endings of what an output format writes, and of a folder of several such files.
_SUFFIXES = {"dicom": ".dcm", "nifti": ".nii.gz", "png": ".png"}
_FOLDER_SUFFIX = "_slices"


def output_name(source: Source, output_format: str = "same") -> str:
    """Name of the enhanced image: the same name, or the whole name and a suffix where the format changes.

    ``a.png`` gives ``a.png``, ``a.jpg`` gives ``a.jpg.png`` and, as NIfTI, ``a.dcm`` gives ``a.dcm.nii.gz``: which name
    a file gets depends on itself alone, and files that differ in their suffix never meet. A suffix that lies about the
    content gets the right one behind it: a TIFF file called ``a.png`` gives ``a.png.tif``. A series is named by its
    number and description. Several slices as PNG files, or as DICOM files made from another format, and a series as
    DICOM or PNG files are a folder: ``a.nii.gz_slices``, ``004_T1_axial``.

    Raises:
        InputError: the format is unknown, or the source cannot be read.
    """
    require_output_format(output_format)
    if not _is_file(source):
        return series_output_name(reading.read_header(series_files(source)[0]), output_format)
    path = str(source)
    image_format, name = _format(path), Path(path).name
    if output_format == "same":
        return image_format.result_name(name)
    # Its own writer of that format keeps the name.
    if image_format.writers[output_format] is image_format.writers["same"]:
        if output_format != "png":
            return image_format.result_name(name)
        return name if name.lower().endswith(".png") else name + ".png"
    depth = _guard(path, lambda: image_format.depth(path))
    is_folder = output_format != "nifti" and _is_stack(depth)
    return name + (_FOLDER_SUFFIX if is_folder else _SUFFIXES[output_format])


def series_output_name(header: Any, output_format: str) -> str:
    """Name of an enhanced series, from the header of one of its files."""
    return series_name(header) + (".nii.gz" if output_format == "nifti" else "")


def dicom_header(path: str) -> Any:
    """Header of a DICOM image; None for a file that is not DICOM.

    Raises:
        InputError: the file cannot be read, or its geometry is malformed.
    """

    def read() -> Any:
        if format_of(path) is not DICOM:
            return None
        header = reading.read_header(path)
        # Looked at here, so that a malformed value refuses this file and does not break the grouping of all.
        try:
            affine_of([header])
        except (TypeError, ValueError, IndexError) as err:
            places = "position, orientation, spacing or number of frames"
            raise InputError(f"{path}: {places} malformed in the DICOM header: {first_line(err)}") from err
        return header

    return _guard(path, read)


def series_files(source: Source) -> list[str]:
    """Return the files of a DICOM series in the order of its slices.

    Args:
        source: a folder that holds exactly one series, or the files of one. In a folder, hidden files and files of
            other kinds than images are left out.

    Raises:
        InputError: there is no image, an image that is not DICOM or not readable, or more than one series: the message
            lists what there is.
    """
    if not isinstance(source, str | os.PathLike):
        paths = [str(path) for path in source]
        return series_of(f"{paths[0]} and {len(paths) - 1} more" if paths else "an empty list of files", paths)
    images = images_in(source)
    for path, image_format in images.items():
        if image_format is not DICOM:
            raise InputError(f"{path}: {image_format.name} in the folder of a DICOM series, expected DICOM files alone")
    return series_of(str(source), [str(path) for path in images])


def check_picture(source: Source) -> None:
    """Read the header of an image.

    Raises:
        InputError: no such file, unknown format, no readable image, or several series; names the file.
    """
    if _is_file(source):
        _guard(str(source), lambda: _format(str(source)).check(str(source)))
    else:
        _guard(_name(source), lambda: series_files(source))


def check_output(source: Source, output_format: str, plane: str | None = None) -> None:
    """Find out by the header whether an image can be written in a format.

    Args:
        source: the image.
        output_format: "same", "dicom", "nifti" or "png".
        plane: in which a volume but DICOM is cut; None where that is not known yet.

    Raises:
        InputError: it cannot; names the image and a format that can.
    """
    require_output_format(output_format)
    if output_format not in ("dicom", "nifti"):
        return
    if not _is_file(source):
        reason = _gap(series_files(source)) if output_format == "nifti" else None
    else:
        path = str(source)
        image_format = _format(path)
        # In its own format nothing is lost.
        if image_format.writers[output_format] is image_format.writers["same"]:
            reason = None
        elif image_format is DICOM:
            reason = _gap([path])
        else:
            reason = cannot_hold(output_format, _guard(path, lambda: header_of(path, image_format.name)), plane)
    if reason is not None:
        raise InputError(f"{_name(source)}: {reason}")


def _gap(files: Sequence[str]) -> str | None:
    gap = gap_in(files)
    return None if gap is None else f"{gap}, which NIfTI cannot say; expected output_format dicom or png"


def read_picture(source: Source, labels: bool = False) -> Picture:
    """Read an image of any supported format, or a DICOM series as one volume.

    Args:
        source: the image.
        labels: whether the file may say that it is a label map, as a mask may.

    Raises:
        InputError: as :func:`check_picture`; truncated or damaged; infinite values, or none but NaN; names the file.
    """
    if _is_file(source):
        path, image_format = str(source), _format(str(source))
        read = (image_format.read_labels if labels else None) or image_format.read
        picture = _guard(path, lambda: read(path))
    else:
        files = _guard(_name(source), lambda: series_files(source))
        picture = replace(_guard(_name(source), lambda: reading.read_dicom(files)), files=tuple(files))
    return _without_gaps(picture, _name(source)) if picture.pixels.dtype.kind == "f" else picture


def _without_gaps(picture: Picture, name: str) -> Picture:
    """Put the darkest value in the place of missing ones (NaN).

    Raises:
        InputError: a value is infinite, or all are missing.
    """
    missing = np.isnan(picture.pixels)
    notes = note_on_gaps(name, int(missing.sum()), int(np.isinf(picture.pixels).sum()), missing.size)
    if not notes:
        return picture
    present = picture.pixels[~missing]
    pixels = np.where(missing, darkest(picture, present.min(), present.max()), picture.pixels)
    return replace(picture, pixels=pixels, missing=missing, notes=(*picture.notes, *notes))


def write_picture(
    path: str, pixels: NDArray, record: SourceRecord, output_format: str = "same", producer: Producer | None = None
) -> None:
    """Write stored pixels [C, ...] to ``path``, whole or not at all; folders are made.

    Args:
        path: of the file; of a folder for what :func:`output_name` says to be one.
        pixels: as :class:`~shared.inference.RestoreSourced` gives them.
        record: of the source.
        output_format: "same", "dicom", "nifti" or "png".
        producer: what made the image, and in which run, for DICOM; None for a nameless one in a run of its own.

    Raises:
        InputError: the format is unknown, or the file cannot be written; names it.
    """
    require_output_format(output_format)
    image_format = DICOM if record.files else _format(record.source)
    target = result_folder if _writes_folder(image_format, record, output_format) else result_file
    try:
        with target(path) as partial:
            image_format.writers[output_format](partial, pixels, record, producer or Producer())
    except (InputError, MemoryError):
        raise
    # The libraries that write refuse an image in as many ways as those that read refuse a file.
    except Exception as err:
        raise InputError(f"{path}: cannot be written: {first_line(err)}") from err


def _writes_folder(image_format: ImageFormat, record: SourceRecord, output_format: str) -> bool:
    if record.files:
        return output_format != "nifti"
    makes_slices = output_format == "png" or (output_format == "dicom" and image_format is not DICOM)
    return makes_slices and _is_stack(record.shape[2:])


def _is_stack(depth: tuple[int, ...]) -> bool:
    return int(np.prod(depth, dtype=int)) > 1


def _is_file(source: Source) -> bool:
    return isinstance(source, str | os.PathLike) and not Path(source).is_dir()


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else str(next(iter(source), "an empty list of files"))


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
        raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err
