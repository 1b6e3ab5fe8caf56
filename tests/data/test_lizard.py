from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from shared.data import lizard
from shared.data.loading import LoadUnitImaged
from shared.data.splits import SECTIONS
from shared.errors import InputError
from tests.data.lizard_folders import STEMS, write_labels

LABELS = "lizard_labels/Lizard_Labels/Labels"


def everything(root: Path, auxiliary: str = "diagnosis", patch: int = 16, split: str = "official") -> list[dict]:
    return [item for section in SECTIONS for item in lizard.datalist(root, section, auxiliary, patch, split)]


LAYOUTS = {
    "nested": (),
    "flat images": ("lizard_images1", "lizard_images2"),
    "outer folder alone": ("Lizard_Images1", "Lizard_Images2", "Lizard_Labels"),
    "flat labels": ("lizard_labels",),
    "labels beside info.csv": ("Labels",),
}


@pytest.mark.parametrize("missing", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("newline", ["\r\n", "\n"], ids=["CRLF", "LF"])
def test_reads_all_forms_of_the_folder(make_lizard: Callable, missing: tuple, newline: str) -> None:
    root = make_lizard(missing, newline)
    items = everything(root)
    assert sorted(item["id"] for item in items) == sorted(f"{stem}_0_16" for stem in STEMS)
    for item in items:
        number = STEMS.index(item["group"])
        assert item.keys() == {"id", "group", "label", "box", "class"}
        assert (item["class"], item["box"]) == (number % 6, (0, 16, 16, 16))
        assert Path(item["label"]).stem == item["group"]
    tests = lizard.datalist(root, "test", patch_size=16)
    assert {STEMS.index(item["group"]) % 3 for item in tests} == {2}, "fold 3 is the test"


def test_auxiliaries_keep_what_they_can_use(make_lizard: Callable) -> None:
    root = make_lizard()
    found = {auxiliary: everything(root, auxiliary) for auxiliary in lizard.AUXILIARIES}
    assert {key: len(items) for key, items in found.items()} == {"diagnosis": 24, "segmentation": 144, "both": 24}
    assert found["segmentation"][0].keys() == {"id", "group", "label", "box", "mask"}
    assert found["both"][0].keys() == {"id", "group", "label", "box", "mask", "class"}
    boxes = {item["box"] for item in found["segmentation"]}
    assert boxes == {(top, left, 16, 16) for top in (0, 16) for left in (0, 16, 32)}


def test_class_and_mask_follow_the_id_and_not_the_position(make_lizard: Callable) -> None:
    root = make_lizard()
    item = next(item for item in everything(root, "both") if item["group"] == STEMS[2])
    loaded = LoadUnitImaged(mask_kind="index")(item)
    # Nuclei 9 and 7 are of class 3, nucleus 2 of class 4; the box begins at column 16.
    expected = torch.zeros(1, 16, 16)
    expected[0, 4:7, 3:6] = expected[0, 9:12, 7:10] = 3
    expected[0, 7:10, 13:16] = 4
    assert torch.equal(loaded["mask"], expected)
    assert loaded["label"].shape == (3, 16, 16)
    assert "box" not in loaded
    tables = loadmat(item["mask"])
    by_position = tables["class"].ravel()[np.unique(tables["inst_map"])[1:].argsort()]
    assert not np.array_equal(by_position, [4, 3, 3]), "the file must tell the two readings apart"


def test_majority_counts_centroids_and_ties_go_to_the_lower_class(make_lizard: Callable) -> None:
    root = make_lizard()
    label = root / LABELS / f"{STEMS[0]}.mat"
    # Two of class 5 and two of class 2 in the first patch; the third of class 5 has its centroid in the second.
    write_labels(label, [(4, 5, 3, 3), (1, 5, 7, 3), (8, 2, 3, 8), (3, 2, 7, 8), (6, 5, 3, 16)])
    found = {item["id"]: item["class"] for item in everything(root) if item["group"] == STEMS[0]}
    assert found == {f"{STEMS[0]}_0_0": 1, f"{STEMS[0]}_0_16": 4}


def test_image_without_nuclei(make_lizard: Callable) -> None:
    root = make_lizard()
    empty = {"inst_map": np.zeros((40, 52), np.int32), **{key: np.zeros((0, 0)) for key in ("id", "class", "centroid")}}
    savemat(root / LABELS / f"{STEMS[0]}.mat", empty)
    assert STEMS[0] not in {item["group"] for item in everything(root)}
    item = next(item for item in everything(root, "segmentation") if item["group"] == STEMS[0])
    assert LoadUnitImaged()(item)["mask"].unique().tolist() == [0]


@pytest.mark.parametrize("split", lizard.SPLITS)
def test_sections_are_disjoint_by_image_and_cover_all(phantom_lizard: Path, split: str) -> None:
    parts = [lizard.datalist(phantom_lizard, section, "segmentation", 64, split) for section in SECTIONS]
    groups = [{item["group"] for item in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 48
    assert [len(group) for group in groups] == ([29, 3, 16] if split == "official" else [32, 4, 12])
    assert parts == [lizard.datalist(phantom_lizard, section, "segmentation", 64, split) for section in SECTIONS]


def test_without_info_the_split_is_drawn_and_said_so(make_lizard: Callable, caplog: pytest.LogCaptureFixture) -> None:
    root = make_lizard()
    expected = everything(root, split="paper")
    (root / LABELS).with_name("info.csv").unlink()
    with caplog.at_level(logging.WARNING):
        assert everything(root) == expected
    assert "no info.csv" in caplog.text


def test_paper_has_58_of_238() -> None:
    sections = Counter(lizard._sections(Path("unused"), [str(n) for n in range(238)], "paper", 0).values())
    assert sections == {"training": 162, "validation": 18, "test": 58}


def rewrite(root: Path, old: str, new: str) -> None:
    path = (root / LABELS).with_name("info.csv")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def shrink(root: Path) -> None:
    Image.new("RGB", (15, 40)).save(root / "lizard_images1" / "Lizard_Images1" / f"{STEMS[0]}.png")


def label(root: Path) -> Path:
    return root / LABELS / f"{STEMS[0]}.mat"


def change(root: Path, key: str, value: object) -> None:
    tables = loadmat(label(root))
    kept = {name: table for name, table in tables.items() if not name.startswith("_") and name != key}
    savemat(label(root), kept | ({} if value is None else {key: value}))


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (shutil.rmtree, ["lizard' is not a folder", "warwick.ac.uk"]),
    "no images": (lambda r: shutil.rmtree(r / "lizard_images2"), ["lizard_images2/Lizard_Images2", "warwick.ac.uk"]),
    "no labels": (lambda r: shutil.rmtree(r / LABELS), [LABELS, ".mat", "warwick.ac.uk"]),
    "no label": (lambda r: label(r).unlink(), ["1 image(s) without label", STEMS[0], "Labels'"]),
    "no fold": (lambda r: rewrite(r, STEMS[0], "other"), ["1 image(s) without row", "info.csv", STEMS[0]]),
    "no column": (lambda r: rewrite(r, "Split", "Fold"), ["info.csv' has no column Split"]),
    "unknown fold": (lambda r: rewrite(r, f"{STEMS[0]},consep,1", f"{STEMS[0]},consep,4"), ["Split must be", "'4'"]),
    "small image": (shrink, [f"{STEMS[0]}.png' is 15x40 pixels, smaller than patch_size 16"]),
    "truncated image": (
        lambda r: (r / "lizard_images1" / "Lizard_Images1" / f"{STEMS[0]}.png").write_bytes(b"\x89PNG"),
        [f"{STEMS[0]}.png: cannot be read as an image"],
    ),
    "truncated label": (lambda r: label(r).write_bytes(label(r).read_bytes()[:300]), [f"{STEMS[0]}.mat' holds no id"]),
    "truncated header": (lambda r: label(r).write_bytes(b"MATLAB 5.0"), [f"{STEMS[0]}.mat' cannot be read as a"]),
    "text as label": (lambda r: label(r).write_text("<html>"), [f"{STEMS[0]}.mat' cannot be read as a MATLAB file"]),
    "no table": (lambda r: change(r, "centroid", None), [f"{STEMS[0]}.mat' holds no centroid; expected inst_map"]),
    "short table": (lambda r: change(r, "class", [[1], [2]]), ["(3, 1), (2, 1), (3, 2)"]),
    "repeated id": (lambda r: change(r, "id", [[2], [2], [7]]), ["ids must be positive and different"]),
    "unknown class": (lambda r: change(r, "class", [[1], [2], [7]]), ["classes must be 1 to 6, found 7"]),
    "fractions": (lambda r: change(r, "class", [[1.5], [2], [3]]), ["class must hold whole numbers"]),
    "same name": (
        lambda r: shutil.copy(
            r / "lizard_images1" / "Lizard_Images1" / f"{STEMS[0]}.png", r / "lizard_images2" / "Lizard_Images2"
        ),
        ["have the same name"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(make_lizard: Callable, fault: str) -> None:
    damage, words = FAULTS[fault]
    root = make_lizard()
    lizard.datalist(root, "training", "diagnosis", 16)
    damage(root)
    with pytest.raises(InputError) as caught:
        everything(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# Faults of the pixels, which only loading can see.
LOADING_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another size": (lambda r: write_labels(label(r), [(1, 1, 5, 5)], (40, 41)), "is 41x40 pixels, but its image"),
    "unknown id": (lambda r: change(r, "id", [[9], [8], [2]]), "inst_map holds the id 7, which the table 'id' lacks"),
    "no map": (lambda r: change(r, "inst_map", None), "holds no matrix inst_map"),
    "fractions": (lambda r: change(r, "inst_map", np.full((40, 52), 0.5)), "must be a matrix of whole numbers"),
    "missing": (lambda r: label(r).unlink(), "does not exist"),
}


@pytest.mark.parametrize("fault", LOADING_FAULTS)
def test_fault_of_the_map_is_found_when_it_is_read(make_lizard: Callable, fault: str) -> None:
    root = make_lizard()
    item = next(item for item in everything(root, "both") if item["group"] == STEMS[0])
    LoadUnitImaged()(item)
    LOADING_FAULTS[fault][0](root)
    with pytest.raises(InputError, match=LOADING_FAULTS[fault][1]) as caught:
        LoadUnitImaged()(item)
    assert f"{STEMS[0]}.mat" in str(caught.value)


def test_box_outside_the_image(make_lizard: Callable) -> None:
    item = everything(make_lizard())[0]
    with pytest.raises(InputError, match=r"is 52x40 pixels, too small for the box \(32, 0, 16, 16\)"):
        LoadUnitImaged()(item | {"box": (32, 0, 16, 16)})


def test_unknown_settings(make_lizard: Callable) -> None:
    root = make_lizard()
    with pytest.raises(InputError, match="auxiliary 'diagnose' is unknown; the nearest is 'diagnosis'"):
        lizard.datalist(root, "training", "diagnose")
    with pytest.raises(InputError, match="section 'train' is unknown"):
        lizard.datalist(root, "train")
    with pytest.raises(InputError, match="split 'papers' is unknown; the nearest is 'paper'"):
        lizard.datalist(root, "test", split="papers")
