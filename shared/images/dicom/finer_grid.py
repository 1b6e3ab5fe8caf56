"""DICOM attributes that say where pixels lie, for an image with more pixels over the same space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pydicom.valuerep import format_number_as_ds

from shared.errors import InputError

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ImagePlanePixelSpacing")
# What says in pixels of the image where something lies: shutters, collimators, calibrated regions of ultrasound.
_IN_PIXELS = (
    *(
        f"{part}{edge}Edge"
        for part in ("Shutter", "Collimator")
        for edge in ("UpperHorizontal", "LowerHorizontal", "LeftVertical", "RightVertical")
    ),
    *(
        name
        for part in ("Shutter", "Collimator")
        for name in (f"CenterOfCircular{part}", f"RadiusOfCircular{part}", f"VerticesOfThePolygonal{part}")
    ),
    "SequenceOfUltrasoundRegions",
)
# The same within the items of a sequence: the shift of a subtracted mask, the place of a gamma camera's detector.
_IN_PIXELS_WITHIN = {
    "MaskSubtractionSequence": "MaskSubPixelShift",
    "DetectorInformationSequence": "ImagePositionPatient",
}


def refine(dataset: Any, row_factor: int, column_factor: int, path: str) -> None:
    """Let a dataset speak of ``row_factor`` times more rows and ``column_factor`` times more columns.

    Pixels cover the same space: spacing shrinks, and the centre of the first pixel, which is what
    ImagePositionPatient means, moves towards the corner of the image. Adapted are spacing and position, in functional
    groups too, and Rows and Columns. Overlays are taken out.

    Args:
        dataset: changed in place.
        row_factor: at least 1.
        column_factor: at least 1.
        path: of the source, for the message.

    Raises:
        InputError: something else counts in pixels of the source: a shutter, a collimator, a calibrated region, ...
    """
    if row_factor == column_factor == 1:
        return
    name = next(_of_the_source_grid(dataset), None)
    if name is not None:
        raise InputError(
            f"{path}: {name} lies on the source's grid, expected an image without it for one of {row_factor} times as "
            f"many rows and {column_factor} times as many columns in DICOM; write NIfTI or PNG from it"
        )
    dataset.Rows, dataset.Columns = dataset.Rows * row_factor, dataset.Columns * column_factor
    _refine_planes(dataset, row_factor, column_factor)
    for tag in [element.tag for element in dataset if element.tag.group in range(0x6000, 0x6020)]:
        del dataset[tag]


def _of_the_source_grid(dataset: Any) -> Iterator[str]:
    """Attributes that would be wrong of a finer grid, and are not empty."""
    yield from (name for name in _IN_PIXELS if name in dataset and not dataset[name].is_empty)
    for sequence, name in _IN_PIXELS_WITHIN.items():
        if any(name in item and not item[name].is_empty for item in _items(dataset, sequence)):
            yield f"{name} in {sequence}"


def _refine_planes(dataset: Any, row_factor: int, column_factor: int) -> None:
    """Positions first: they move by parts of the spacing that still holds."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    for frame in frames:
        _move(frame, [frame, *shared, dataset], row_factor, column_factor)
    for place in (dataset, *shared):
        _move(place, [place, *shared, *frames[:1], dataset], row_factor, column_factor)
    if dataset.get("RTImagePosition") and dataset.get("ImagePlanePixelSpacing"):
        # Of the first pixel's centre in the plane of the image receptor, whose y axis points up.
        x, y = (float(value) for value in dataset.RTImagePosition)
        row, column = (float(value) for value in dataset.ImagePlanePixelSpacing)
        x, y = x + column * (1 / column_factor - 1) / 2, y - row * (1 / row_factor - 1) / 2
        dataset.RTImagePosition = [_decimal(x), _decimal(y)]
    for place in (dataset, *shared, *frames):
        for holder in (place, *_items(place, "PixelMeasuresSequence")):
            for name in _SPACINGS:
                if holder.get(name):
                    row, column = (float(value) for value in holder[name].value)
                    setattr(holder, name, [_decimal(row / row_factor), _decimal(column / column_factor)])


def _move(place: Any, searched: Iterable[Any], row_factor: int, column_factor: int) -> None:
    """Move the position in ``place`` to the centre of its new first pixel.

    Args:
        place: a dataset or a functional group.
        searched: where orientation and spacing are looked for.
        row_factor: of the rows.
        column_factor: of the columns.
    """
    searched = list(searched)
    planes = _find(searched, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _find(searched, "PixelMeasuresSequence", "PixelSpacing")
    if planes is None or spacing is None:
        return
    along_row, along_column = np.array(planes, float).reshape(2, 3)
    shift = along_row * float(spacing[1]) * (1 / column_factor - 1) / 2
    shift = shift + along_column * float(spacing[0]) * (1 / row_factor - 1) / 2
    for holder in (place, *_items(place, "PlanePositionSequence")):
        if holder.get("ImagePositionPatient"):
            moved = np.array(holder.ImagePositionPatient, float) + shift
            holder.ImagePositionPatient = [_decimal(float(value)) for value in moved]


def _items(place: Any, sequence: str) -> list[Any]:
    return list(place.get(sequence) or [])


def _find(places: Iterable[Any], sequence: str, name: str) -> Any:
    for place in places:
        for holder in (*_items(place, sequence), place):
            if holder.get(name):
                return holder[name].value
    return None


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters, the most that DICOM allows."""
    return format_number_as_ds(value)
