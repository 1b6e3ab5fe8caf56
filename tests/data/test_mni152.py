"""The MNI152 slices: split, arrays, determinism, errors."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from shared.data import mni152
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import LoadSourced

SECTIONS = ("training", "validation", "test")


def _nifti(path: Path) -> Any:
    return nibabel.load(path)


@pytest.fixture(scope="module")
def volumes() -> dict[str, Any]:
    """The three volumes as nibabel gives them: [x, y, z], uint8."""
    names = {"t1": mni152.T1, "grey": mni152.GREY, "white": mni152.WHITE}
    folder = Path(mni152.package_dir())
    return {key: np.asanyarray(_nifti(folder / name).dataobj) for key, name in names.items()}


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[dict[Any, Any]]]:
    load = mni152.LoadMNI152Sliced()
    folder = mni152.package_dir()
    return {section: [load(item) for item in mni152.datalist(folder, section)] for section in SECTIONS}


def _z(section: str) -> list[int]:
    return [item["slice"] for item in mni152.datalist(mni152.package_dir(), section)]


def test_test_slices_are_those_of_the_issue() -> None:
    assert _z("test") == [88, 90, 92, 94, 96, 98, 100]


@pytest.mark.parametrize(("one", "other"), [("test", "training"), ("test", "validation"), ("validation", "training")])
def test_three_unused_slices_lie_between_two_sections(one: str, other: str) -> None:
    assert min(abs(a - b) for a in _z(one) for b in _z(other)) - 1 >= 3


def test_training_takes_every_slice_with_brain_that_keeps_the_gap(volumes: dict[str, Any]) -> None:
    brain = (volumes["t1"] / volumes["t1"].max() > 0.2).mean(axis=(0, 1)) >= 0.05
    kept_out = _z("test") + _z("validation")
    expected = [z for z in range(len(brain)) if brain[z] and min(abs(z - k) for k in kept_out) > 3]
    # Between two test slices nothing may be used either, which the gap gives because they are 2 apart.
    assert _z("training") == expected
    assert len(expected) == 104


def test_items_are_unique_and_same_at_each_call() -> None:
    folder = mni152.package_dir()
    items = [item for section in SECTIONS for item in mni152.datalist(folder, section)]
    assert len({item["id"] for item in items}) == len({item["group"] for item in items}) == len(items)
    assert items == [item for section in SECTIONS for item in mni152.datalist(folder, section)]
    assert all(Path(item[key]).is_file() for item in items for key in ("label", "mask", "mask_white"))
    assert (items[-1]["id"], items[-1]["plane"]) == ("axial_100", "axial")


def test_label_is_the_axial_slice_with_anterior_on_top(volumes: dict[str, Any], loaded: dict[str, Any]) -> None:
    for item in loaded["test"]:
        expected = volumes["t1"][:, :, item["slice"]].T[::-1].astype(np.float64) / 255
        np.testing.assert_allclose(item["label"][0].numpy(), expected, rtol=0, atol=1e-7)
    affine = _nifti(Path(mni152.package_dir()) / mni152.T1).affine
    assert nibabel.aff2axcodes(affine) == ("R", "A", "S")


def test_scale_is_that_of_inference_and_of_the_shipped_weights(tmp_path: Path, volumes: dict[str, Any]) -> None:
    """0 to 0 and 255 to 1, as before the rule; one voxel that is none of the image has no part in it."""
    load, (item, *_) = mni152.LoadMNI152Sliced(), mni152.datalist(mni152.package_dir(), "test")
    plane = volumes["t1"][:, :, item["slice"]].T[::-1]
    np.testing.assert_array_equal(load(item)["label"][0].numpy(), plane.astype(np.float32) / np.float32(255))
    hot = np.minimum(volumes["t1"], 130)
    hot[98, 116, item["slice"]] = 255
    image = _nifti(Path(item["label"]))
    nibabel.save(nibabel.Nifti1Image(hot, image.affine), tmp_path / "hot.nii")
    hot_item = {**item, "label": str(tmp_path / "hot.nii")}
    for rule in (IntensityScaling("minmax"), IntensityScaling("window", 0, 100)):
        whole = LoadSourced("image", rule)({"image": hot_item["label"]})["image"].as_tensor()[0, ..., item["slice"]]
        seen = mni152.LoadMNI152Sliced("label", scaling=rule)(hot_item)["label"][0]
        assert torch.equal(seen, whole.T.flip(0).clamp(0, 1))
    assert (load(hot_item)["label"] == 1).float().mean() > 0.1


def test_arrays_are_float_in_range_with_the_classes_of_the_maps(
    volumes: dict[str, Any], loaded: dict[str, Any]
) -> None:
    for item in (item for section in SECTIONS for item in loaded[section]):
        for key in ("label", "mask", "region"):
            assert item[key].shape == (1, 233, 197)
            assert item[key].dtype == torch.float32
        assert item["label"].min() >= 0
        assert 0.3 < item["label"].max() <= 1
        grey, white = (volumes[key][:, :, item["slice"]].T[::-1] / 255 for key in ("grey", "white"))
        expected = np.where((grey >= 0.5) & (grey >= white), 1, np.where(white >= 0.5, 2, 0))
        assert np.array_equal(item["mask"][0].numpy(), expected)
        assert set(np.unique(item["region"])) <= {0.0, 1.0}
        assert torch.equal(item["region"], (item["label"] > 0.2).float())
    shares = torch.stack([(item["mask"] == c).float().mean() for c in (0, 1, 2) for item in loaded["test"]])
    assert shares.min() > 0.15
    outside = [item["mask"][item["region"] == 0].count_nonzero() for item in loaded["test"]]
    assert max(outside) < 0.001 * 233 * 197


def test_region_is_nilearns_brain_mask(loaded: dict[str, Any]) -> None:
    datasets = pytest.importorskip("nilearn.datasets")
    mask = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj)
    item = loaded["test"][3]
    assert np.array_equal(item["region"][0].numpy(), mask[:, :, item["slice"]].T[::-1])


def _psnr(images: list[Tensor], labels: list[Tensor]) -> float:
    errors = torch.stack([(a - b).square().mean() for a, b in zip(images, labels, strict=True)])
    return float((-10 * errors.log10()).mean())


def test_clipped_noise_costs_what_the_trial_found(loaded: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [item["label"] for item in loaded["test"]]
    noise = [0.1 * torch.randn(label.shape, generator=generator) for label in labels]
    clipped = [(label + n).clamp(0, 1) for label, n in zip(labels, noise, strict=True)]
    assert _psnr(clipped, labels) == pytest.approx(21.6, abs=0.1)
    assert _psnr([a + n for a, n in zip(labels, noise, strict=True)], labels) < 20.1


def test_loading_gives_fresh_tensors_and_keeps_the_item() -> None:
    item = mni152.datalist(mni152.package_dir(), "test")[0]
    before = dict(item)
    load = mni152.LoadMNI152Sliced()
    first = load(item)
    expected = {key: first[key].clone() for key in ("label", "mask", "region")}
    for key in expected:
        first[key].add_(1.0)
    second = load(item)
    assert item == before
    assert "mask_white" not in second
    assert second["slice"] == 88
    assert all(torch.equal(second[key], value) for key, value in expected.items())


def test_nilearn_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "nilearn"]:
        monkeypatch.delitem(sys.modules, name)
    fresh = runpy.run_path(mni152.__file__)
    item = fresh["datalist"](fresh["package_dir"](), "test")[0]
    assert fresh["LoadMNI152Sliced"]()(item)["label"].shape == (1, 233, 197)
    assert "nilearn" not in sys.modules


def test_missing_package_folder_and_section_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="section must be one of training, validation, test, found 'train'"):
        mni152.datalist(mni152.package_dir(), "train")
    with pytest.raises(InputError, match=f"no {mni152.T1} in {tmp_path}"):
        mni152.datalist(str(tmp_path), "test")
    monkeypatch.setattr(mni152.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install nilearn"):
        mni152.package_dir()


def test_unusable_volumes_are_named(tmp_path: Path) -> None:
    item = mni152.datalist(mni152.package_dir(), "test")[0]
    load = mni152.LoadMNI152Sliced()
    with pytest.raises(InputError, match="slice must lie in 0 … 188, found 189"):
        load({**item, "slice": 189})
    with pytest.raises(InputError, match="gone.nii.gz"):
        load({**item, "label": str(tmp_path / "gone.nii.gz")})
    truncated = tmp_path / "truncated.nii.gz"
    truncated.write_bytes(Path(item["label"]).read_bytes()[:5000])
    with pytest.raises(InputError, match="truncated.nii.gz: not readable"):
        load({**item, "label": str(truncated)})
    small = tmp_path / "small.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), dtype=np.uint8), np.eye(4)), small)
    with pytest.raises(InputError, match=r"small.nii.gz: found size \(5, 4, 3\), expected \(189, 233, 197\)"):
        load({**item, "mask": str(small)})
