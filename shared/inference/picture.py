"""An image as it lies in a file, and what is needed to write its enhanced form like it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Stored values of one image, without any scaling.

    Attributes:
        pixels: stored values, [C, H, W] or [C, H, W, S] for a raster (``affine`` is None; S pages or frames), and
            [C, X, Y], [C, X, Y, Z] or [C, X, Y, Z, T] for a volume in the order of its NIfTI axes.
        affine: 4 x 4 matrix from voxel indices to millimetres in RAS+, or None for a raster.
        bits: number of bits that the values of an integer image can use; None where the range says nothing,
            as for float images, NIfTI, CT and MR.
        slope, intercept: unit = stored value * slope + intercept (HU for CT).
        inverted: True where small stored values are shown bright (DICOM MONOCHROME1).
        acquired_axis: axis of a volume (0, 1 or 2) along which its slices were acquired, where the file says so, as
            DICOM does; None where it does not.
        files: the files of a DICOM series in the order of the slices; empty for an image in one file.
    """

    pixels: NDArray
    affine: NDArray[np.float64] | None = None
    bits: int | None = None
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    acquired_axis: int | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceRecord:
    """What turns the network's output back into the source's layout and intensities.

    It travels through data loader, network and MONAI Label as one string of JSON, which no collate function
    touches. What belongs to a file format (headers, profiles, alpha) is read again from ``source`` at writing.

    Attributes:
        source: path of the image file; of a DICOM series its folder, or its first file where a list was given.
        dtype: NumPy name of the stored type.
        shape: spatial shape of the source, without channels.
        affine: see :class:`Picture`.
        slice_axis: axis of the canonical (RAS+) volume along which it was cut into slices; None for a raster.
        black, white: stored values that were mapped to 0 and 1; ``black > white`` for an inverted image.
        lowest, highest: range of the source's stored values, which the enhanced ones never leave.
        transposed: whether the network saw the slices with their two axes exchanged.
        files: the files of a DICOM series in the order of the slices; empty for an image in one file.
    """

    source: str
    dtype: str
    shape: tuple[int, ...]
    affine: list[list[float]] | None
    slice_axis: int | None
    black: float
    white: float
    lowest: float
    highest: float
    transposed: bool = False
    files: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceRecord:
        """The record that :meth:`to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "shape": tuple(fields["shape"]), "files": tuple(fields["files"])})
