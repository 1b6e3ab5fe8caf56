"""Where pydicom 3 and pydicom 2.4 differ for us: MONAI Label needs the latter."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

_SINCE_3 = int(pydicom.__version__.split(".")[0]) >= 3
_pixels: Any = import_module("pydicom.pixels" if _SINCE_3 else "pydicom.pixel_data_handlers.util")


def decode_pixels(dataset: Any) -> NDArray:
    """Stored values of a dataset that was read whole, colour as RGB; a palette stays one of indices.

    Raises:
        RuntimeError, NotImplementedError: there is no decoder for the transfer syntax.
        ValueError, AttributeError, IndexError: the pixels do not fit the header.
    """
    if _SINCE_3:
        return _pixels.pixel_array(dataset)
    try:
        values, kind = dataset.pixel_array, dataset.PhotometricInterpretation
    except (AttributeError, OSError) as err:
        # Of Pillow, which has changed since: it cannot be used here.
        raise RuntimeError(str(err)) from err
    if kind in ("YBR_FULL", "YBR_FULL_422"):
        values = _pixels.convert_color_space(values, kind, "RGB", per_frame=values.ndim == 4)
    return values


def apply_palette(indices: NDArray, dataset: Any) -> NDArray:
    """Colours, uint8 or uint16, of the indices of a PALETTE COLOR image, on a new last axis."""
    return np.asarray(_pixels.apply_color_lut(indices, dataset))


def encoding_of(dataset: Any) -> tuple[bool, bool]:
    """Whether a dataset that was read has implicit value representations, and whether it is little endian."""
    if _SINCE_3:
        return dataset.original_encoding
    return bool(dataset.read_implicit_vr), bool(dataset.read_little_endian)


def save_dicom(dataset: Any, path: str) -> None:
    """Write a dataset whose ``file_meta`` says Explicit VR Little Endian as a complete DICOM file."""
    if _SINCE_3:
        dataset.save_as(path, enforce_file_format=True)
        return
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.save_as(path, write_like_original=False)
