"""Volumes become slices of one orientation, and volumes again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from PIL import Image
from torch import nn

from shared import InputError
from shared.data.loading import read_image
from shared.images import IntensityScaling
from shared.images.layout import from_slices, slice_axis, to_slices
from shared.inference import LoadSourced

ORIENTATIONS = [
    "".join(code) for axes in itertools.permutations(("LR", "PA", "IS")) for code in itertools.product(*axes)
]
AXIAL = 2


def stored_as(volume: np.ndarray, orientation: str) -> tuple[np.ndarray, np.ndarray]:
    """A RAS+ volume [X, Y, Z] as another scanner would store it, with its affine."""
    image = nibabel.Nifti1Image(volume, np.eye(4))
    change = nibabel.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(orientation))
    moved = nibabel.orientations.apply_orientation(volume, change)
    return moved, image.affine @ inv_ornt_aff(change, volume.shape)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_network_sees_the_same_slices_however_the_volume_is_stored(orientation: str) -> None:
    volume = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    stored, affine = stored_as(volume, orientation)
    assert "".join(nibabel.aff2axcodes(affine)) == orientation
    for plane, axis in {"sagittal": 0, "coronal": 1, "axial": 2}.items():
        assert slice_axis(stored.shape, affine, plane) == axis
        slices = to_slices(stored[None], affine, axis)
        np.testing.assert_array_equal(slices[0], np.moveaxis(volume, axis, 2))
        np.testing.assert_array_equal(from_slices(slices, stored.shape, affine, axis)[0], stored)


def test_series_of_volumes() -> None:
    stored = np.arange(4 * 5 * 6 * 3, dtype=np.float32).reshape(1, 4, 5, 6, 3)
    affine = np.diag([-1.0, 1, 1, 1])
    slices = to_slices(stored, affine, AXIAL)
    assert slices.shape == (1, 4, 5, 18)
    np.testing.assert_array_equal(from_slices(slices, (4, 5, 6, 3), affine, AXIAL), stored)


def test_thin_volume_is_cut_along_its_thin_axis() -> None:
    assert slice_axis((1, 20, 30), np.eye(4), "axial") == 0
    assert slice_axis((20, 30, 1), np.eye(4), "sagittal") == 2
    assert slice_axis((20, 1, 1), np.eye(4), "axial") == 2
    assert slice_axis((20, 30), np.eye(4), "axial") is None
    assert slice_axis((20, 30, 4), None, "axial") is None


def test_degenerate_matrix_keeps_the_stored_order() -> None:
    stored = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    slices = to_slices(stored, np.zeros((4, 4)), AXIAL)
    np.testing.assert_array_equal(slices, stored)


def test_slices_are_enhanced_by_themselves_in_the_stated_plane(tmp_path: Path, enhance: Callable) -> None:
    volume = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    stored, affine = stored_as(volume, "PIR")
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii.gz")
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", network=_MeanOfSlice(), plane="coronal")
    result = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_filename(output)).get_fdata()
    expected = volume.mean(axis=(0, 2), keepdims=True).repeat(7, axis=0).repeat(5, axis=2)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_unknown_plane() -> None:
    with pytest.raises(InputError, match="plane: found 'oblique', expected one of sagittal, coronal, axial"):
        LoadSourced("image", plane="oblique")


def test_loaded_image_carries_what_other_programs_ask_for(tmp_path: Path) -> None:
    stored, affine = stored_as(np.random.default_rng(0).normal(size=(4, 5, 6)), "LPS")
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii.gz")
    image = LoadSourced("image")({"image": str(tmp_path / "a.nii.gz")})["image"]
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.affine.numpy(), affine)
    assert image.meta["spatial_shape"].tolist() == [4, 5, 6]
    assert image.meta["filename_or_obj"] == str(tmp_path / "a.nii.gz")


class _MeanOfSlice(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images).clone()


def test_stated_rule_scales_the_image(tmp_path: Path) -> None:
    nibabel.save(
        nibabel.Nifti1Image(np.array([[-160, 40], [240, 440]], np.int16), np.eye(4)), tmp_path / "a.nii"
    )
    load = LoadSourced("image", scaling=IntensityScaling("window", -160, 240))
    image = load({"image": str(tmp_path / "a.nii")})["image"]
    np.testing.assert_allclose(image.numpy(), [[[0, 0.5], [1, 1.5]]], atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3)])
def test_transposed_slices_are_those_that_training_reads_and_go_back_as_they_came(enhance, shape, tmp_path) -> None:
    """CAMUS: training reads frames as they are shown, [Y, X]."""
    stored = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii.gz")
    rule = IntensityScaling("bits")
    load = LoadSourced("image", rule, transpose=True)
    seen = load({"image": str(tmp_path / "a.nii.gz")})["image"].as_tensor()
    if len(shape) == 2:
        torch.testing.assert_close(seen, read_image(tmp_path / "a.nii.gz", channels=1, scaling=rule))
    np.testing.assert_allclose(seen[0].numpy(), stored.swapaxes(0, 1) / np.float32(255), rtol=1e-6)
    (result,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", transpose=True)
    np.testing.assert_array_equal(nibabel.load(result).get_fdata(), stored)


def test_pictures_are_not_transposed(tmp_path) -> None:
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    assert LoadSourced("image", transpose=True)({"image": str(tmp_path / "a.png")})["image"].shape == (1, 3, 4)
