"""Which DICOM files are the slices of one volume."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate, combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.inference.dicom.geometry import frame_count, orientation, pixel_spacing, positions, uneven
from shared.inference.dicom.reading import read_header
from shared.inference.dicom.values import is_colour

# Millimetres; scanners write positions to some digits.
_SAME_PLACE = 1e-3
_SHARED_ATTRIBUTES = (
    # Files without a series UID, as bad anonymisation leaves them, must not become one volume of two patients.
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PhotometricInterpretation",
)
# What tells the volumes of one series apart, where several slices lie in one place.
_VOLUME_ATTRIBUTES = (
    "EchoTime",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "ImageType",
    "AcquisitionNumber",
    "TriggerTime",
    "AcquisitionTime",
)


def group_slices(headers: Mapping[str, Any]) -> list[list[str]]:
    """Put together the files that are the slices of one volume.

    Slices of one volume are single-frame files of one folder, with one patient, study and SeriesInstanceUID, one SOP
    class, size, orientation, spacing, photometric interpretation and bit depth, each at a place of its own. Where a
    series has several slices in each place (echoes, phases, b-values, passes), an attribute that parts it into volumes
    of all places is looked for. All other files (localizers in several planes, photographs, a cine of one slice) stay
    images of their own.

    Args:
        headers: of the files, by path.

    Returns:
        Paths, sorted along the normal of the slices within a volume; groups in the order of ``headers``.
    """
    alike: dict[tuple, list[list[str]]] = defaultdict(list)
    for path, header in headers.items():
        candidates = alike[_common(path, header)]
        group = next((group for group in candidates if _parallel(header, headers[group[0]])), None)
        if group is None:
            candidates.append(group := [])
        group.append(path)
    groups = [group for candidates in alike.values() for paths in candidates for group in _volumes(paths, headers)]
    order = {path: number for number, path in enumerate(headers)}
    return sorted(groups, key=lambda group: min(order[path] for path in group))


def series_of(name: str, paths: Sequence[str]) -> list[str]:
    """Return the files of a DICOM series in the order of its slices.

    Args:
        name: what messages call them.
        paths: the files, in any order.

    Raises:
        InputError: there is none, one is not readable, or they are more than one volume: the message lists what there
            is.
    """
    if not paths:
        raise InputError(f"{name}: found no DICOM image, expected the files of one series")
    headers = {path: read_header(path) for path in paths}
    groups = group_slices(headers)
    if len(groups) == 1:
        return groups[0]
    found = [describe(group, headers) for group in groups[:6]] + ["..."] * (len(groups) > 6)
    raise InputError(f"{name}: holds {len(groups)} images, expected one series of slices: {', '.join(found)}")


def describe(files: Sequence[str], headers: Mapping[str, Any]) -> str:
    """A series as messages name it: its name, number of files and first file."""
    first = Path(files[0]).name
    count = f"{len(files)} slices from {first}" if len(files) > 1 else first
    return f"{series_name(headers[files[0]])} ({count})"


def series_name(header: Any) -> str:
    """Name for the folder or file of a series: number and description, else its UID; safe in any file system."""
    number, description = header.get("SeriesNumber"), str(header.get("SeriesDescription") or "")
    words = re.sub(r"[^A-Za-z0-9]+", "_", description).strip("_")[:48]
    if number is None:
        return words or f"series_{header.get('SeriesInstanceUID', 'unknown')}"
    # Not as a number: a malformed one is no reason to refuse the series.
    return f"{re.sub(r'[^A-Za-z0-9-]', '_', str(number)).zfill(3)}_{words or 'series'}"


def gap_in(files: Sequence[str]) -> str | None:
    """What keeps the slices of these files from one regular grid, as a part of a message; None where they lie on it."""
    return uneven([read_header(path) for path in files])


def _common(path: str, header: Any) -> tuple:
    """What all slices of a volume have in common; the file itself where it can be no slice."""
    if orientation(header) is None or positions(header) is None or pixel_spacing(header) is None or _is_stack(header):
        return (path,)
    return (str(Path(path).parent), is_colour(header), *(str(header.get(name)) for name in _SHARED_ATTRIBUTES))


def _is_stack(header: Any) -> bool:
    return frame_count(header) > 1 or "PerFrameFunctionalGroupsSequence" in header


def _parallel(header: Any, other: Any) -> bool:
    """Decimal strings of one scanner differ in their last digits."""
    planes: Any = (orientation(header), orientation(other))
    spacings: Any = (pixel_spacing(header), pixel_spacing(other))
    return np.allclose(planes[0], planes[1], atol=1e-3) and np.allclose(spacings[0], spacings[1], rtol=1e-3)


def _volumes(paths: list[str], headers: Mapping[str, Any]) -> list[list[str]]:
    if len(paths) == 1:
        return [paths]
    places = _places(paths, headers)
    count = len(set(places.values()))
    if count == len(paths):
        return [sorted(paths, key=places.__getitem__)]
    choices = [choice for size in (1, 2) for choice in combinations(_VOLUME_ATTRIBUTES, size)]
    for choice in choices if count > 1 else ():
        parts: dict[tuple, list[str]] = defaultdict(list)
        for path in paths:
            parts[tuple(str(headers[path].get(name)) for name in choice)].append(path)
        if all(len(part) == len({places[path] for path in part}) == count for part in parts.values()):
            return [sorted(part, key=places.__getitem__) for part in parts.values()]
    return [[path] for path in paths]


def _places(paths: list[str], headers: Mapping[str, Any]) -> dict[str, int]:
    """Number of the place of each slice along the normal; slices closer than ``_SAME_PLACE`` share one."""
    planes: Any = orientation(headers[paths[0]])
    normal = np.cross(*planes)
    along = {path: float(normal @ np.array(headers[path].ImagePositionPatient, float)) for path in paths}
    ordered = sorted(paths, key=along.__getitem__)
    steps = [along[after] - along[before] > _SAME_PLACE for before, after in pairwise(ordered)]
    return dict(zip(ordered, accumulate([0, *(int(step) for step in steps)]), strict=True))
