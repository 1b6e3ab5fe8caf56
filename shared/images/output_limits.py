"""What DICOM and NIfTI cannot hold, told from the header of a source before anything is enhanced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from shared.images import itk_volumes
from shared.images.layout import shown_slices, slice_axis
from shared.images.nifti import nifti_header
from shared.images.nifti_header import place_of
from shared.images.rasters import raster_form
from shared.images.tiff import image_axes
from shared.images.tiff_samples import form_of

_LONGEST = {"dicom": 2**16 - 1, "nifti": 2**15 - 1}
_NAMES = {"dicom": "DICOM", "nifti": "NIfTI"}
_RIGHT_ANGLE = 1e-3


class Stored(NamedTuple):
    """An image by its header.

    Attributes:
        dtype: of a value, as it is read.
        channels: 1 for grey, 3 for colour.
        shape: height and width and pages of a raster, or the axes of a volume.
        affine: matrix of a volume; None for a raster.
    """

    dtype: np.dtype
    channels: int
    shape: tuple[int, ...]
    affine: NDArray[np.float64] | None = None


def header_of(path: str, image_format: str) -> Stored:
    """Read the header of an image.

    Args:
        path: of the file.
        image_format: name of its format, any but DICOM.
    """
    if image_format in (itk_volumes.META_IMAGE, itk_volumes.NRRD):
        return _itk_volume(path, image_format)
    return {"TIFF": _tiff, "NIfTI": _nifti}.get(image_format, _raster)(path)


def cannot_hold(output_format: str, source: Stored, plane: str | None) -> str | None:
    """What keeps an image from being written as DICOM or NIfTI, as a part of a message; None where nothing does.

    Args:
        output_format: one of ``OUTPUT_FORMATS``.
        source: the image.
        plane: in which a volume is cut; None where that is not known yet.
    """
    if output_format not in _NAMES:
        return None
    name, longest = _NAMES[output_format], _LONGEST[output_format]
    if source.channels > 1 and source.dtype != np.uint8:
        return f"colour of type {source.dtype}, expected 8 bits to write it as {name}"
    if max(source.shape) > longest:
        return f"an axis of {max(source.shape)} pixels, expected at most {longest} to write it as {name}"
    if output_format == "dicom":
        return None if source.affine is None else _no_planes(source.shape, source.affine, plane)
    if source.dtype.kind not in "iuf" or source.dtype.name in ("int64", "uint64", "float16"):
        return f"type {source.dtype}, expected integers of 8 to 32 bits, float32 or float64 to write it as {name}"
    return None


def _no_planes(shape: tuple[int, ...], affine: NDArray[np.float64], plane: str | None) -> str | None:
    """What keeps a volume from being slices of DICOM."""
    if len(shape) > 3:
        return "a series of volumes, expected one image or volume to write as DICOM"
    if plane is None:
        return None
    nothing = np.broadcast_to(np.uint8(0), (1, *shape))
    _, place = shown_slices(nothing, affine, slice_axis(shape, affine, plane))
    axes = place[:3, :2] / np.linalg.norm(place[:3, :2], axis=0)
    is_right = abs(axes[:, 0] @ axes[:, 1]) < _RIGHT_ANGLE
    return None if is_right else "axes that are not at right angles, which DICOM images cannot have"


def _raster(path: str) -> Stored:
    return Stored(*raster_form(path))


def _itk_volume(path: str, image_format: str) -> Stored:
    header = itk_volumes.header_of(path, image_format)
    return Stored(header.dtype, header.channels, header.size, header.affine)


def _tiff(path: str) -> Stored:
    with tifffile.TiffFile(path) as file:
        axes, shape = image_axes(path, file)
        form = form_of(path, file.series[0].keyframe)
    sizes = dict(zip(axes, shape, strict=True))
    stack = tuple(sizes[axis] for axis in axes if axis not in "YXS")
    return Stored(form.dtype, form.channels, (sizes["Y"], sizes["X"], *stack))


def _nifti(path: str) -> Stored:
    header = nifti_header(path)
    dtype = header.get_data_dtype()
    affine, _ = place_of(header)
    return Stored(dtype["R"] if dtype.fields else dtype, 3 if dtype.fields else 1, header.get_data_shape(), affine)
