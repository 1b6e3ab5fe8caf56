"""Several volumes in the same place: what parts them into volumes, and which of them have one scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from shared import InputError
from shared.images import IntensityScaling, read_picture
from shared.images.dicom.reading import read_dicom, read_header, read_time_series
from shared.images.dicom.series import group_slices, time_series
from shared.images.picture import SourceRecord
from shared.inference import LoadSourced, find_images
from tests.images.dicom.dicom_files import AXIAL, MR, OBLIQUE, PET, noise, positions, write_series

PLACES, TIMES = 15, 10


def write_run(
    folder: Path, numbers: Sequence[int | None], planes: np.ndarray = AXIAL, places: int = PLACES, **attributes: Any
) -> list[Path]:
    """Files of all places of volume 0, then of volume 1, ...: each pixel says its volume and place."""
    count = len(numbers)
    order = np.arange(count)
    pixels = np.broadcast_to((100 * (order // places) + order % places)[:, None, None], (count, 4, 4)).astype("int16")
    where = np.tile(positions(planes, places, 2.0), (count // places, 1))
    kind: dict[str, Any] = {"AcquisitionNumber": 1, "AcquisitionTime": "101112", **attributes}
    files = write_series(folder, pixels, MR, "MR", planes=planes, places=where, **kind)
    for path, number in zip(files, numbers, strict=True):
        dataset = pydicom.dcmread(path)
        if number is None:
            del dataset.InstanceNumber
        else:
            dataset.InstanceNumber = number
        dataset.save_as(path)
    return files


def grouped(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    headers = {str(path): read_header(str(path)) for path in sorted(folder.iterdir())}
    groups = group_slices(headers)
    return groups, time_series(groups, headers)


def volumes_of(groups: list[list[str]]) -> list[list[int]]:
    """What the pixels say about each group, in the order of the volumes."""
    return sorted([int(pydicom.dcmread(path).pixel_array[0, 0]) for path in group] for group in groups)


TIME_FIRST = [place * TIMES + time + 1 for time in range(TIMES) for place in range(PLACES)]
PLACE_FIRST = list(range(1, PLACES * TIMES + 1))
EXPECTED = [[100 * time + place for place in range(PLACES)] for time in range(TIMES)]


@pytest.mark.parametrize(
    ("numbers", "planes"),
    [
        (PLACE_FIRST, AXIAL),
        (TIME_FIRST, OBLIQUE),
        # Every place counts for itself, with gaps.
        ([7 * time for time in range(TIMES) for _ in range(PLACES)], AXIAL),
    ],
    ids=["volume after volume", "place after place", "each place for itself"],
)
def test_instance_numbers_make_volumes(tmp_path: Path, numbers: list[int], planes: np.ndarray) -> None:
    """A scanner that writes no time at all: 15 places, 10 times, 150 files."""
    write_run(tmp_path / "scan", numbers, planes)
    items = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    assert len(items) == TIMES
    groups, series = grouped(tmp_path / "scan")
    assert sorted(map(sorted, groups)) == sorted(sorted(item["image"]) for item in items)
    assert volumes_of(groups) == EXPECTED
    assert all(sorted(files) == sorted(path for group in groups for path in group) for files in series)


@pytest.mark.parametrize("rule", [IntensityScaling("minmax"), IntensityScaling("percentile", 0, 100)])
def test_all_volumes_of_a_time_series_have_one_scale(tmp_path: Path, rule: IntensityScaling) -> None:
    """Contrast agent that arrives would be scaled away, were each volume scaled by itself."""
    write_run(tmp_path / "scan", PLACE_FIRST)
    load = LoadSourced("image", rule)
    records = []
    for item in find_images(str(tmp_path / "scan"), str(tmp_path / "out")):
        loaded = load(item)
        assert "scale_with" not in loaded
        records.append(SourceRecord.from_json(loaded["image_record"]))
    assert {(record.black, record.white) for record in records} == {(0, 100 * (TIMES - 1) + PLACES - 1)}
    alone = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))[0]
    del alone["scale_with"]
    record = SourceRecord.from_json(load(alone)["image_record"])
    assert record.white - record.black == PLACES - 1


def test_a_damaged_file_fails_its_own_volume_alone(tmp_path: Path) -> None:
    files = write_run(tmp_path / "scan", PLACE_FIRST)
    files[PLACES + 3].write_bytes(files[PLACES + 3].read_bytes()[:-9])
    load, failed = LoadSourced("image", IntensityScaling("minmax")), []
    for item in find_images(str(tmp_path / "scan"), str(tmp_path / "out")):
        try:
            load(item)
        except InputError:
            failed.append(item["image"])
    assert len(failed) == 1
    assert str(files[PLACES + 3]) in failed[0]


def test_a_time_in_each_file_does_not_hide_the_order(tmp_path: Path) -> None:
    """Slices of one volume have times of their own in many scanners' files."""
    times = [f"1011{second:02d}.{number:03d}" for second in range(TIMES) for number in range(PLACES)]
    write_run(tmp_path / "scan", PLACE_FIRST, AcquisitionTime=times, TriggerTime=list(range(PLACES * TIMES)))
    assert volumes_of(grouped(tmp_path / "scan")[0]) == EXPECTED


