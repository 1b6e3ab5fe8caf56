from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.data import isic
from shared.errors import InputError

SECTIONS = ("training", "validation", "test")
KEYS = {"diagnosis": {"class"}, "segmentation": {"mask"}, "both": {"class", "mask"}}
TASK1, TASK1_MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
TASK3, TASK3_TRUTH = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
BOTH_TRUTH = "ISIC-2017_Training_Part3_GroundTruth.csv"


def everything(root: Path, auxiliary: str, **arguments: Any) -> list[dict[str, Any]]:
    items = [item for section in SECTIONS for item in isic.datalist(root, section, auxiliary, **arguments)]
    return sorted(items, key=lambda item: item["id"])


@pytest.mark.parametrize("auxiliary", isic.AUXILIARIES)
@pytest.mark.parametrize(
    "form",
    [{}, {"nested": True}, {"newline": "\r\n"}, {"pad": " "}, {"bom": "\ufeff", "newline": "\r\n", "pad": "  "}],
    ids=str,
)
def test_every_form_of_the_folder_gives_the_same_list(make_isic: Callable, auxiliary: str, form: dict) -> None:
    items = everything(make_isic(**form), auxiliary)
    assert [item["id"] for item in items] == [f"ISIC_{n:07d}" for n in range(20)]
    for number, item in enumerate(items):
        assert set(item) == {"id", "group", "label"} | KEYS[auxiliary]
        assert Path(item["label"]).name == f"{item['id']}.jpg"
        assert Path(item["label"]).is_file()
        if "mask" in item:
            assert Path(item["mask"]).name == f"{item['id']}_segmentation.png"
            assert Path(item["mask"]).is_file()
        if "class" in item:
            assert item["class"] == number % (7 if auxiliary == "diagnosis" else 3)
        assert item["group"] == (f"HAM_{number // 2:07d}" if auxiliary == "diagnosis" else item["id"])


def test_tables_beside_the_images_or_in_the_root_are_found(make_isic: Callable) -> None:
    root = make_isic()
    expected = everything(root, "diagnosis")
    (root / TASK3_TRUTH / f"{TASK3_TRUTH}.csv").rename(root / f"{TASK3_TRUTH}.csv")
    (root / GROUPINGS).rename(root / TASK3_TRUTH / GROUPINGS)
    assert everything(root, "diagnosis") == expected


