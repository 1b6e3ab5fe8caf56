"""Whatever is wrong with a folder of data, each reader says it with one error that names the file or the key.

Another reader is one entry in `READERS`: the fixture that writes a good folder, how it is listed and loaded, and what
is damaged. Faults that only one reader knows are tested in its own file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.data import brats, camus, covid_ct, folder, isic, lizard
from shared.data.loading import LoadUnitImaged
from shared.data.slices import LoadSliced
from shared.errors import InputError
from tests.data.brats_folders import write_brats
from tests.data.camus_folders import make_camus  # noqa: F401
from tests.data.covid_ct_folders import phantom as covid_ct_phantom
from tests.data.lizard_folders import make_lizard  # noqa: F401

Damage = Callable[[Path], Any]
FAULTS = (
    "missing folder", "empty folder", "truncated image", "text as image", "missing label", "table without its column",
    "table and images do not fit", "unknown section",
)


@dataclass(frozen=True)
class ReaderCase:
    """One reader.

    Attributes:
        make: fixture that gives a function that writes a small good folder and returns it.
        datalist: the reader with a folder and a section.
        load: the transform that a bundle loads the items with.
        images: pattern of the image files.
        faults: fault to what does it to the folder, and the words its message must hold.
    """

    make: str
    datalist: Callable[[Path, str], list[dict[str, Any]]]
    load: LoadUnitImaged | LoadSliced | brats.LoadBraTSSliced
    images: str
    faults: Mapping[str, tuple[Damage, list[str]]]


def unlink(path: str) -> Damage:
    return lambda root: (root / path).unlink()


def rewrite(path: str, old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        text = (root / path).read_bytes().decode()
        assert old in text
        (root / path).write_bytes(text.replace(old, new).encode())

    return damage


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def all_images(pattern: str, damage: Damage) -> Damage:
    def damage_all(root: Path) -> None:
        paths = [path for path in sorted(root.glob(pattern)) if not path.name.startswith(".")]
        assert paths
        for path in paths:
            damage(path)

    return damage_all


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def covid_ct_table(root: Path) -> None:
    covid_ct_phantom.write_workbook(root / "COVID-CT-MetaInfo.xlsx", [("File name", "Person"), ("a.png", "1")])


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[], Path]:
    """A person's own folder: images, masks and a table."""

    def make() -> Path:
        root = tmp_path / "clean"
        for name in ("images", "masks"):
            (root / name).mkdir(parents=True)
        lines = ["image,class,group"]
        for number in range(5):
            pixels = np.random.default_rng(number).integers(0, 255, (20, 24)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"scan{number}.png")
            Image.fromarray(255 * (pixels > 127).astype(np.uint8)).save(root / "masks" / f"scan{number}.png")
            lines.append(f"scan{number}.png,{'ab'[number % 2]},patient{number}")
        (root / "classes.csv").write_text("\n".join(lines) + "\n")
        return root

    return make


@pytest.fixture
def make_brats(tmp_path: Path) -> Callable[[], Path]:
    return lambda: write_brats(tmp_path / "brats")


