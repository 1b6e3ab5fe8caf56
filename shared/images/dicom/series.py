"""Which DICOM files are the slices of one volume."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import InputError, NoIntensities
from shared.images.dicom.geometry import frame_count, orientation, pixel_spacing, positions, uneven
from shared.images.dicom.reading import read_header
from shared.images.dicom.values import is_colour

logger = logging.getLogger(__name__)

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
# What makes the volumes of one series differ in kind, and what only counts them, in the order in which it is tried.
_KIND_ATTRIBUTES = ("EchoTime", "DiffusionBValue", "ImageType")
_VOLUME_ATTRIBUTES = (
    "EchoTime",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "ImageType",
    "AcquisitionNumber",
    "TriggerTime",
    "AcquisitionTime",
)
_LONGEST_WORDS, _LONGEST_NUMBER, _LONGEST_UID = 48, 12, 64
# Names that Windows keeps for devices, whatever their case.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


def group_slices(headers: Mapping[str, Any]) -> list[list[str]]:
    """Put together the files that are the slices of one volume.

    Slices of one volume are single-frame files of one folder, with one patient, study and SeriesInstanceUID, one SOP
    class, size, orientation, spacing, photometric interpretation and bit depth, each at a place of its own. Where a
    series has several slices in each place (echoes, phases, b-values, passes), attributes that part it into volumes of
    all places are looked for. Where there are none, as in time series of older scanners, the slices of the k-th
    InstanceNumber in each place are volume k. All other files (localizers in several planes, photographs, a cine of one
    slice) stay images of their own.

    Args:
        headers: of the files, by path.

    Returns:
        Paths, sorted along the normal of the slices within a volume; groups in the order of ``headers``.
    """
    groups = [group for paths in _alike(headers, headers) for group in _volumes(paths, headers)]
    order = {path: number for number, path in enumerate(headers)}
    return sorted(groups, key=lambda group: min(order[path] for path in group))


def time_series(groups: Sequence[Sequence[str]], headers: Mapping[str, Any]) -> list[list[str]]:
    """For each image the files of the whole time series that it belongs to, all of which have one scale.

    Volumes of one series belong together where only time (or an order of instances) tells them apart, and not what they
    show: echo time, b-value and image type are the same. So do the files of one place, as a cine has them.

    Args:
        groups: as :func:`group_slices` gives them.
        headers: of the files, by path.

    Returns:
        One list for each group, the same one for all groups of a time series; its own files for any other image.
    """
    numbers = {group[0]: number for number, group in enumerate(groups)}
    found = [list(group) for group in groups]
    for firsts in _alike(numbers, headers):
        if len(firsts) == 1:
            continue
        sizes = {len(groups[numbers[first]]) for first in firsts}
        if 1 in sizes and (len(sizes) > 1 or len(set(_places(firsts, headers).values())) > 1):
            continue
        for members in _parted(firsts, headers, _KIND_ATTRIBUTES):
            files = [path for first in members for path in groups[numbers[first]]]
            for first in members:
                found[numbers[first]] = files
    return found


def series_of(name: str, paths: Sequence[str]) -> list[str]:
    """Return the files of a DICOM series in the order of its slices.

    Files without an image of intensities (structure sets, label maps, reports), as lie beside many series, are left out
    and logged.

    Args:
        name: what messages call them.
        paths: the files, in any order.

    Raises:
        InputError: there is none, one is not readable, or they are more than one volume: the message lists what there
            is.
    """
    headers: dict[str, Any] = {}
    left_out: Counter[str] = Counter()
    for path in paths:
        try:
            headers[path] = read_header(path)
        except NoIntensities as err:
            if len(paths) == 1:
                raise
            left_out[err.kind] += 1
    others = ", ".join(f"{kind} ({count})" for kind, count in left_out.items())
    if not headers:
        found = f"found no DICOM image but {others}" if others else "found no DICOM image"
        raise InputError(f"{name}: {found}, expected the files of one series")
    if others:
        logger.warning("%s: left out %s", name, others)
    groups = group_slices(headers)
    if len(groups) == 1:
        return groups[0]
    listed = [describe(group, headers) for group in groups[:6]] + ["..."] * (len(groups) > 6)
    raise InputError(f"{name}: holds {len(groups)} images, expected one series of slices: {', '.join(listed)}")


def describe(files: Sequence[str], headers: Mapping[str, Any]) -> str:
    """A series as messages name it: its name, number of files and first file."""
    first = Path(files[0]).name
    count = f"{len(files)} slices from {first}" if len(files) > 1 else first
    return f"{series_name(headers[files[0]])} ({count})"


def series_name(header: Any) -> str:
    """Name for the folder or file of a series: number and description, else its UID.

    Whatever the header says, it is one name that any file system takes: ASCII letters, digits, ``_``, ``-`` and ``.``,
    with a letter or digit at both ends, no device of Windows, at most 80 characters.
    """
    # Not as a number: a malformed one is no reason to refuse the series.
    number = _plain(header.get("SeriesNumber"), "-")[:_LONGEST_NUMBER].strip("-")
    words = _plain(header.get("SeriesDescription"))[:_LONGEST_WORDS].rstrip("_")
    if number:
        return f"{number.zfill(3)}_{words or 'series'}"
    if words:
        return f"series_{words}" if words.upper() in _DEVICES else words
    uid = _plain(header.get("SeriesInstanceUID"), ".-")[:_LONGEST_UID].strip("._-")
    return f"series_{uid or 'unknown'}"


def gap_in(files: Sequence[str]) -> str | None:
    """What keeps the slices of these files from one regular grid, as a part of a message; None where they lie on it."""
    return uneven([read_header(path) for path in files])


def _plain(value: Any, kept: str = "") -> str:
    """Letters and digits of a value, and the characters of ``kept``; what lies between them becomes ``_``."""
    return re.sub(rf"[^A-Za-z0-9{re.escape(kept)}]+", "_", "" if value is None else str(value)).strip(f"_{kept}")


def _alike(paths: Iterable[str], headers: Mapping[str, Any]) -> list[list[str]]:
    """The files that can be slices of one volume, or of several in the same place, put together."""
    alike: dict[tuple, list[list[str]]] = defaultdict(list)
    for path in paths:
        candidates = alike[_common(path, headers[path])]
        group = next((group for group in candidates if _parallel(headers[path], headers[group[0]])), None)
        if group is None:
            candidates.append(group := [])
        group.append(path)
    return [group for candidates in alike.values() for group in candidates]


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
    if count == 1:
        return [[path] for path in paths]
    for size in (1, 2):
        for names in combinations(_VOLUME_ATTRIBUTES, size):
            parts = _parted(paths, headers, names)
            if all(len(part) == len({places[path] for path in part}) == count for part in parts):
                return [sorted(part, key=places.__getitem__) for part in parts]
    return _volumes_by_instance(paths, headers, places) or [[path] for path in paths]


def _volumes_by_instance(
    paths: list[str], headers: Mapping[str, Any], places: Mapping[str, int]
) -> list[list[str]] | None:
    """Volume k of the k-th InstanceNumber in each place, for each kind of volumes; None where that parts nothing.

    It does not where a number is missing, or stands twice in one place, or where places have more slices than others.
    """
    volumes = []
    for part in _parted(paths, headers, _KIND_ATTRIBUTES):
        stacks: dict[int, dict[int, str]] = defaultdict(dict)
        for path in part:
            number = _instance_number(headers[path])
            if number is None or number in stacks[places[path]]:
                return None
            stacks[places[path]][number] = path
        if set(stacks) != set(places.values()) or len({len(stack) for stack in stacks.values()}) > 1:
            return None
        in_order = [[path for _, path in sorted(stacks[place].items())] for place in sorted(stacks)]
        volumes += [list(volume) for volume in zip(*in_order, strict=True)]
    return volumes


def _parted(paths: Iterable[str], headers: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    parts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        parts[_values(headers[path], names)].append(path)
    return list(parts.values())


def _values(header: Any, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(header.get(name)) for name in names)


def _instance_number(header: Any) -> int | None:
    try:
        return int(str(header.get("InstanceNumber")))
    except ValueError:
        return None


def _places(paths: list[str], headers: Mapping[str, Any]) -> dict[str, int]:
    """Number of the place of each slice along the normal; slices closer than ``_SAME_PLACE`` share one."""
    planes: Any = orientation(headers[paths[0]])
    normal = np.cross(*planes)
    along = {path: float(normal @ np.array(headers[path].ImagePositionPatient, float)) for path in paths}
    ordered = sorted(paths, key=along.__getitem__)
    steps = [along[after] - along[before] > _SAME_PLACE for before, after in pairwise(ordered)]
    return dict(zip(ordered, accumulate([0, *(int(step) for step in steps)]), strict=True))
