from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import CenterSpatialCrop

from shared.data import brats
from shared.data.brats import LoadBraTSSliced, datalist
from shared.data.slices import LoadSliced
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import LoadSourced
from tests.data.brats_folders import (
    AFFINE,
    DESCRIPTION,
    LAYOUTS,
    SHAPE,
    labels,
    save,
    volume,
    write_brats,
    write_case,
    write_decathlon,
)

SECTIONS = ("training", "validation", "test")
CROP = 16
PLAIN = IntensityScaling("window", 0, 2000)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def everything(root: Path, **arguments: Any) -> list[dict[str, Any]]:
    items = [item for section in SECTIONS for item in datalist(root, section, **{"crop_size": CROP, **arguments})]
    return sorted(items, key=lambda item: (item["group"], item["slice"]))


def displayed(values: Any, place: int) -> Any:
    """A slice of [X, Y, Z] in RAS order: anterior at the top, left on the left."""
    return values[:, :, place].T[::-1]


def number_of(item: dict[str, Any]) -> int:
    return int(re.findall(r"\d+", item["group"].removesuffix("_1"))[-1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_slices(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout](tmp_path / "data")
    items = everything(tmp_path / "data")
    # A head of radius 1 in a volume of 1.2: the first and the last slice are empty.
    places = [place for place in range(SHAPE[2]) if volume(1, "t1ce")[1:17, 3:19, place].astype(bool).mean() >= 0.1]
    assert places == [1, 2, 3, 4, 5, 6]
    assert [(number_of(item), item["slice"]) for item in items] == [(n, z) for n in range(1, 6) for z in places]
    assert [item["id"] for item in items] == [f"{item['group']}_z{item['slice']:03d}" for item in items]
    load = LoadBraTSSliced("label", scaling=PLAIN)
    for item in items[::7]:
        loaded, number, place = load(item), number_of(item), item["slice"]
        expected = displayed(volume(number, "t1ce"), place) / 2000
        np.testing.assert_allclose(loaded["label"][0], expected, rtol=0, atol=1e-6)
        classes = np.searchsorted([0, 1, 2, 4], displayed(labels(number), place))
        np.testing.assert_array_equal(loaded["mask"][0], classes)
        assert loaded["label"].dtype == loaded["mask"].dtype == torch.float32
        assert loaded["label"].shape == loaded["mask"].shape == (1, 22, 18)
        assert "cached" not in loaded
        assert item["cached"]


@pytest.mark.parametrize("modality", brats.MODALITIES)
@pytest.mark.parametrize("write", [write_brats, write_decathlon])
def test_each_modality_is_its_own_volume(tmp_path: Path, modality: str, write: Callable[..., Path]) -> None:
    write(tmp_path / "data")
    item = datalist(tmp_path / "data", "test", modality, crop_size=CROP)[2]
    expected = displayed(volume(number_of(item), modality), item["slice"]) / 2000
    np.testing.assert_allclose(LoadBraTSSliced(scaling=PLAIN)(item)["label"][0], expected, rtol=0, atol=1e-6)


def test_the_decathlons_description_is_believed(tmp_path: Path) -> None:
    swapped = {
        "modality": {"0": "T2w", "1": "T1w", "2": "t1gd", "3": "FLAIR"},
        "labels": {"0": "Background", "1": "non-enhancing tumour", "2": "oedema", "3": "enhancing tumor"},
    }
    root = write_decathlon(tmp_path / "data", description=swapped)
    item = datalist(root, "test", "t2", crop_size=CROP)[0]
    loaded = LoadBraTSSliced(scaling=PLAIN)(item)
    number, place = number_of(item), item["slice"]
    expected = displayed(volume(number, "flair"), place) / 2000  # the volumes were written in the usual order
    np.testing.assert_allclose(loaded["label"][0], expected, rtol=0, atol=1e-6)
    stored = np.select([labels(number) == label for label in (0, 1, 2, 4)], [0, 2, 1, 3])
    classes = np.select([stored == 0, stored == 1, stored == 2, stored == 3], [0, 1, 2, 3])
    np.testing.assert_array_equal(loaded["mask"][0], displayed(classes, place))


RULES = {
    "default": IntensityScaling(),
    "narrow": IntensityScaling("percentile", 5, 95),
    "minmax": IntensityScaling("minmax"),
    "bits": IntensityScaling("bits"),
}
AFFINES = {
    "BraTS": AFFINE,
    "RAS": np.eye(4),
    "feet first": np.diag([-1.0, 1.0, -1.0, 1.0]),
}


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("affine", AFFINES)
def test_values_are_those_of_the_other_readers_and_of_inference(tmp_path: Path, affine: str, kind: type) -> None:
    root = write_brats(tmp_path / "data")
    for path in root.glob("*/*_t1ce.nii.gz"):
        values = volume(int(path.parent.name[-3:]), "t1ce").astype(kind)
        values[9, 11, 3] = 9999  # one hot voxel
        save(path, values, AFFINES[affine])
        if kind is np.uint16:
            image = nibabel.load(path)
            image.header.set_slope_inter(-0.5, 3)
            nibabel.save(image, path)
    items = datalist(root, "training", crop_size=CROP)[::4]
    for rule in RULES.values():
        load, other = LoadBraTSSliced(scaling=rule), LoadSliced(scaling=rule, mask_values=(0, 1, 2, 4))
        for item in items:
            loaded, expected = load(item), other({**item})
            for key in ("label", "mask"):
                assert torch.equal(loaded[key], expected[key].transpose(1, 2).flip(1))
            seen = LoadSourced("image", rule)({"image": item["label"]})["image"].as_tensor()
            assert torch.equal(loaded["label"], seen[..., item["slice"]].transpose(1, 2).flip(1).clamp(0, 1))


@pytest.mark.parametrize("size", [15, 16, 17, 18])
def test_the_crop_is_monais_centre(tmp_path: Path, size: int) -> None:
    root = write_brats(tmp_path / "data")
    for item in datalist(root, "test", crop_size=size):
        whole, cropped = LoadBraTSSliced()(item), LoadBraTSSliced(crop_size=size)(item)
        for key in ("label", "mask"):
            assert torch.equal(cropped[key], CenterSpatialCrop(size)(whole[key]).as_tensor())


@pytest.mark.parametrize("minimum", [0, 0.1, 0.4])
@pytest.mark.parametrize("size", [6, 15, None])
def test_slices_have_the_least_content_in_their_centre(tmp_path: Path, minimum: float, size: int | None) -> None:
    root = write_brats(tmp_path / "data")
    found = [(number_of(item), item["slice"]) for item in everything(root, crop_size=size, minimum_content=minimum)]
    expected = []
    for number in range(1, 6):
        for place in range(SHAPE[2]):
            plane = torch.from_numpy(displayed(volume(number, "t1ce"), place).copy())[None]
            crop = plane if size is None else CenterSpatialCrop(size)(plane)
            if (crop != 0).float().mean() >= minimum:
                expected.append((number, place))
    assert found == expected


def test_parts_are_of_patients_and_the_same_each_time(tmp_path: Path) -> None:
    root = write_brats(tmp_path / "data", cases=30)
    parts = [{item["group"] for item in datalist(root, section, crop_size=CROP)} for section in SECTIONS]
    assert [len(part) for part in parts] == [24, 3, 3]
    assert len(set.union(*parts)) == 30
    assert parts[2] == {item["group"] for item in datalist(str(root), "test", crop_size=CROP)}
    assert parts[2] != {item["group"] for item in datalist(root, "test", crop_size=CROP, seed=1)}


@pytest.mark.parametrize("limit", [1, 4, 7, 17, 18, 19])
def test_a_limit_takes_slices_evenly_from_all_cases(tmp_path: Path, limit: int) -> None:
    """Of 3 cases of 6 slices: the distance between two that are taken differs by one at most."""
    root = write_brats(tmp_path / "data")
    whole = [item["id"] for item in datalist(root, "training", crop_size=CROP)]
    places = [whole.index(item["id"]) for item in datalist(root, "training", crop_size=CROP, limit=limit)]
    assert len(whole) == 18
    assert len(places) == min(limit, 18)
    steps = np.diff([*places, places[0] + 18])
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


def test_cases_without_labels_are_left_out_where_others_have_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_brats(tmp_path / "data" / "MICCAI_BraTS2020_TrainingData").parent
    for number in (1, 2):
        folder = write_case(root / "MICCAI_BraTS2020_ValidationData" / f"BraTS20_Validation_{number:03d}", number)
        (folder / f"{folder.name}_seg.nii.gz").unlink()
    assert {item["group"][:16] for item in everything(root)} == {"BraTS20_Training"}
    assert "2 case(s) without tumour labels left out, first 'BraTS20_Validation_001'" in caplog.text
    for path in root.rglob("*_seg.nii.gz"):
        path.unlink()
    items = everything(root)
    assert len({item["group"] for item in items}) == 7
    assert not any("mask" in item for item in items)
    assert "mask" not in LoadBraTSSliced()(items[0])


def test_the_given_item_stays_as_it_is(tmp_path: Path) -> None:
    item = datalist(write_brats(tmp_path / "data"), "test", crop_size=CROP)[0]
    before, load = dict(item), LoadBraTSSliced()
    first = load(item)["label"]
    expected = first.clone()
    first.add_(1)
    assert item == before
    assert torch.equal(load(item)["label"], expected)


def first_case(root: Path) -> Path:
    return root / "BraTS20_Training_001"


def rewritten(name: str, change: Callable[[Any], Any], affine: Any = AFFINE) -> Callable[[Path], None]:
    """Damage that gives a volume of the first case other values."""

    def damage(root: Path) -> None:
        path = first_case(root) / f"{first_case(root).name}_{name}.nii.gz"
        values = change(np.asarray(nibabel.load(path).dataobj))
        nibabel.save(nibabel.Nifti1Image(values, affine), path)

    return damage


def with_value(value: float, kind: type) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        changed = values.astype(kind)
        changed[9, 11, 4] = value
        return changed

    return change


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def truncated(root: Path) -> None:
    path = first_case(root) / "BraTS20_Training_001_t1ce.nii.gz"
    path.write_bytes(path.read_bytes()[:400])


# What is done to a good folder, and what the message must say.
FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (shutil.rmtree, ["data' is not a folder", "synapse.org", "medicaldecathlon.com"]),
    "empty": (empty, ["data' is empty", "synapse.org"]),
    "other files": (
        lambda r: (empty(r), (r / "a.txt").touch()),
        ["<case>_t1ce.nii.gz", "imagesTr/BRATS_001.nii.gz", "data'", "4 folders below", "synapse.org"],
    ),
    "no T1ce": (
        lambda r: (first_case(r) / "BraTS20_Training_001_t1ce.nii.gz").unlink(),
        ["case 'BraTS20_Training_001'", "no file 'BraTS20_Training_001_t1ce.nii.gz'", "synapse.org"],
    ),
    "both endings": (
        lambda r: (first_case(r) / "BraTS20_Training_001_t1ce.nii").touch(), ["_t1ce.nii'", "_t1ce.nii.gz'", "same"]
    ),
    "a case twice": (
        lambda r: shutil.copytree(first_case(r), r / "copy" / first_case(r).name),
        ["'BraTS20_Training_001' is there twice", "data/copy/BraTS20_Training_001"],
    ),
    "two years": (
        lambda r: write_case(r / "Brats18_2013_2_1", 1), ["holds BraTS20 and Brats18", "patients in common"]
    ),
    "too few": (lambda r: (empty(r), write_brats(r, 2)), ["2 group(s) are too few"]),
    "label": (
        rewritten("seg", with_value(3, np.uint8)), ["001_seg.nii.gz: found the label 3, expected one of 0, 1, 2, 4"]
    ),
    "label that is not whole": (rewritten("seg", with_value(1.5, np.float32)), ["found the label 1.5"]),
    "mask of another size": (
        rewritten("seg", lambda values: values[:, :, 1:]), ["mask of 18 x 22 x 7", "t1ce.nii.gz' has 18 x 22 x 8"]
    ),
    "2-D": (rewritten("t1ce", lambda values: values[:, :, 3]), ["t1ce.nii.gz: found 18 x 22 voxels", "several slices"]),
    "one slice": (rewritten("t1ce", lambda values: values[:, :, 3:4]), ["found 18 x 22 x 1 voxels", "several slices"]),
    "four volumes": (
        rewritten("t1ce", lambda values: np.stack([values] * 4, -1)), ["found 18 x 22 x 8 x 4 voxels", "grey volume"]
    ),
    "NaN": (rewritten("t1ce", with_value(np.nan, np.float32)), ["t1ce.nii.gz: found values that are NaN"]),
    "nothing": (
        lambda r: (rewritten("t1ce", np.zeros_like)(r), rewritten("seg", np.zeros_like)(r)), ["nothing but 0"]
    ),
    "smaller than the crop": (
        lambda r: [rewritten(name, lambda values: values[2:14])(r) for name in ("t1ce", "seg")],
        ["001_t1ce.nii.gz: found the crop_size 16, expected a whole number from 1 to 12, as slices are 12x22 pixels"],
    ),
    "truncated": (truncated, ["001_t1ce.nii.gz"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(tmp_path: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    root = write_brats(tmp_path / "data")
    assert everything(root)
    damage(root)
    with pytest.raises(InputError) as caught:
        everything(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


DESCRIPTIONS = {
    "labels of another task": ({**DESCRIPTION, "labels": {"0": "background", "1": "Anterior"}}, ["1 Anterior"]),
    "a label without number": (
        {**DESCRIPTION, "labels": {"x": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"}},
        ["labels is x background, 1 edema"],
    ),
    "volumes of another task": ({**DESCRIPTION, "modality": {"0": "MRI"}}, ["modality is mri", "t1gd"]),
    "a list": ({**DESCRIPTION, "modality": ["MRI"]}, ["modality is ['MRI'], expected an object"]),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    description, words = DESCRIPTIONS[name]
    root = write_decathlon(tmp_path / "data", 3, description)
    with pytest.raises(InputError, match="dataset.json': ") as caught:
        datalist(root, "test")
    assert all(word in str(caught.value) for word in words)


def test_a_label_of_brats_in_the_decathlon_is_refused(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path / "data")
    for path in root.glob("labelsTr/*"):
        save(path, np.where(labels(1) == 2, 4, 0).astype(np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"labelsTr/BRATS_\d+.nii.gz: found the label 4, expected one of 0, 1, 2, 3"):
        datalist(root, "test", crop_size=CROP)
    for path in root.glob("imagesTr/BRATS*"):
        save(path, volume(1, "t1"), np.eye(4))
    with pytest.raises(InputError, match=r"imagesTr/BRATS_\d+.nii.gz: found 18 x 22 x 8 voxels, expected four volumes"):
        datalist(root, "test", crop_size=CROP)


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "section": ({"section": "train"}, "section 'train' is unknown; the nearest is 'training'"),
    "modality": ({"modality": "t1c"}, "modality 't1c' is unknown; the nearest is 't1ce'"),
    "content": ({"minimum_content": 2}, r"minimum_content: expected a number in \[0, 1\], found 2"),
    "no slice": ({"minimum_content": 1, "crop_size": 18}, "none of the slices of 1 test case.*content 1 in.*size 18"),
    "large crop": ({}, "_t1ce.nii.gz: found the crop_size 96, expected a whole number from 1 to 18.* 18x22 pixels"),
    "no crop": ({"crop_size": 0}, "found the crop_size 0, expected a whole number from 1 to 18"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_the_list_are_checked(tmp_path: Path, name: str) -> None:
    arguments, message = ARGUMENTS[name]
    with pytest.raises(InputError, match=message):
        datalist(write_brats(tmp_path / "data"), **{"section": "test", **arguments})


def test_what_the_loader_is_given_is_checked(tmp_path: Path) -> None:
    item = datalist(write_brats(tmp_path / "data"), "test", crop_size=CROP)[0]
    with pytest.raises(InputError, match="_t1ce.nii.gz: slice must lie in 0 … 7, found 8"):
        LoadBraTSSliced()({**item, "slice": 8})
    with pytest.raises(InputError, match="found the crop_size 19, expected a whole number from 1 to 18"):
        LoadBraTSSliced(crop_size=19)(item)
    with pytest.raises(InputError, match="without 'cached'"):
        LoadBraTSSliced()({"label": item["label"], "slice": 3})
    with pytest.raises(InputError, match=r"_t1ce.nii.gz: bits: found 8.*expected 1\d"):
        LoadBraTSSliced(scaling=IntensityScaling("bits", bits=8))(item)
