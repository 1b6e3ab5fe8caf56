"""Which DICOM files are the slices of one volume, and what is said about those that are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from shared import InputError
from shared.images import check_picture, read_picture
from shared.images.dicom.series import series_name
from shared.images.formats import output_name
from shared.inference import LoadSourced, find_images
from tests.images.dicom.dicom_files import (
    AXIAL,
    CORONAL,
    CT,
    MR,
    OBLIQUE,
    SAGITTAL,
    image,
    noise,
    positions,
    save,
    write_series,
)

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("SeriesInstanceUID", "1.2.9"),
        ("StudyInstanceUID", "1.2.9"),
        ("PatientID", "Q-8"),
        ("PixelSpacing", [0.7, 0.5]),
        ("BitsStored", 12),
        ("PhotometricInterpretation", "MONOCHROME1"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
        ("ImagePositionPatient", None),
    ],
)
def test_a_slice_of_another_kind_stays_alone(tmp_path: Path, change: str, value: Any) -> None:
    files = write_series(tmp_path / "scan", noise(5, 8, 8))
    stranger = pydicom.dcmread(files[2])
    setattr(stranger, change, value)
    stranger.save_as(files[2])
    items = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    grouped = [item["image"] for item in items]
    assert str(files[2]) in grouped
    assert sorted(map(len, (group for group in grouped if isinstance(group, list)))) == [4]


def test_noise_in_the_last_digits_parts_nothing(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", noise(40, 4, 4), planes=OBLIQUE)
    for path in files:
        dataset = pydicom.dcmread(path)
        shaken = np.array(dataset.ImageOrientationPatient) + RNG.normal(0, 2e-5, 6)
        # 0.0005 and 0.9995 are where rounding would cut.
        dataset.ImageOrientationPatient = [f"{value:.7f}" for value in shaken]
        dataset.save_as(path)
    (item,) = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    assert len(item["image"]) == 40


def test_localizers_photographs_and_a_cine_stay_single(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    for name, planes in {"axial": AXIAL, "coronal": CORONAL, "sagittal": SAGITTAL}.items():
        write_series(folder, noise(1, 8, 8), planes=planes, names=[f"localizer_{name}"], SeriesInstanceUID="1.2.3")
    places = np.zeros((4, 3))
    write_series(folder, noise(4, 8, 8), places=places, names=[f"cine{number}" for number in range(4)])
    save(image("1.2.840.10008.5.1.4.1.1.7", "OT", noise(8, 8)), folder / "photograph")
    items = find_images(str(folder), str(tmp_path / "out"))
    assert [Path(item["image"]).name for item in items] == sorted(path.name for path in folder.iterdir())


def test_echoes_phases_and_repetitions_are_volumes_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    places = np.tile(positions(AXIAL, 3, 2.0), (4, 1))
    echoes, numbers = [10.0] * 3 + [20.0] * 3 + [10.0] * 3 + [20.0] * 3, [1] * 6 + [2] * 6
    pixels = noise(12, 8, 8)
    write_series(folder, pixels, MR, "MR", places=places, EchoTime=echoes, TemporalPositionIdentifier=numbers)
    items = find_images(str(folder), str(tmp_path / "out"), "nifti")
    assert [len(item["image"]) for item in items] == [3, 3, 3, 3]
    assert sorted(Path(item["output"]).name for item in items) == [
        "004_Head_routine.nii.gz",
        *(f"004_Head_routine_{number}.nii.gz" for number in (2, 3, 4)),
    ]
    for item in items:
        kinds = {
            (float(header.EchoTime), int(header.TemporalPositionIdentifier))
            for header in map(pydicom.dcmread, item["image"])
        }
        assert len(kinds) == 1
    with pytest.raises(InputError, match=r"scan: holds 4 images, expected one series of slices: 004_Head_routine \(3"):
        read_picture(folder)


def test_folder_with_other_things_than_one_series(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    write_series(folder, noise(3, 8, 8))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").write_bytes(b"")
    assert read_picture(folder).pixels.shape == (1, 8, 8, 3)
    write_series(folder, noise(2, 8, 8), SeriesNumber=9, SeriesDescription="Bone", names=["x", "y"])
    message = r"scan: holds 2 images, .*004_Head_routine \(3 slices from IM\d+\), 009_Bone \(2 slices from x\)"
    for source in (folder, [str(path) for path in sorted(folder.iterdir()) if not path.name.startswith((".", "n"))]):
        with pytest.raises(InputError, match="holds 2 images, expected one series"):
            check_picture(source)
    with pytest.raises(InputError, match=message):
        LoadSourced("image")({"image": str(folder)})
    torch_file = folder / "a.png"
    torch_file.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png: PNG in the folder of a DICOM series"):
        read_picture(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: found no DICOM image, expected the files of one series"):
        read_picture(tmp_path / "empty")
    with pytest.raises(InputError, match="an empty list of files: found no DICOM image"):
        read_picture([])


@pytest.mark.parametrize("damage", ["no pixels", "truncated header", "truncated pixels", "text"])
def test_one_bad_file_in_a_series_is_named(tmp_path: Path, enhance: Enhance, damage: str) -> None:
    files = write_series(tmp_path / "scan", noise(4, 30, 30), names=[f"{number}.dcm" for number in range(4)])
    bad, content = files[2], files[2].read_bytes()
    if damage == "no pixels":
        dataset = pydicom.dcmread(bad)
        del dataset.PixelData
        dataset.save_as(bad)
    else:
        bad.write_bytes({"truncated header": content[:500], "truncated pixels": content[:-90], "text": b"no"}[damage])
    with pytest.raises((InputError, RuntimeError)) as caught:
        enhance(tmp_path / "scan", tmp_path / "out")
    error = caught.value if isinstance(caught.value, InputError) else caught.value.__cause__
    assert isinstance(error, InputError)
    assert "2.dcm: " in str(error)
    assert len(str(error).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_files_can_be_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    files = write_series(folder, noise(4, 8, 8))
    files[1].write_bytes(files[1].read_bytes()[:300])
    (folder / "a.png").write_bytes(b"nothing")
    refused: dict[str, str] = {}
    items = find_images(
        str(folder), str(tmp_path / "out"), refuse=lambda path, error: refused.update({path: str(error)})
    )
    assert [len(item["image"]) for item in items] == [3]
    assert sorted(refused) == sorted([str(files[1]), str(folder / "a.png")])
    assert all(message.startswith(path) for path, message in refused.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ImagePositionPatient", ["1"]),
        ("ImagePositionPatient", ["a", "b", "c"]),
        ("PixelSpacing", ["0.5"]),
        ("NumberOfFrames", "xx"),
    ],
)
def test_malformed_geometry_refuses_one_file(tmp_path: Path, name: str, value: list[str] | str) -> None:
    folder = tmp_path / "scan"
    files = write_series(folder, noise(4, 8, 8))
    broken = pydicom.dcmread(files[1])
    element = DataElement(tag_for_keyword(name) or 0, "LO", value)
    # Written as another representation, then named what it should be: pydicom makes no such file.
    broken[name] = element
    broken.save_as(files[1])
    kind = {"NumberOfFrames": b"IS"}.get(name, b"DS")
    tag = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
    files[1].write_bytes(files[1].read_bytes().replace(tag + b"LO", tag + kind))
    refused: dict[str, str] = {}
    items = find_images(
        str(folder), str(tmp_path / "out"), refuse=lambda path, error: refused.update({path: str(error)})
    )
    assert [len(item["image"]) for item in items] == [3]
    assert list(refused) == [str(files[1])]
    assert "malformed" in refused[str(files[1])]


def test_names_of_series(tmp_path: Path) -> None:
    def name(**attributes: Any) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_series(folder, noise(2, 4, 4), **attributes)
        assert output_name(folder, "nifti") == output_name(folder) + ".nii.gz"
        return output_name(folder)

    assert name() == "004_Head_routine"
    assert name(SeriesDescription="T1/../axial: ä <1>") == "004_T1_axial_1"
    assert name(SeriesDescription="") == "004_series"
    assert name(SeriesNumber=None, SeriesDescription="Scout") == "Scout"
    assert name(SeriesNumber=None, SeriesDescription=None, SeriesInstanceUID="1.2.3") == "series_1.2.3"


HOSTILE = {
    "/../../../x": "series_x",
    "..": "series_unknown",
    "": "series_unknown",
    "1.2.3/": "series_1.2.3",
    "1.2\\..\\3": "series_1.2_.._3",
    "C:\\Windows\\x": "series_C_Windows_x",
    "1.2\n=cmd()\x1b[2J": "series_1.2_cmd_2J",
    "-rf": "series_rf",
    "NUL": "series_NUL",
    "9" * 3000: "series_" + "9" * 64,
    "1." * 1000: "series_" + ("1." * 32).rstrip("."),
    "\u202egnp.x": "series_gnp.x",
}


@pytest.mark.parametrize("uid", HOSTILE)
def test_a_series_cannot_name_its_result_into_another_place(tmp_path: Path, uid: str) -> None:
    """Identifiers come from whoever wrote the file."""
    header = Dataset()
    header[tag_for_keyword("SeriesInstanceUID")] = DataElement(tag_for_keyword("SeriesInstanceUID"), "LO", uid)
    assert series_name(header) == HOSTILE[uid]


@pytest.mark.parametrize("text", ["/../../../x", "..", ".hidden", "CON", "com1", "-x", "\x00\x1b[2J", "a/b" * 30])
@pytest.mark.parametrize("name", ["SeriesNumber", "SeriesDescription", "SeriesInstanceUID"])
def test_names_of_series_are_plain(name: str, text: str) -> None:
    for others in ({}, {"SeriesNumber": "7"}, {"SeriesDescription": "T1"}, {"SeriesInstanceUID": "1.2"}):
        header = Dataset()
        for keyword, value in {**others, name: text}.items():
            header[tag_for_keyword(keyword)] = DataElement(tag_for_keyword(keyword), "LO", value)
        found = series_name(header)
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9])?", found), found
        assert found.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1"}


def test_a_hostile_series_is_written_where_it_was_asked_for(tmp_path: Path, enhance: Enhance) -> None:
    hostile = {"SeriesNumber": None, "SeriesDescription": None, "PatientID": "../../p", "StudyInstanceUID": "/s/../.."}
    files = write_series(tmp_path / "a" / "b" / "scan", noise(3, 8, 8), **hostile)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset["SeriesInstanceUID"] = DataElement(tag_for_keyword("SeriesInstanceUID"), "UI", "/../../../x")
        dataset.save_as(path)
    (output,) = enhance(tmp_path / "a" / "b" / "scan", tmp_path / "a" / "b" / "out")
    assert Path(output) == tmp_path / "a" / "b" / "out" / "series_x"
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["out", "scan"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_folder_of_one_file_is_a_series_of_one(tmp_path: Path) -> None:
    write_series(tmp_path / "scan", noise(1, 8, 8))
    picture = read_picture(tmp_path / "scan")
    assert len(picture.files) == 1
    assert picture.pixels.shape == (1, 8, 8, 1)


def test_same_series_in_two_folders_is_two_volumes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / "in" / name, noise(3, 8, 8), SeriesInstanceUID="1.2.3", SOPClassUID=CT)
    items = find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    outputs = [str(Path(item["output"]).relative_to(tmp_path / "out")) for item in items]
    assert outputs == ["a/004_Head_routine", "b/004_Head_routine"]


def test_a_series_in_a_folder_of_its_own_name_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "004_Head_routine"
    write_series(folder, noise(3, 8, 8))
    with pytest.raises(InputError, match="would replace the source .*004_Head_routine"):
        find_images(str(folder), str(tmp_path / "study"))
