from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data import camus
from shared.data.loading import LoadUnitImaged
from shared.errors import InputError
from shared.images import IntensityScaling
from tests.data.camus_folders import labels, pixels, quality, write_camus, write_meta_image, write_nifti, write_split

SECTIONS = ("training", "validation", "test")


def everything(root: Path) -> list[dict[str, Any]]:
    items = [item for section in SECTIONS for item in camus.datalist(root, section)]
    return sorted(items, key=lambda item: item["id"])


def short(items: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Items without their folders and extensions."""
    stems = [[re.sub(r"\..*", "", Path(item[key]).name) for key in ("label", "mask")] for item in items]
    return [(item["id"], item["group"], *stem, item["quality"]) for item, stem in zip(items, stems, strict=True)]


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "new": ("database_nifti", {}),
    "nested": ("database_nifti/database_nifti", {}),
    "in the archive's folder": ("CAMUS_public/database_nifti", {}),
    "flat": (".", {}),
    "CRLF": ("database_nifti", {"newline": "\r\n", "last": "\r\n"}),
    "no last newline": ("database_nifti", {"newline": "\r\n", "last": ""}),
    "old": ("training", {"write": write_meta_image}),
    "old, nested": ("training/training", {"write": write_meta_image}),
    "not compressed": ("database_nifti", {"write": lambda plane, stem: write_nifti(plane, stem, compressed=False)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_folder_gives_the_same_list_and_the_same_pictures(tmp_path: Path, form: str) -> None:
    place, arguments = FORMS[form]
    write_camus(tmp_path / "camus" / place, patients=5, **arguments)
    items = everything(tmp_path / "camus")
    frames = [(number, view, phase) for number in range(1, 6) for view in camus.VIEWS for phase in camus.PHASES]
    expected = [f"patient{number:04d}_{view}_{phase}" for number, view, phase in frames]
    assert short(items) == [
        (name, name[:11], name, f"{name}_gt", quality(number, view))
        for name, (number, view, _) in zip(expected, frames, strict=True)
    ]
    load = LoadUnitImaged(channels=1, mask_kind="index", scaling=IntensityScaling("bits"))
    for position in (0, 6):
        item = load(items[position])
        number, frame = position // 4 + 1, position % 4
        np.testing.assert_allclose(item["label"][0].numpy(), pixels(number, frame) / 255, rtol=0, atol=1e-7)
        np.testing.assert_array_equal(item["mask"][0].numpy(), labels(number, frame))


def test_test_folder_of_the_old_archive_is_left_out(tmp_path: Path) -> None:
    write_camus(tmp_path / "training", write_meta_image, patients=5)
    shutil.copytree(tmp_path / "training" / "patient0001", tmp_path / "testing" / "patient0451")
    assert {item["group"] for item in everything(tmp_path)} == {f"patient{n:04d}" for n in range(1, 6)}


@pytest.mark.parametrize("place", ["database_split", "database_split/database_split", "."])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_official_split_is_used(tmp_path: Path, place: str, newline: str) -> None:
    write_camus(tmp_path / "database_nifti", pixel_files=False)
    for file in write_split(tmp_path / "split", newline=newline).iterdir():
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        file.rename(tmp_path / place / file.name)
    groups = [sorted({item["group"] for item in camus.datalist(tmp_path, section)}) for section in SECTIONS]
    numbers = [[int(group[-4:]) for group in part] for part in groups]
    assert numbers == [list(range(9, 41)), [5, 6, 7, 8], [1, 2, 3, 4]]
    if place != ".":
        beside = camus.datalist(tmp_path / "database_nifti", "test") if place == "database_split" else None
        assert beside is None or {item["group"] for item in beside} == set(groups[2])


def test_split_without_files_keeps_patients_whole_and_one_poor_in_five(tmp_path: Path) -> None:
    write_camus(tmp_path / "database_nifti", patients=100, pixel_files=False)
    parts = [camus.datalist(tmp_path, section) for section in SECTIONS]
    groups = [{item["group"] for item in part} for part in parts]
    assert [len(part) for part in groups] == [81, 9, 10]
    assert len(set.union(*groups)) == 100
    assert [len(part) for part in parts] == [4 * len(part) for part in groups]
    poor = {item["group"] for item in parts[2] if item["quality"] == "Poor"}
    assert len(poor) == 2
    # Of all patients 33 are poor, and each has a view that is not: the worst of its views counts.
    assert Counter(item["quality"] == "Poor" for item in parts[2] if item["group"] in poor) == {True: 4, False: 4}
    assert parts == [camus.datalist(tmp_path, section) for section in SECTIONS]
    assert groups[2] != {item["group"] for item in camus.datalist(tmp_path, "test", seed=1)}


@pytest.mark.parametrize("word", ["Good", "Poor"])
def test_split_of_patients_of_one_quality(tmp_path: Path, word: str) -> None:
    write_camus(tmp_path, patients=20, pixel_files=False)
    for path in tmp_path.glob("*/*.cfg"):
        path.write_text(f"ImageQuality: {word}")
    assert [len(camus.datalist(tmp_path, section)) // 4 for section in SECTIONS] == [16, 2, 2]


def folder_one(root: Path) -> Path:
    return root / "database_nifti" / "patient0001"


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


# What is done to a good folder, and what the message must say.
FAULTS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "missing": (shutil.rmtree, ["camus' is not a folder", "creatis"]),
    "empty": (empty, ["camus' is empty", "creatis"]),
    "no patients": (lambda r: empty(r / "database_nifti"), ["patient0001", "database_nifti", "training", "creatis"]),
    "no frame": (lambda r: empty(folder_one(r)), ["no image 'patient0001_2CH_ED'", ".nii.gz, .mhd"]),
    "no label map": (
        lambda r: (folder_one(r) / "patient0001_2CH_ES_gt.nii.gz").unlink(),
        ["1 image(s) without label map", "patient0001_2CH_ES"],
    ),
    "no image": (
        lambda r: (folder_one(r) / "patient0001_4CH_ED.nii.gz").unlink(), ["no image 'patient0001_4CH_ED'"]
    ),
    "two images": (
        lambda r: (folder_one(r) / "patient0001_4CH_ED.mhd").touch(), ["4CH_ED.nii.gz", "4CH_ED.mhd", "same name"]
    ),
    "no cfg": (lambda r: (folder_one(r) / "Info_4CH.cfg").unlink(), ["patient0001/Info_4CH.cfg", "creatis"]),
    "no quality": (
        lambda r: rewrite(folder_one(r) / "Info_2CH.cfg", "ImageQuality", "Quality"),
        ["Info_2CH.cfg' has no line 'ImageQuality: …'", "Good, Medium, Poor"],
    ),
    "unknown quality": (
        lambda r: rewrite(folder_one(r) / "Info_2CH.cfg", "ImageQuality: M", "ImageQuality: X"),
        ["Info_2CH.cfg': ImageQuality 'Xedium'"],
    ),
    "binary cfg": (lambda r: (folder_one(r) / "Info_2CH.cfg").write_bytes(b"\xff\xfe\x00"), ["Info_2CH.cfg", "text"]),
    "unknown patient": (
        lambda r: rewrite(r / "database_split" / "subgroup_testing.txt", "0002", "9999"),
        ["subgroup_testing.txt' names 'patient9999'", "database_nifti"],
    ),
    "patient twice": (
        lambda r: rewrite(r / "database_split" / "subgroup_testing.txt", "0002", "0006"),
        ["subgroup_testing.txt' names 'patient0006', which is in the validation part"],
    ),
    "patient without part": (
        lambda r: rewrite(r / "database_split" / "subgroup_testing.txt", "patient0002\n", ""),
        ["1 patient(s)", "database_split", "patient0002"],
    ),
    "no file of the split": (
        lambda r: (r / "database_split" / "subgroup_validation.txt").unlink(), ["subgroup_validation.txt", "creatis"]
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(tmp_path: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    root = tmp_path / "camus"
    write_camus(root / "database_nifti", patients=10, pixel_files=False)
    write_split(root / "database_split", patients=10)
    assert len(camus.datalist(root, "training")) == 8
    damage(root)
    with pytest.raises(InputError) as caught:
        camus.datalist(root, "training")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
