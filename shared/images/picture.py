"""An image as it lies in a file, and what is needed to write its enhanced form like it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Stored values of one image, without any scaling.

    Attributes:
        pixels: stored values, [C, H, W] or [C, H, W, S] for a raster (``affine`` is None; S pages or frames), and
            [C, X, Y], [C, X, Y, Z] or [C, X, Y, Z, T] for a volume in the order of its NIfTI axes.
        affine: 4 x 4 matrix from voxel indices to millimetres in RAS+, or None for a raster.
        bits: number of bits that the file has for a value of an integer image, an upper bound of what its values use;
            None where the range says nothing, as for float images, NIfTI, CT and MR.
        slope, intercept: unit = stored value * slope + intercept (HU for CT).
        inverted: True where small stored values are shown bright (DICOM MONOCHROME1).
        acquired_axis: axis of a volume (0, 1 or 2) along which its slices were acquired, where the file says so, as
            DICOM does; None where it does not.
        files: the files of a DICOM series in the order of the slices; empty for an image in one file.
        window: stored values that the file itself wants to be shown black and white (DICOM's first VOI window).
        parts: for each slice along the last axis of ``pixels`` the number of the scale that it belongs to, as the
            frames of one file may be of different kinds (magnitude and field map); empty where all belong to one.
        missing: where there is no value (NaN), the shape of ``pixels``, which hold the darkest value there; None where
            there is one everywhere.
        modality: as a DICOM header names it; None where the file does not say.
        notes: what a person should be told about this image, each a part of a sentence.
    """

    pixels: NDArray
    affine: NDArray[np.float64] | None = None
    bits: int | None = None
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    acquired_axis: int | None = None
    files: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    parts: tuple[int, ...] = ()
    missing: NDArray[np.bool_] | None = None
    modality: str | None = None
    notes: tuple[str, ...] = ()


def frames_of(picture: Picture, part: int) -> Picture:
    """The frames of one kind, as an image of their own."""
    chosen = np.array(picture.parts) == part
    missing = None if picture.missing is None else picture.missing[..., chosen]
    return replace(picture, pixels=picture.pixels[..., chosen], missing=missing, parts=())


@dataclass(frozen=True)
class Intensities:
    """How the stored values of an image, or of one kind of its frames, go to [0, 1] and back.

    Attributes:
        black, white: stored values that go to 0 and to 1; ``black > white`` for an inverted image.
        lowest, highest: stored values that the network gets to see: values beyond are clipped for it, and come out as
            they went in. Enhanced values never leave this range.
        bits: depth that the values use, where that was the rule.
    """

    black: float
    white: float
    lowest: float
    highest: float
    bits: int | None = None


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
        black, white, lowest, highest, bits: see :class:`Intensities`; of the first kind of frames where there are more.
        transposed: whether the network saw the slices with their two axes exchanged.
        files: the files of a DICOM series in the order of the slices; empty for an image in one file.
        parts: see :class:`Picture`.
        others: intensities of the further kinds of frames.
        kept: number of values that come out as they went in: missing ones, and those beyond ``lowest`` and ``highest``.
        scaling: in words, which stored values went to 0 and 1 and why.
        modality, notes: see :class:`Picture`.
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
    bits: int | None = None
    parts: tuple[int, ...] = ()
    others: tuple[Intensities, ...] = ()
    kept: int = 0
    scaling: str = ""
    modality: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def intensities(self) -> tuple[Intensities, ...]:
        """Of each kind of frames, by its number in ``parts``."""
        return (Intensities(self.black, self.white, self.lowest, self.highest, self.bits), *self.others)

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceRecord:
        """The record that :meth:`to_json` wrote."""
        fields = json.loads(text)
        lists = {name: tuple(fields[name]) for name in ("shape", "files", "parts", "notes")}
        return cls(**{**fields, **lists, "others": tuple(Intensities(**other) for other in fields["others"])})
