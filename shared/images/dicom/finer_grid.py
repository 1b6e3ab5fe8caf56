"""DICOM attributes that count in pixels or say where they lie, for an image with more pixels over the same space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydicom.valuerep import format_number_as_ds

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ImagePlanePixelSpacing")
# Rows or columns of the image, counted from 1.
_ROWS = (
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "CollimatorUpperHorizontalEdge",
    "CollimatorLowerHorizontalEdge",
)
_COLUMNS = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "CollimatorLeftVerticalEdge",
    "CollimatorRightVerticalEdge",
)
# Pairs of row and column.
_POINTS = (
    "CenterOfCircularShutter",
    "CenterOfCircularCollimator",
    "VerticesOfThePolygonalShutter",
    "VerticesOfThePolygonalCollimator",
)
_RADII = ("RadiusOfCircularShutter", "RadiusOfCircularCollimator")
# Of an ultrasound region, counted from 0: along x, then along y.
_REGION_PLACES = (
    ("DopplerSampleVolumeXPosition", "TMLinePositionX0", "TMLinePositionX1"),
    ("DopplerSampleVolumeYPosition", "TMLinePositionY0", "TMLinePositionY1"),
)


def refine(dataset: Any, row_factor: int, column_factor: int) -> None:
    """Let a dataset speak of ``row_factor`` times more rows and ``column_factor`` times more columns.

    Pixels cover the same space: spacing shrinks, and the centre of the first pixel, which is what
    ImagePositionPatient means, moves towards the corner of the image. Adapted are spacing and position (in functional
    groups and in the detectors of nuclear medicine too), ultrasound regions, shutters and collimators, the shift of a
    mask, and Rows and Columns. Overlays are taken out.

    Args:
        dataset: changed in place.
        row_factor: at least 1.
        column_factor: at least 1.
    """
    if row_factor == column_factor == 1:
        return
    dataset.Rows, dataset.Columns = dataset.Rows * row_factor, dataset.Columns * column_factor
    _refine_planes(dataset, row_factor, column_factor)
    for region in dataset.get("SequenceOfUltrasoundRegions") or []:
        _refine_region(region, row_factor, column_factor)
    _refine_edges(dataset, row_factor, column_factor)
    for mask in dataset.get("MaskSubtractionSequence") or []:
        if mask.get("MaskSubPixelShift"):
            shift = mask.MaskSubPixelShift
            mask.MaskSubPixelShift = [float(shift[0]) * row_factor, float(shift[1]) * column_factor]
    for tag in [element.tag for element in dataset if element.tag.group in range(0x6000, 0x6020)]:
        del dataset[tag]


def _refine_planes(dataset: Any, row_factor: int, column_factor: int) -> None:
    """Positions first: they move by parts of the spacing that still holds."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    detectors = list(dataset.get("DetectorInformationSequence") or [])
    for frame in frames:
        _move(frame, [frame, *shared, dataset], row_factor, column_factor)
    for place in (dataset, *shared, *detectors):
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


def _refine_region(region: Any, row_factor: int, column_factor: int) -> None:
    """A region's borders are whole pixels from 0, its reference pixel lies at the centre of one."""
    for factor, axis, first, last, places in (
        (column_factor, "X", "RegionLocationMinX0", "RegionLocationMaxX1", _REGION_PLACES[0]),
        (row_factor, "Y", "RegionLocationMinY0", "RegionLocationMaxY1", _REGION_PLACES[1]),
    ):
        if region.get(first) is not None and region.get(last) is not None:
            region[first].value = region[first].value * factor
            region[last].value = (region[last].value + 1) * factor - 1
        delta, value = region.get(f"PhysicalDelta{axis}"), region.get(f"ReferencePixelPhysicalValue{axis}")
        if region.get(f"ReferencePixel{axis}0") is not None:
            reference = region[f"ReferencePixel{axis}0"]
            reference.value = reference.value * factor
            if delta is not None and value is not None:
                # The first of the pixels that the old one became lies this much before its centre.
                region[f"ReferencePixelPhysicalValue{axis}"].value = value + delta * (1 / factor - 1) / 2
        if delta is not None:
            region[f"PhysicalDelta{axis}"].value = delta / factor
        for name in places:
            if region.get(name) is not None:
                region[name].value = int(np.floor((region[name].value + 0.5) * factor))


def _refine_edges(dataset: Any, row_factor: int, column_factor: int) -> None:
    for names, factor in ((_ROWS, row_factor), (_COLUMNS, column_factor)):
        for name in names:
            if dataset.get(name) is not None:
                setattr(dataset, name, _edge(dataset[name].value, factor))
    for name in _POINTS:
        if dataset.get(name):
            factors = (row_factor, column_factor) * (len(dataset[name].value) // 2)
            values = zip(dataset[name].value, factors, strict=True)
            setattr(dataset, name, [_edge(value, factor) for value, factor in values])
    for name in _RADII:
        if dataset.get(name) is not None:
            setattr(dataset, name, int(dataset[name].value) * max(row_factor, column_factor))


def _edge(place: Any, factor: int) -> int:
    """Row or column at the centre of what a row or column, counted from 1, became; 0 and less lie outside."""
    return int(np.floor((int(place) - 0.5) * factor)) + 1


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
