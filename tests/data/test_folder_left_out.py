"""A folder to train on is searched as one to enhance is: links, circles, and a line about what is left out."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from shared.data.folder import datalist, survey
from shared.data.splits import SECTIONS
from shared.enhance.report import OK, Report, Row
from shared.errors import InputError


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    Image.fromarray(rng.integers(0, 256, (24, 20), dtype=np.uint8)).save(path)
    return path


def label_map(path: Path, value: int = 1) -> Path:
    labels = np.zeros((20, 24), np.uint8)
    labels[5:9, 3:7] = value
    nifti = nibabel.Nifti1Image(labels, np.eye(4))
    nifti.header["intent_code"] = 1002
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nifti, path)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for patient in ("p1", "p2", "p3"):
        image(tmp_path / "data" / patient / "a.png")
    return Path("data")


def ids(folder: Path) -> list[str]:
    return [reference.id for reference in survey(folder).references]


def test_circles_end_and_no_image_is_in_two_groups(root: Path, tmp_path: Path) -> None:
    (root / "p1" / "loop").symlink_to("..")
    (root / "p4").symlink_to("p2")
    image(tmp_path / "far" / "b.png")
    (root / "p5").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "data")
    assert ids(root) == ["p1/a", "p2/a", "p3/a", "p5/b"]


def test_what_is_left_out_is_logged_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ids(root)
    assert "left out" not in caplog.text
    (root / "notes.txt").touch()
    (root / "p1" / ".hidden").touch()
    (root / "classes.csv").write_text("image,group\np1/a,1\np2/a,2\np3/a,3\n")
    label_map(root / "p1" / "labels.nii.gz")
    image(root / "clean" / "p1.png")
    row = Row("a.png", "p1.png", OK, folder=".", source="5ce")
    Report(root / "clean" / "report.csv").start([row])
    with caplog.at_level(logging.INFO):
        assert ids(root) == ["p1/a", "p2/a", "p3/a"]
    lines = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert lines == [
        "dataset_dir: left out: 1 file of another kind (.txt 1), 1 label map, "
        "1 result of earlier runs (data/clean/report.csv), 1 hidden file"
    ]


def test_masks_are_label_maps_and_stay(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        pixels = np.random.default_rng(number).normal(size=(20, 24)).astype(np.float32)
        (tmp_path / "own" / "images").mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "own" / "images" / f"{number}.nii")
        label_map(tmp_path / "own" / "masks" / f"{number}.nii")
    (tmp_path / "own" / "masks" / "labels.txt").touch()
    with caplog.at_level(logging.INFO):
        contents = survey(tmp_path / "own")
    assert contents.mask_values == (0, 1)
    assert "masks: left out: 1 file of another kind (.txt 1)" in caplog.text


def test_nothing_but_other_files(tmp_path: Path) -> None:
    label_map(tmp_path / "data" / "a.nii")
    with pytest.raises(InputError, match=r"no image found in the folder .*, expected PNG.*; left out: 1 label map"):
        survey(tmp_path / "data")


def test_masks_that_play_no_part_are_neither_read_nor_taken_for_images(clean: Path) -> None:
    for mask in sorted((clean / "masks").iterdir())[:2]:
        mask.write_bytes(b"damaged")
    contents = survey(clean, masks=False)
    assert contents.mask_values == ()
    items = [item for section in SECTIONS for item in datalist(clean, section, masks=False)]
    assert sorted(item["id"] for item in items) == [f"scan{n}" for n in range(10)]
    assert not any("mask" in item for item in items)
    shutil.copytree(clean / "images", clean, dirs_exist_ok=True)
    shutil.rmtree(clean / "images")
    assert survey(clean, masks=False).references[0].path == str(clean / "scan0.png")
    assert len(survey(clean, masks=False).references) == 10