@pytest.mark.parametrize("fault", ["missing", "twice", "one more", "one less"])
def test_without_a_clear_order_files_stay_single(tmp_path: Path, fault: str) -> None:
    numbers: list[int | None] = list(range(1, 7))
    if fault == "missing":
        numbers[4] = None
    if fault == "twice":
        # The two slices of place 1.
        numbers[4] = numbers[1]
    files = write_run(tmp_path / "scan", numbers, places=3)
    if fault == "one less":
        files[4].unlink()
    if fault == "one more":
        dataset = pydicom.dcmread(files[4])
        dataset.InstanceNumber, dataset.SOPInstanceUID = 99, "1.2.3"
        dataset.save_as(tmp_path / "scan" / "more")
    groups, series = grouped(tmp_path / "scan")
    assert {len(group) for group in groups} == {1}
    assert series == groups


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TemporalPositionIdentifier", [1, 2]),
        ("AcquisitionNumber", [1, 2]),
        ("TriggerTime", [0, 50]),
        ("AcquisitionTime", ["101112", "101115"]),
    ],
)
def test_volumes_of_different_times_have_one_scale(tmp_path: Path, name: str, values: list[Any]) -> None:
    write_run(tmp_path / "scan", [1] * 8, places=4, **{name: [value for value in values for _ in range(4)]})
    groups, series = grouped(tmp_path / "scan")
    assert [len(group) for group in groups] == [4, 4]
    assert [len(files) for files in series] == [8, 8]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EchoTime", [10.0, 20.0]),
        ("DiffusionBValue", [0.0, 1000.0]),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_volumes_of_different_kinds_have_scales_of_their_own(
    tmp_path: Path, name: str, values: list[Any], times: int
) -> None:
    """Also where only the order of instances parts the times of each kind."""
    kinds = [value for value in values for _ in range(4 * times)]
    write_run(tmp_path / "scan", list(range(1, 8 * times + 1)), places=4, **{name: kinds})
    groups, series = grouped(tmp_path / "scan")
    assert volumes_of(groups) == [[100 * time + place for place in range(4)] for time in range(2 * times)]
    for group, files in zip(groups, series, strict=True):
        assert set(group) <= set(files)
        assert len(files) == 4 * times
        assert len({str(pydicom.dcmread(path)[name].value) for path in files}) == 1


def test_kinds_of_unequal_length(tmp_path: Path) -> None:
    """One volume without diffusion weighting and three directions of the same weight."""
    weights = [0.0] * 4 + [1000.0] * 12
    write_run(tmp_path / "scan", list(range(1, 17)), places=4, DiffusionBValue=weights)
    groups, series = grouped(tmp_path / "scan")
    assert volumes_of(groups) == [[100 * time + place for place in range(4)] for time in range(4)]
    assert sorted(len(files) for files in series) == [4, 12, 12, 12]


def test_a_cine_of_one_slice_has_one_scale(tmp_path: Path) -> None:
    write_run(tmp_path / "scan", list(range(1, 7)), places=1)
    write_series(tmp_path / "scan", noise(3, 4, 4), MR, "MR", names=["x", "y", "z"])
    groups, series = grouped(tmp_path / "scan")
    assert sorted(len(group) for group in groups) == [1] * 6 + [3]
    assert sorted(len(files) for files in series) == [3] + [6] * 6


def test_values_of_a_time_series(tmp_path: Path) -> None:
    write_run(tmp_path / "scan", PLACE_FIRST)
    groups, series = grouped(tmp_path / "scan")
    picture = read_picture(groups[0])
    everything = read_time_series(series[0], picture)
    assert everything.pixels.dtype == picture.pixels.dtype
    assert sorted({int(value) for value in everything.pixels.ravel()}) == sorted(sum(EXPECTED, []))
    assert (everything.affine is None) == (picture.affine is None)


def test_values_of_volumes_with_slopes_of_their_own_are_those_of_the_unit(tmp_path: Path) -> None:
    """Dynamic PET: each time has its slope, and only activities can be compared."""
    stored = noise(6, 4, 4, highest=30000)
    slopes, times = [0.5] * 3 + [2.0] * 3, [1] * 3 + [2] * 3
    where = np.tile(positions(AXIAL, 3, 2.0), (2, 1))
    write_series(
        tmp_path / "scan",
        stored,
        PET,
        "PT",
        places=where,
        RescaleSlope=slopes,
        RescaleIntercept=0,
        TemporalPositionIdentifier=times,
    )
    groups, series = grouped(tmp_path / "scan")
    assert [len(group) for group in groups] == [3, 3]
    activity = stored * np.array(slopes)[:, None, None]
    for group, files in zip(groups, series, strict=True):
        picture = read_dicom(group)
        assert picture.pixels.dtype == np.int16
        values = read_time_series(files, picture).pixels * picture.slope + picture.intercept
        np.testing.assert_allclose(np.sort(values.ravel()), np.sort(activity.ravel()), rtol=1e-6)
