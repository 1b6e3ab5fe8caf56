"""One 2-D image from a file of any format, as it is displayed: rows from the top, columns from the left."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

from shared.errors import InputError, first_line
from shared.images.formats import check_picture, read_picture
from shared.images.picture import Picture

PathLike = str | os.PathLike[str]
NIFTI = (".nii", ".nii.gz")
META_IMAGE = (".mhd", ".mha")


def is_medical(path: PathLike) -> bool:
    """Whether the name is that of a NIfTI or MetaImage file."""
    return os.fspath(path).lower().endswith((*NIFTI, *META_IMAGE))


def read_plane(path: PathLike, labels: bool = False) -> Picture:
    """Read the one 2-D image in a file, its values [C, H, W] as stored.

    The first axis of a file whose axes have a place in space (NIfTI, MetaImage, NRRD, DICOM) runs from left to right.

    Args:
        path: of the file.
        labels: whether it may say that it is a label map.

    Raises:
        InputError: missing, unreadable, or more than one 2-D image.
    """
    picture = read_picture(path, labels)
    shape = picture.pixels.shape
    if any(side != 1 for side in shape[3:]):
        raise InputError(f"{path}: holds {int(np.prod(shape[3:]))} slices, expected one 2-D image")

    def displayed(values: NDArray[Any]) -> NDArray[Any]:
        plane = values.reshape(shape[:3])
        return plane if picture.affine is None else plane.swapaxes(1, 2)

    missing = None if picture.missing is None else displayed(picture.missing)
    return replace(picture, pixels=displayed(picture.pixels), missing=missing, parts=())


def plane_size(path: PathLike) -> tuple[int, int]:
    """Return (H, W) from the header of a NIfTI or MetaImage file; the pixels are not read.

    Raises:
        InputError: missing, unreadable, or more than one 2-D image.
    """
    if os.fspath(path).lower().endswith(NIFTI):
        shape = _nifti_shape(path)
    else:
        check_picture(path)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("MetaImageIO")
        reader.SetFileName(os.fspath(path))
        reader.ReadImageInformation()
        shape = reader.GetSize()
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise InputError(f"{path}: has the shape {tuple(shape)}, expected one 2-D image")
    return shape[1], shape[0]


def label_plane(path: PathLike) -> Image.Image:
    """Read a label map, as a Pillow image of mode "I" that holds the stored values.

    Raises:
        InputError: missing, unreadable, more than one 2-D image, or values that are no whole numbers from 0 to 255.
    """
    picture = read_plane(path, labels=True)
    values = picture.pixels[0] * picture.slope + picture.intercept
    labels = values.astype(np.int32)
    if len(picture.pixels) > 1 or (labels != values).any() or labels.min() < 0 or labels.max() > 255:
        raise InputError(
            f"label map '{path}' ({picture.pixels.dtype}) has values from {values.min():g} to {values.max():g}, "
            "expected whole numbers from 0 to 255"
        )
    return Image.fromarray(labels)


def _nifti_shape(path: PathLike) -> tuple[int, ...]:
    try:
        return tuple(nibabel.load(path).shape)  # type: ignore[attr-defined]
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except Exception as err:  # nibabel lets zlib's and struct's errors through
        raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err
