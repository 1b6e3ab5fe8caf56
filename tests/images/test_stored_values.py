"""What the network sees of stored values, and what becomes of those that it does not see."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from shared import InputError
from shared.images import IntensityScaling
from shared.images.picture import SourceRecord
from shared.inference import LoadSourced, find_images, load_scaling

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(5)


class Denoiser(nn.Module):
    """Takes what is fainter than noise of 0.1 for noise, as a trained network does; remembers the range that it saw."""

    def __init__(self, factor: int = 1, shrink: Callable[..., torch.Tensor] = nn.functional.hardshrink) -> None:
        super().__init__()
        self.factor = factor
        self.shrink = shrink
        self.ends = (np.inf, -np.inf)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.ends = (min(self.ends[0], float(images.min())), max(self.ends[1], float(images.max())))
        mean = images.mean(dim=(2, 3), keepdim=True)
        signal = self.shrink(images - mean, 0.1)
        return (mean + signal).repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


def ramp(top: int, dtype: str = "uint16") -> NDArray:
    return np.linspace(0, top, 37 * 31).reshape(37, 31).astype(dtype)


def save_png(path: Path, pixels: NDArray) -> None:
    Image.fromarray(pixels).save(path)


def save_tiff(path: Path, pixels: NDArray) -> None:
    tifffile.imwrite(path, pixels)


def read(path: str) -> NDArray:
    return tifffile.imread(path) if path.endswith(".tif") else np.asarray(Image.open(path))


@pytest.mark.parametrize(("save", "suffix"), [(save_png, ".png"), (save_tiff, ".tif")])
@pytest.mark.parametrize("top", [255, 1000, 4095, 65535])
def test_deep_files_fill_the_range_whatever_bits_they_use(
    tmp_path: Path, enhance: Enhance, save: Callable[[Path, NDArray], None], suffix: str, top: int
) -> None:
    pixels = ramp(top)
    save(tmp_path / f"a{suffix}", pixels)
    network = Denoiser()
    (output,) = enhance(tmp_path / f"a{suffix}", tmp_path / "out", network=network)
    result = read(output)
    assert network.ends == pytest.approx((0, top / (2 ** max(8, 2 * round(np.ceil(np.log2(top + 1) / 2))) - 1)))
    assert result.dtype == np.uint16
    assert result.std() == pytest.approx(pixels.std(), rel=0.02), "a faint image is wiped out"
    assert result.max() <= top


def test_a_dicom_file_of_sixteen_bits_with_twelve_in_use(
    tmp_path: Path, enhance: Enhance, write_dicom: Callable[..., Path]
) -> None:
    source = write_dicom(tmp_path / "a.dcm", ramp(4095), bits=16, Modality="DX")
    network = Denoiser()
    enhance(source, tmp_path / "out", network=network)
    assert network.ends == pytest.approx((0, 1))


def test_the_record_says_which_rule_was_used(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", ramp(1000))
    nibabel.save(nibabel.Nifti1Image(ramp(1000, "float32"), np.eye(4)), tmp_path / "a.nii")
    said = {}
    for name, rule in {"a.png": IntensityScaling(), "a.nii": IntensityScaling("minmax")}.items():
        record = SourceRecord.from_json(LoadSourced("image", rule)({"image": str(tmp_path / name)})["image_record"])
        said[name] = (record.scaling, record.bits)
    assert said == {"a.png": ("10 bits: 0 to 1023", 10), "a.nii": ("minmax: 0 to 1000", None)}


def test_bits_are_fixed_by_a_key(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", ramp(1000))
    (tmp_path / "provenance.json").write_text(json.dumps({"intensity_scaling": {"real": "minmax"}}))
    scaling = load_scaling(str(tmp_path / "model.pt"), bits=12)
    assert scaling == IntensityScaling("minmax", bits=12)
    image = LoadSourced("image", scaling)({"image": str(tmp_path / "a.png")})["image"]
    assert float(image.max()) == pytest.approx(1000 / 4095)
    with pytest.raises(InputError, match=r"a\.png: bits: found 8, but values from 0 to 1000, expected 10"):
        LoadSourced("image", IntensityScaling(bits=8))({"image": str(tmp_path / "a.png")})


def brain() -> NDArray:
    grid = np.indices((30, 28, 6)) - np.array([14.5, 13.5, 2.5])[:, None, None, None]
    return np.where((grid**2).sum(axis=0) < 150, RNG.uniform(200, 1000, (30, 28, 6)), 0).astype(np.float32)


@pytest.mark.parametrize("rule", [IntensityScaling("minmax"), IntensityScaling()])
@pytest.mark.parametrize("factor", [10, 1000])
@pytest.mark.parametrize("growth", [1, 2])
def test_a_hot_voxel_stays_and_harms_no_other(
    tmp_path: Path, enhance: Enhance, rule: IntensityScaling, factor: int, growth: int
) -> None:
    volume = brain()
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "clean.nii")
    hot = volume.copy()
    hot[3, 4, 2] = factor * volume.max()
    nibabel.save(nibabel.Nifti1Image(hot, np.eye(4)), tmp_path / "hot.nii")
    network = Denoiser(growth, nn.functional.softshrink)
    results = [
        nibabel.Nifti1Image.from_filename(
            enhance(tmp_path / f"{name}.nii", tmp_path / name, network=network, scaling=rule)[0]
        ).get_fdata()
        for name in ("clean", "hot")
    ]
    assert results[1].shape == (30 * growth, 28 * growth, 6)
    spot = np.zeros(results[1].shape, bool)
    spot[3 * growth : 4 * growth, 4 * growth : 5 * growth, 2] = True
    np.testing.assert_array_equal(results[1][spot], hot[3, 4, 2])
    # The mean of the slice moves by what one clipped voxel of 840 weighs.
    np.testing.assert_allclose(results[1][~spot], results[0][~spot], atol=0.01 * volume.max())


@pytest.mark.parametrize("growth", [1, 2])
def test_missing_values_of_a_volume_stay_missing(tmp_path: Path, enhance: Enhance, growth: int) -> None:
    volume = brain() - 100
    volume[:8] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 2, 3, 1])), tmp_path / "a.nii.gz")
    network = Denoiser(growth)
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", network=network)
    result: Any = nibabel.Nifti1Image.from_filename(output).get_fdata()
    np.testing.assert_array_equal(np.isnan(result), np.isnan(volume).repeat(growth, 0).repeat(growth, 1))
    assert network.ends == pytest.approx((0, 1), abs=0.05)
    loaded = LoadSourced("image")({"image": str(tmp_path / "a.nii.gz")})
    record = SourceRecord.from_json(loaded["image_record"])
    assert record.notes == (f"{8 * 28 * 6} of {volume.size} values are NaN: taken for padding and kept",)


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [(np.inf, 0, "28 of 784 values are infinite"), (np.nan, slice(None), "784 of 784 values are NaN")],
)
def test_infinite_values_and_nothing_but_nan_are_refused(
    tmp_path: Path, value: float, where: Any, message: str
) -> None:
    pixels = np.ones((28, 28), np.float32)
    pixels[where] = value
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=rf"a\.nii: {message}"):
        LoadSourced("image")({"image": str(tmp_path / "a.nii")})


def test_an_image_of_several_kinds_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Magnitudes and phases in one file: each fills [0, 1], and both come back."""
    from shared.images import formats
    from shared.inference import RestoreSourced, transforms

    volume = np.concatenate([RNG.uniform(0, 1000, (12, 10, 3)), RNG.uniform(-3, 3, (12, 10, 3))], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1, -1, 1, 1])), tmp_path / "a.nii")
    whole = formats.read_picture

    def with_parts(source: Any) -> Any:
        return formats.replace(whole(source), parts=(0, 0, 0, 1, 1, 1))

    monkeypatch.setattr(transforms, "read_picture", with_parts)
    for plane in ("axial", "sagittal"):
        loaded = LoadSourced("image", IntensityScaling("minmax"), plane)({"image": str(tmp_path / "a.nii")})
        frames = np.moveaxis(np.asarray(loaded["image"]), -1, 0) if plane == "axial" else None
        if frames is not None:
            assert all(frame.min() < 0.05 and frame.max() > 0.95 for frame in frames)
        loaded["pred"] = loaded["image"]
        restored = RestoreSourced("pred")(loaded)["pred"][0]
        np.testing.assert_allclose(restored, volume, atol=1e-3)
        record = SourceRecord.from_json(loaded["image_record"])
        assert record.scaling.count("minmax") == 2
        assert [item["image"] for item in find_images(str(tmp_path), str(tmp_path / "o"))] == [str(tmp_path / "a.nii")]


@pytest.mark.parametrize("growth", [1, 2])
def test_outliers_and_missing_values_leave_the_levels_of_a_dicom_image_to_the_rest(
    tmp_path: Path, enhance: Enhance, growth: int
) -> None:
    volume = brain()
    volume[3, 4, 2], volume[:2] = 1e6, np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    network = Denoiser(growth, lambda images, _: images)
    (folder,) = enhance(
        tmp_path / "a.nii", tmp_path / "out", network=network, scaling=IntensityScaling("minmax"), output_format="dicom"
    )
    slices = [pydicom.dcmread(path) for path in sorted(Path(folder).iterdir())]
    found = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices], -1)
    usual = volume[np.isfinite(volume) & (volume < 1e5)]
    assert len(np.unique(found)) > 500
    assert (found.min(), found.max()) == pytest.approx((usual.min(), usual.max()), abs=0.1)


def test_missing_values_are_dark_in_a_picture(tmp_path: Path, enhance: Enhance) -> None:
    pixels = np.linspace(100, 900, 900, dtype=np.float32).reshape(30, 30)
    pixels[:, :9] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", output_format="png")
    shown = np.asarray(Image.open(output))
    assert (shown[:, :9] == 0).all()
    assert shown.max() == 255
