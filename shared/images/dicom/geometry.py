"""Where the pixels of a DICOM image lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Scanners round positions, some to 0.1 mm: up to this part of a step is no missing slice, which makes a third at least.
_UNEVEN = 0.2
# Length of the normal below which two directions span no plane.
_FLAT = 0.1


def frame_count(header: Any) -> int:
    """Number of frames; 1 where the header does not say."""
    return int(getattr(header, "NumberOfFrames", 1) or 1)


def functional_groups(header: Any, frame: int) -> list[Any]:
    """What an enhanced object says about a frame: its own group, then those that hold for all frames."""
    frames = getattr(header, "PerFrameFunctionalGroupsSequence", None)
    own = [frames[frame]] if frames and frame < len(frames) else []
    return [*own, *(getattr(header, "SharedFunctionalGroupsSequence", None) or [])]


def frame_value(header: Any, sequence: str, name: str, frame: int = 0) -> Any:
    """Value of an attribute at the top level, or in the functional groups of an enhanced object; None without it.

    Args:
        header: of the image.
        sequence: keyword of the functional group.
        name: keyword of the attribute.
        frame: number of the frame, from 0.
    """
    if name in header:
        return header[name].value or None
    for group in functional_groups(header, frame):
        if sequence in group and group[sequence].value and name in group[sequence].value[0]:
            return group[sequence].value[0][name].value
    return None


def orientation(header: Any, frame: int = 0) -> NDArray[np.float64] | None:
    """Directions along a row and along a column, [2, 3], in LPS; None where the header does not name a plane."""
    value = frame_value(header, "PlaneOrientationSequence", "ImageOrientationPatient", frame)
    if value is None or len(value) != 6:
        return None
    planes = np.array(value, float).reshape(2, 3)
    # Broken files say zeros. No number at all fails the comparison too.
    return planes if np.linalg.norm(np.cross(planes[0], planes[1])) > _FLAT else None


def positions(header: Any) -> NDArray[np.float64] | None:
    """Centre of the first pixel of each frame, [frames, 3], in LPS millimetres; None where one is missing.

    An object that states one position for all frames has it in each row.
    """
    values = [
        frame_value(header, "PlanePositionSequence", "ImagePositionPatient", frame)
        for frame in range(frame_count(header))
    ]
    if any(value is None or len(value) != 3 for value in values):
        return None
    places = np.array(values, float)
    return places if np.isfinite(places).all() else None


def pixel_spacing(header: Any) -> tuple[float, float] | None:
    """Distance in millimetres between rows and between columns; None where the header does not say."""
    spacing = frame_value(header, "PixelMeasuresSequence", "PixelSpacing")
    for name in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = spacing or getattr(header, name, None)
    if not spacing:
        return None
    row, column = float(spacing[0]), float(spacing[1])
    return (row, column) if 0 < row < np.inf and 0 < column < np.inf else None


def geometry_fault(header: Any) -> str | None:
    """What the header says about the place in the patient and cannot mean, as a part of a sentence; else None."""
    planes = frame_value(header, "PlaneOrientationSequence", "ImageOrientationPatient")
    place = frame_value(header, "PlanePositionSequence", "ImagePositionPatient")
    spacing = frame_value(header, "PixelMeasuresSequence", "PixelSpacing")
    found = [
        ("orientation", planes, planes is not None and len(planes) == 6 and orientation(header) is None),
        ("position", place, place is not None and len(place) == 3 and not np.isfinite(np.array(place, float)).all()),
        ("pixel spacing", spacing, spacing is not None and pixel_spacing(header) is None),
    ]
    for name, value, is_fault in found:
        if is_fault:
            return f"the {name} of the header, {', '.join(str(number) for number in value)}, is impossible and not used"
    return None


def affine_of(headers: Sequence[Any]) -> NDArray[np.float64] | None:
    """Matrix from (column, row, slice) to RAS+ millimetres.

    Args:
        headers: of one file, whose frames are the slices, or of the files of a series in their order.

    Returns:
        None without orientation or position of the patient, and for frames of several orientations. Slices are as far
        apart as their positions say, on average where that differs (see :func:`uneven`); those of one position
        SpacingBetweenSlices, SliceThickness or 1 mm, along the normal of the plane.
    """
    planes, places = orientation(headers[0]), _all_positions(headers)
    if planes is None or places is None or not _one_orientation(headers, planes):
        return None
    row, column = pixel_spacing(headers[0]) or (1.0, 1.0)
    step = np.cross(planes[0], planes[1]) * _thickness(headers[0])
    if len(places) > 1:
        apart = (places[-1] - places[0]) / (len(places) - 1)
        # Frames of a time series share one position: keep the normal then.
        step = apart if np.linalg.norm(apart) > 0 else step
    affine = np.eye(4)
    affine[:3] = np.stack([planes[0] * column, planes[1] * row, step, places[0]], axis=1)
    return LPS_TO_RAS @ affine


def uneven(headers: Sequence[Any]) -> str | None:
    """What keeps the slices from lying on one regular grid, as a part of a message; None where they do.

    Args:
        headers: as for :func:`affine_of`.
    """
    planes, places = orientation(headers[0]), _all_positions(headers)
    if planes is None or places is None or len(places) == 1:
        return None
    if not _one_orientation(headers, planes):
        return "frames of several orientations"
    regular = np.linspace(places[0], places[-1], len(places))
    step = float(np.linalg.norm(places[-1] - places[0])) / (len(places) - 1)
    if np.linalg.norm(places - regular, axis=1).max() <= _UNEVEN * step:
        return None
    gaps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    usual = float(np.median(gaps))
    odd = int(np.argmax(np.abs(gaps - usual)))
    return f"slices {odd + 1} and {odd + 2} are {gaps[odd]:.4g} mm apart, others {usual:.4g} mm"


def _all_positions(headers: Sequence[Any]) -> NDArray[np.float64] | None:
    places = [positions(header) for header in headers]
    found = [place for place in places if place is not None]
    return np.concatenate(found) if len(found) == len(places) else None


def _one_orientation(headers: Sequence[Any], planes: NDArray) -> bool:
    if len(headers) > 1 or "ImageOrientationPatient" in headers[0]:
        return True  # A series is grouped by orientation; one attribute holds for all frames.
    others = (orientation(headers[0], frame) for frame in range(frame_count(headers[0])))
    return all(other is not None and np.allclose(other, planes, atol=1e-3) for other in others)


def _thickness(header: Any) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        value = frame_value(header, "PixelMeasuresSequence", name)
        if value is not None and float(value) > 0:
            return float(value)
    return 1.0
