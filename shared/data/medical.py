"""Read one 2-D image from NIfTI or MetaImage files, as it is displayed: rows from the top, columns from the left."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

from shared.errors import InputError

_HEADER_BYTES = 8192
#: Values of ElementDataFile that name no single file.
_WITHOUT_DATA_FILE = ("LOCAL", "LIST")

PathLike = str | os.PathLike[str]
NIFTI = (".nii", ".nii.gz")
META_IMAGE = (".mhd", ".mha")


def is_medical(path: PathLike) -> bool:
    """Whether the name is that of a NIfTI or MetaImage file."""
    return os.fspath(path).lower().endswith((*NIFTI, *META_IMAGE))


def plane_size(path: PathLike) -> tuple[int, int]:
    """Return (H, W) from the header; the pixels are not read.

    Raises:
        InputError: missing, unreadable, or more than one 2-D image.
    """
    shape = _nifti(path).shape[::-1] if _is_nifti(path) else _meta_image(path).GetSize()[::-1]
    return _two_sides(shape, path)


def unit_plane(path: PathLike) -> Image.Image:
    """Read a grey image into [0, 1], as a Pillow image of mode "F".

    The stored values tell the range, since ultrasound of 8 bits is often stored in a wider type. uint8 is divided by
    255; any other integer type by 255, or by 65535 when a value exceeds 255; real values (also those that a NIfTI
    slope makes) stay as they are, or are divided by 255 when a value exceeds 1.

    Raises:
        InputError: missing, unreadable, more than one 2-D image, or values that are negative, not finite, or above
            65535 (integers) or 255 (real).
    """
    values = _plane(path)
    real = values.dtype.kind == "f"
    scales = (1.0, 255.0) if real else (255.0,) if values.dtype == np.uint8 else (255.0, 65535.0)
    low, high = float(values.min()), float(values.max())
    scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if scale is None:
        raise InputError(f"'{path}' ({values.dtype}) has values from {low:g} to {high:g}, expected 0 to {scales[-1]:g}")
    return Image.fromarray((values / scale).astype(np.float32))


def label_plane(path: PathLike) -> Image.Image:
    """Read a label map, as a Pillow image of mode "I" that holds the stored values.

    Raises:
        InputError: missing, unreadable, more than one 2-D image, or values that are no whole numbers from 0 to 255.
    """
    values = _plane(path)
    labels = values.astype(np.int32) if np.isfinite(values).all() else None
    if labels is None or (labels != values).any() or labels.min() < 0 or labels.max() > 255:
        raise InputError(
            f"label map '{path}' ({values.dtype}) has values from {values.min():g} to {values.max():g}, "
            "expected whole numbers from 0 to 255"
        )
    return Image.fromarray(labels)


def _plane(path: PathLike) -> NDArray[Any]:
    """The values [H, W]. NIfTI arrays are (W, H), SimpleITK's are (H, W)."""
    if _is_nifti(path):
        image = _nifti(path)
        try:
            values = np.asanyarray(image.dataobj).T
        # zlib.error, which a damaged .gz raises, derives from Exception alone.
        except Exception as err:
            raise _unreadable(path, str(err)) from err
    else:
        reader = _meta_image(path)
        try:
            values = SimpleITK.GetArrayFromImage(reader.Execute())
        except RuntimeError as err:
            raise _unreadable(path, "the pixels in it or in its data file are not complete") from err
    if values.dtype.kind not in "uif":
        raise InputError(f"'{path}' holds {values.dtype}, expected integers or real numbers")
    return np.ascontiguousarray(values.reshape(_two_sides(values.shape, path)))


def _two_sides(shape: tuple[int, ...], path: PathLike) -> tuple[int, int]:
    """(H, W) of an array whose further axes, which lie in front, have length 1."""
    if len(shape) < 2 or any(side != 1 for side in shape[:-2]) or 0 in shape:
        raise InputError(f"'{path}' has shape {shape}, expected one 2-D image [H, W] or [1, H, W]")
    return shape[-2], shape[-1]


def _is_nifti(path: PathLike) -> bool:
    return os.fspath(path).lower().endswith(NIFTI)


def _nifti(path: PathLike) -> Any:
    _require_file(path)
    try:
        return nibabel.load(path)  # type: ignore[attr-defined]
    except Exception as err:  # nibabel lets zlib's and struct's errors through
        raise _unreadable(path, str(err)) from err


def _meta_image(path: PathLike) -> SimpleITK.ImageFileReader:
    """A reader that has read the header, and whose data file exists."""
    _require_file(path)
    reader = SimpleITK.ImageFileReader()
    # Without a named reader, ITK asks each of its formats about a file that is none of them.
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    # ITK's own last line is "Reason: Success".
    except RuntimeError as err:
        raise _unreadable(path, "no MetaImage header") from err
    with open(path, "rb") as file:
        named = re.search(rb"^ElementDataFile *= *(\S.*?)\s*$", file.read(_HEADER_BYTES), re.MULTILINE)
    data = Path(path).parent / (named[1].decode(errors="replace") if named else "LOCAL")
    if data.name not in _WITHOUT_DATA_FILE and "%" not in data.name and not data.is_file():
        raise InputError(f"'{path}': its data file '{data}' does not exist")
    return reader


def _require_file(path: PathLike) -> None:
    if not Path(path).is_file():
        raise InputError(f"image file '{path}' does not exist")


def _unreadable(path: PathLike, reason: str) -> InputError:
    return InputError(
        f"'{path}' cannot be read as an image (truncated, or another format): {' '.join(reason.split())}"
    )
