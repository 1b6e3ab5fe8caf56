from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.data.phantoms import isic as phantom

TASK1, TASK1_MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
TASK3, TASK3_TRUTH = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
BOTH, BOTH_MASKS = "ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"
SIZES = {TASK1: phantom.TASK1_IMAGES, BOTH: phantom.BOTH_IMAGES}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def images(folder: Path) -> list[Path]:
    return sorted(folder.glob("ISIC_[0-9][0-9][0-9][0-9][0-9][0-9][0-9].jpg"))


def test_layout_is_that_of_the_real_archives(phantom_isic: Path) -> None:
    groupings, both_truth = "ISIC2018_Task3_Training_LesionGroupings.csv", "ISIC-2017_Training_Part3_GroundTruth.csv"
    folders = {TASK1, TASK1_MASKS, TASK3, TASK3_TRUTH, BOTH, BOTH_MASKS}
    assert {path.name for path in phantom_isic.iterdir()} == folders | {groupings, both_truth}
    for path in (phantom_isic / TASK1 / TASK1, phantom_isic / TASK1_MASKS, phantom_isic / TASK3, phantom_isic / BOTH):
        for note in ("ATTRIBUTION.txt", "LICENSE.txt"):
            assert "Synthetic" in (path / note).read_text()
    truth = rows(phantom_isic / TASK3_TRUTH / f"{TASK3_TRUTH}.csv")
    assert list(truth[0]) == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert list(rows(phantom_isic / groupings)[0]) == ["image", "lesion_id", "diagnosis_confirm_type"]
    assert list(rows(phantom_isic / both_truth)[0]) == ["image_id", "melanoma", "seborrheic_keratosis"]
    assert [row["image"] for row in truth] == [path.stem for path in images(phantom_isic / TASK3)]
    for row in truth:
        assert sorted(value for key, value in row.items() if key != "image") == ["0.0"] * 6 + ["1.0"]


def test_classes_are_balanced_and_lesions_have_several_images(phantom_isic: Path) -> None:
    truth = rows(phantom_isic / TASK3_TRUTH / f"{TASK3_TRUTH}.csv")
    counts = Counter(key for row in truth for key, value in row.items() if value == "1.0")
    assert set(counts) == {"NV", "MEL", "BKL"}
    assert max(counts.values()) < 1.2 * min(counts.values())
    lesions = rows(phantom_isic / "ISIC2018_Task3_Training_LesionGroupings.csv")
    assert set(Counter(row["lesion_id"] for row in lesions).values()) == {1, 2, 3}


@pytest.mark.parametrize(("inputs", "masks"), [(f"{TASK1}/{TASK1}", TASK1_MASKS), (BOTH, BOTH_MASKS)])
def test_masks_are_binary_fit_their_image_and_cover_the_darker_lesion(
    phantom_isic: Path, inputs: str, masks: str
) -> None:
    paths = images(phantom_isic / inputs)
    assert len(paths) == len(list((phantom_isic / masks).glob("*.png"))) == SIZES[Path(inputs).name]
    sizes = set()
    for path in paths[::10]:
        image = np.asarray(Image.open(path))
        mask = np.asarray(Image.open(phantom_isic / masks / f"{path.stem}_segmentation.png"))
        assert image.shape == (*mask.shape, 3)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        assert 0.15 < (mask > 0).mean() < 0.85
        assert image[mask > 0].mean() < image[mask == 0].mean() - 20
        sizes.add(mask.shape)
    assert len(sizes) > 3
    assert min(min(size) for size in sizes) >= 96
    assert max(max(size) for size in sizes) <= 160


def test_writing_twice_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASK1_IMAGES", "TASK3_LESIONS", "BOTH_IMAGES"):
        monkeypatch.setattr(phantom, name, 9)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert len(contents[0]) > 40
    assert contents[0] == contents[1]