READERS = {
    "isic, diagnosis": ReaderCase(
        make="make_isic",
        datalist=lambda root, section: isic.datalist(root, section, "diagnosis"),
        load=LoadUnitImaged(),
        images="ISIC2018_Task3_Training_Input/*.jpg",
        faults={
            "missing label": (
                unlink("ISIC2018_Task3_Training_LesionGroupings.csv"), ["ISIC2018_Task3_Training_LesionGroupings.csv"]
            ),
            "table without its column": (
                rewrite("ISIC2018_Task3_Training_LesionGroupings.csv", "lesion_id", "lesion"),
                ["ISIC2018_Task3_Training_LesionGroupings.csv", "lesion_id"],
            ),
            "table and images do not fit": (
                rewrite("ISIC2018_Task3_Training_LesionGroupings.csv", "ISIC_0000004", "ISIC_9999999"),
                ["ISIC2018_Task3_Training_LesionGroupings.csv", "ISIC_0000004"],
            ),
        },
    ),
    "isic, segmentation": ReaderCase(
        make="make_isic",
        datalist=lambda root, section: isic.datalist(root, section, "segmentation"),
        load=LoadUnitImaged(),
        images="ISIC2018_Task1-2_Training_Input/*.jpg",
        faults={
            "missing label": (
                unlink("ISIC2018_Task1_Training_GroundTruth/ISIC_0000007_segmentation.png"),
                ["ISIC2018_Task1_Training_GroundTruth", "ISIC_0000007"],
            ),
        },
    ),
    "brats": ReaderCase(
        make="make_brats",
        datalist=lambda root, section: brats.datalist(root, section, crop_size=None, cache_dir=root.parent / "cache"),
        load=brats.LoadBraTSSliced(),
        images="*/*_t1ce.nii.gz",
        faults={
            # The clean image; a case without tumour labels is left out.
            "missing label": (
                unlink("BraTS20_Training_003/BraTS20_Training_003_t1ce.nii.gz"), ["BraTS20_Training_003_t1ce.nii.gz"]
            ),
        },
    ),
    "camus": ReaderCase(
        make="make_camus",
        datalist=camus.datalist,
        load=LoadUnitImaged(channels=1, mask_kind="index", mask_class=1),
        images="database_nifti/*/*_E[DS].nii.gz",
        faults={
            "missing label": (
                unlink("database_nifti/patient0003/patient0003_4CH_ES_gt.nii.gz"), ["patient0003_4CH_ES", "label map"]
            ),
            "table without its column": (
                rewrite("database_nifti/patient0003/Info_4CH.cfg", "ImageQuality", "Quality"),
                ["patient0003/Info_4CH.cfg", "ImageQuality"],
            ),
            "table and images do not fit": (
                rewrite("database_split/subgroup_training.txt", "patient0009", "patient9999"),
                ["subgroup_training.txt", "patient9999"],
            ),
        },
    ),
    "covid_ct": ReaderCase(
        make="make_covid_ct",
        datalist=covid_ct.datalist,
        load=LoadUnitImaged(channels=1),
        images="Images-processed/*/*g",
        faults={
            "missing label": (unlink("Data-split/COVID/trainCT_COVID.txt"), ["trainCT_COVID.txt"]),
            "table without its column": (covid_ct_table, ["COVID-CT-MetaInfo.xlsx", "Patient ID"]),
            "table and images do not fit": (
                rewrite("Data-split/NonCOVID/trainCT_NonCOVID.txt", "91%1.jpg", "91%7.jpg"),
                ["trainCT_NonCOVID.txt", "91%7.jpg"],
            ),
        },
    ),
    "lizard": ReaderCase(
        make="make_lizard",
        datalist=lambda root, section: lizard.datalist(root, section, "both", patch_size=16),
        load=LoadUnitImaged(mask_kind="index"),
        images="lizard_images?/*/*.png",
        faults={
            "missing label": (unlink("lizard_labels/Lizard_Labels/Labels/crag_5.mat"), ["Labels", "crag_5"]),
            "table without its column": (
                rewrite("lizard_labels/Lizard_Labels/info.csv", "Split", "Fold"), ["info.csv", "Split"]
            ),
            "table and images do not fit": (
                rewrite("lizard_labels/Lizard_Labels/info.csv", "crag_5", "crag_95"), ["info.csv", "crag_5"]
            ),
        },
    ),
    "folder": ReaderCase(
        make="make_folder",
        datalist=folder.datalist,
        load=LoadSliced(mask_values=(0, 255)),
        images="images/*.png",
        faults={
            "missing folder": (shutil.rmtree, ["dataset_dir"]),
            "empty folder": (empty, ["dataset_dir"]),
            "truncated image": (all_images("images/*.png", halve), ["scan0.png"]),
            "text as image": (
                all_images("images/*.png", lambda path: path.write_text("<html>not found</html>")), ["scan0.png"]
            ),
            "missing label": (unlink("masks/scan3.png"), ["mask", "scan3"]),
            "table without its column": (rewrite("classes.csv", "image,", "name,"), ["classes.csv", "image"]),
            "table and images do not fit": (rewrite("classes.csv", "scan3", "scan9"), ["classes.csv", "scan"]),
        },
    ),
}


def fault_of(case: ReaderCase, fault: str) -> tuple[Damage, str, list[str]]:
    """What is done to the folder, the section that is asked for, and what the message must hold."""
    suffix = case.images.rpartition("*")[2].rpartition(".")[2]
    common: dict[str, tuple[Damage, list[str]]] = {
        "missing folder": (shutil.rmtree, ["is not a folder", "can be had from"]),
        "empty folder": (empty, ["is empty", "can be had from"]),
        "truncated image": (all_images(case.images, halve), [f"{suffix}: cannot be read as an image"]),
        "text as image": (
            all_images(case.images, lambda path: path.write_text("<html>not found</html>")),
            [f"{suffix}: cannot be read as an image"],
        ),
        "unknown section": (lambda root: None, ["section 'train'", "'training'"]),
    }
    damage, words = {**common, **case.faults}[fault]
    return damage, "train" if fault == "unknown section" else "training", words


def cases() -> list[tuple[str, str]]:
    """Every reader with every fault, but for tables that it does not read."""
    every = [(name, fault) for name in READERS for fault in FAULTS]
    return [pair for pair in every if "table" not in pair[1] or pair[1] in READERS[pair[0]].faults]


def read(case: ReaderCase, root: Path, section: str) -> list[dict[Any, Any]]:
    return [case.load(item) for item in case.datalist(root, section)]


@pytest.mark.parametrize("name", READERS)
def test_the_undamaged_folder_reads(request: pytest.FixtureRequest, name: str) -> None:
    items = read(READERS[name], request.getfixturevalue(READERS[name].make)(), "training")
    assert len(items) > 1
    assert all(item["label"].min() >= 0 and item["label"].max() <= 1 for item in items)


@pytest.mark.parametrize(("name", "fault"), cases())
def test_fault_is_one_error_that_names_the_place(request: pytest.FixtureRequest, name: str, fault: str) -> None:
    case = READERS[name]
    root = request.getfixturevalue(case.make)()
    damage, section, words = fault_of(case, fault)
    damage(root)
    with pytest.raises(InputError) as caught:
        read(case, root, section)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    if fault != "unknown section":
        assert str(root) in message, "the path tells which folder it was"