@pytest.mark.parametrize("auxiliary", isic.AUXILIARIES)
def test_phantom_sections_are_disjoint_by_group_and_cover_all(phantom_isic: Path, auxiliary: str) -> None:
    parts = [isic.datalist(phantom_isic, section, auxiliary) for section in SECTIONS]
    groups = [{item["group"] for item in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    images = Path(parts[0][0]["label"]).parent
    assert sum(map(len, parts)) == len(list(images.glob("*.jpg")))
    assert parts == [isic.datalist(phantom_isic, section, auxiliary) for section in SECTIONS]
    assert parts[2] != isic.datalist(phantom_isic, "test", auxiliary, seed=1)


def test_task_1_and_task_3_share_no_image(phantom_isic: Path) -> None:
    ids = [{item["id"] for item in everything(phantom_isic, auxiliary)} for auxiliary in isic.AUXILIARIES]
    assert not ids[0] & ids[1]


def test_number_of_classes() -> None:
    assert [isic.num_classes(auxiliary) for auxiliary in isic.AUXILIARIES] == [7, 0, 3]
    assert [isic.num_mask_classes(auxiliary) for auxiliary in isic.AUXILIARIES] == [0, 2, 2]
    assert isic.class_names("both")[0] == "nevus"


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def remove(folder: Path, numbers: range, suffix: str) -> None:
    for number in numbers:
        (folder / f"ISIC_{number:07d}{suffix}").unlink()


# What is done to a good folder, the auxiliary that is read, and what the message must say.
FAULTS: dict[str, tuple[Callable[[Path], None], str, list[str]]] = {
    "missing": (shutil.rmtree, "diagnosis", ["isic' is not a folder", "challenge.isic-archive.com"]),
    "empty": (empty, "diagnosis", ["isic' is empty", "challenge.isic-archive.com"]),
    "no images folder": (lambda r: shutil.rmtree(r / TASK1), "segmentation", [TASK1, "isic'", "challenge.isic"]),
    "no image": (lambda r: empty(r / TASK3), "diagnosis", [TASK3, ".jpg", "challenge.isic"]),
    "no masks folder": (lambda r: shutil.rmtree(r / TASK1_MASKS), "segmentation", [TASK1_MASKS, "challenge.isic"]),
    "no mask": (
        lambda r: remove(r / TASK1_MASKS, range(5), "_segmentation.png"),
        "segmentation",
        ["5 image(s) without mask", TASK1_MASKS, "ISIC_0000000, ISIC_0000001, ISIC_0000002, …"],
    ),
    "no table": (lambda r: shutil.rmtree(r / TASK3_TRUTH), "diagnosis", [f"{TASK3_TRUTH}.csv", "challenge.isic"]),
    "no groupings": (lambda r: (r / GROUPINGS).unlink(), "diagnosis", [GROUPINGS, "challenge.isic"]),
    "no column": (
        lambda r: rewrite(r / TASK3_TRUTH / f"{TASK3_TRUTH}.csv", "BKL", "other"),
        "diagnosis",
        [f"{TASK3_TRUTH}.csv' has no column BKL", "found: image"],
    ),
    "no class": (
        lambda r: rewrite(r / BOTH_TRUTH, "ISIC_0000003", "ISIC_9999999"),
        "both",
        ["1 image(s) without class", BOTH_TRUTH, "ISIC_0000003"],
    ),
    "no lesion": (
        lambda r: rewrite(r / GROUPINGS, "ISIC_0000004", "ISIC_9999999"),
        "diagnosis",
        ["1 image(s) without lesion_id", GROUPINGS, "ISIC_0000004"],
    ),
    "two classes": (
        lambda r: rewrite(r / BOTH_TRUTH, "ISIC_0000001,1.0,0.0", "ISIC_0000001,1.0,1.0"),
        "both",
        [BOTH_TRUTH, "'ISIC_0000001' must have one class"],
    ),
    "not a number": (
        lambda r: rewrite(r / BOTH_TRUTH, "ISIC_0000001,1.0,0.0", "ISIC_0000001,yes,0.0"),
        "both",
        [BOTH_TRUTH, "ISIC_0000001", "yes"],
    ),
    "short row": (
        lambda r: rewrite(r / BOTH_TRUTH, "ISIC_0000001,1.0,0.0", "ISIC_0000001,1.0"),
        "both",
        [BOTH_TRUTH, "ISIC_0000001,1.0' has 2 values, expected 3"],
    ),
    "empty table": (lambda r: (r / BOTH_TRUTH).write_text(""), "both", [BOTH_TRUTH, "found: nothing"]),
    "binary table": (lambda r: (r / BOTH_TRUTH).write_bytes(b"\xff\xfe\x00"), "both", [BOTH_TRUTH, "cannot be read"]),
    "same stem": (
        lambda r: shutil.copy(r / TASK3 / "ISIC_0000001.jpg", r / TASK3 / "ISIC_0000001.JPEG"),
        "diagnosis",
        ["ISIC_0000001.jpg", "ISIC_0000001.JPEG", "same name"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(make_isic: Callable, fault: str) -> None:
    damage, auxiliary, words = FAULTS[fault]
    root = make_isic()
    isic.datalist(root, "training", auxiliary)
    damage(root)
    with pytest.raises(InputError) as caught:
        isic.datalist(root, "training", auxiliary)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_auxiliary_and_section(make_isic: Callable) -> None:
    root = make_isic()
    with pytest.raises(InputError, match="auxiliary 'diagnose' is unknown; the nearest is 'diagnosis'"):
        isic.datalist(root, "training", "diagnose")
    with pytest.raises(InputError, match="section 'train' is unknown"):
        isic.datalist(root, "train")


def test_ten_thousand_images_list_in_two_seconds(tmp_path: Path) -> None:
    root = tmp_path / "isic"
    (root / TASK3).mkdir(parents=True)
    names = [f"ISIC_{number:07d}" for number in range(10_000)]
    for name in names:
        (root / TASK3 / f"{name}.jpg").touch()  # empty: opening one would be an error
    header = "image," + ",".join(isic.CLASSES_2018)
    rows = "\n".join(f"{name},0.0,1.0,0.0,0.0,0.0,0.0,0.0" for name in names)
    (root / f"{TASK3_TRUTH}.csv").write_text(f"{header}\n{rows}\n")
    lesions = "\n".join(f"{name},HAM_{number // 3}" for number, name in enumerate(names))
    (root / GROUPINGS).write_text(f"image,lesion_id\n{lesions}\n")
    start = time.process_time()
    items = isic.datalist(root, "training")
    assert time.process_time() - start < 2
    assert re.fullmatch(r"HAM_\d+", items[0]["group"])
    assert 7000 < len(items) < 7400
