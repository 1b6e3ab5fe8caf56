"""Many DICOM files as one volume: what belongs together, in which order, and what is no volume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from pydicom.data import get_testdata_file
from torch import nn

from shared import InputError
from shared.images import IntensityScaling, read_picture
from shared.images.formats import write_picture
from shared.images.picture import SourceRecord
from shared.inference import LoadSourced, RestoreSourced, find_images
from tests.images.dicom.dicom_files import (
    AXIAL,
    CORONAL,
    MR,
    OBLIQUE,
    SAGITTAL,
    by_itk,
    itk_order,
    noise,
    positions,
    save,
    write_series,
)

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(3)


def write_as_nifti(source: Path, path: Path) -> None:
    """What a program does that has not asked :func:`find_images`."""
    loaded = LoadSourced("image")({"image": source})
    restored = RestoreSourced("pred")({**loaded, "pred": loaded["image"]})
    write_picture(str(path), restored["pred"], SourceRecord.from_json(loaded["image_record"]), "nifti")


@pytest.mark.parametrize("planes", [AXIAL, CORONAL, SAGITTAL, OBLIQUE], ids=["axial", "coronal", "sagittal", "oblique"])
@pytest.mark.parametrize("step", [2.5, -2.5])
def test_slices_are_sorted_by_their_place(tmp_path: Path, planes: np.ndarray, step: float) -> None:
    pixels = noise(6, 9, 7)
    files = write_series(tmp_path / "scan", pixels, planes=planes, step=step)
    (item,) = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    expected = [str(path) for path in (files if step > 0 else files[::-1])]
    assert item["image"] == expected
    assert expected in (itk_order(tmp_path / "scan"), itk_order(tmp_path / "scan")[::-1])
    stored = pixels if step > 0 else pixels[::-1]
    shuffled = [files[index] for index in RNG.permutation(len(files))]
    for source in (str(tmp_path / "scan"), tmp_path / "scan", item["image"], shuffled):
        picture = read_picture(source)
        assert list(picture.files) == expected
        np.testing.assert_array_equal(picture.pixels[0], stored.transpose(2, 1, 0))
        affine: Any = picture.affine
        last = affine @ [0, 0, 5, 1] * [-1, -1, 1, 1]
        np.testing.assert_allclose(last[:3], pydicom.dcmread(expected[-1]).ImagePositionPatient, atol=1e-4)
    reference = by_itk(expected)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    np.testing.assert_allclose(np.linalg.norm(lps[:3, :3], axis=0), reference.GetSpacing(), rtol=1e-4)
    np.testing.assert_allclose(lps[:3, 3], reference.GetOrigin(), atol=1e-4)


def test_real_series(tmp_path: Path) -> None:
    """Five CT slices that pydicom ships, against GDCM's order and geometry."""
    folder = Path(str(get_testdata_file("CT_small.dcm"))).parent / "dicomdirtests" / "98892001" / "CT5N"
    picture = read_picture(folder)
    reference = by_itk(itk_order(folder))
    np.testing.assert_array_equal(
        picture.pixels[0].transpose(2, 1, 0) * picture.slope + picture.intercept, SimpleITK.GetArrayFromImage(reference)
    )
    affine: Any = picture.affine
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), reference.GetSpacing(), rtol=1e-5)


@pytest.mark.parametrize("missing", [1, 3])
def test_missing_slice(tmp_path: Path, enhance: Enhance, missing: int, caplog: pytest.LogCaptureFixture) -> None:
    """Each DICOM image keeps its own place; one NIfTI matrix could only misplace what comes behind the gap."""
    pixels = noise(6, 8, 8)
    files = write_series(tmp_path / "scan", pixels)
    files.pop(missing).unlink()
    with pytest.raises(
        InputError, match=f"slices {missing} and {missing + 1} are 5 mm apart, others 2.5 mm, which NIfTI"
    ):
        find_images(str(tmp_path / "scan"), str(tmp_path / "out"), "nifti")
    with pytest.raises(InputError, match="which NIfTI cannot say"):
        write_as_nifti(tmp_path / "scan", tmp_path / "a.nii")
    with caplog.at_level(logging.WARNING, "shared"):
        (output,) = enhance(tmp_path / "scan", tmp_path / "out")
    assert f"slices {missing} and {missing + 1} are 5 mm apart" in caplog.text
    for path in files:
        source, result = pydicom.dcmread(path), pydicom.dcmread(Path(output) / path.name)
        assert source.ImagePositionPatient == result.ImagePositionPatient
        np.testing.assert_array_equal(source.pixel_array, result.pixel_array)


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    places = np.round(positions(AXIAL, 12, 0.625), 1)
    write_series(tmp_path / "scan", noise(12, 4, 4), places=places)
    assert len(find_images(str(tmp_path / "scan"), str(tmp_path / "out"), "nifti")) == 1


def test_tilted_gantry_gives_a_sheared_volume(tmp_path: Path, enhance: Enhance) -> None:
    """Slices that start ever farther back: even along the normal, and the affine says the shift."""
    pixels = noise(5, 8, 8)
    places = positions(AXIAL, 5, 2.5) + np.array([0, 0.8, 0]) * np.arange(5)[:, None]
    write_series(tmp_path / "scan", pixels, places=places)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", output_format="nifti")
    result: Any = nibabel.load(output)
    np.testing.assert_allclose((result.affine @ [0, 0, 4, 1])[:3] * [-1, -1, 1], places[4], atol=1e-3)
    assert int(result.header["qform_code"]) == 0


def test_scaling_is_that_of_the_whole_series(tmp_path: Path, enhance: Enhance) -> None:
    """A dark and a bright slice: scaled each by itself they would look alike to the network."""
    pixels = np.stack([noise(16, 16) // 20, noise(16, 16) // 2, noise(16, 16)])
    write_series(tmp_path / "scan", pixels, MR, "MR")
    picture = read_picture(tmp_path / "scan")
    assert IntensityScaling("minmax").bounds(picture) == (pixels.min(), pixels.max())
    seen: list[torch.Tensor] = []

    class Watch(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.clone())
            return images

    enhance(tmp_path / "scan", tmp_path / "out", network=Watch(), scaling=IntensityScaling("minmax"), sw_batch_size=8)
    slices = torch.cat(seen)
    np.testing.assert_allclose(slices.amax(dim=(1, 2, 3)), pixels.max(axis=(1, 2)) / pixels.max(), atol=1e-2)


@pytest.mark.parametrize("planes", [AXIAL, CORONAL, OBLIQUE], ids=["axial", "coronal", "oblique"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_series_is_enhanced_in_its_acquired_plane(
    tmp_path: Path, enhance: Enhance, planes: np.ndarray, plane: str
) -> None:
    """A network that gives the mean of what it sees: it must have seen one file at a time."""
    pixels = noise(4, 9, 7)
    files = write_series(tmp_path / "scan", pixels, MR, "MR", planes=planes)

    class Mean(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3), keepdim=True).expand_as(images).clone()

    (output,) = enhance(tmp_path / "scan", tmp_path / "out", network=Mean(), plane=plane)
    for path, expected in zip(files, pixels, strict=True):
        result = pydicom.dcmread(Path(output) / path.name).pixel_array
        np.testing.assert_allclose(result, np.full((9, 7), expected.mean()), atol=0.51)


def test_impossible_geometry_is_said_and_not_used(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", noise(3, 8, 8), MR, "MR", names=["a.dcm", "b.dcm", "c.dcm"])
    faults = {
        "orientation": ("ImageOrientationPatient", [0] * 6),
        "pixel spacing": ("PixelSpacing", [0, 0]),
        "orientation of one line": ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
    }
    for name, (keyword, value) in faults.items():
        dataset = pydicom.dcmread(files[0])
        setattr(dataset, keyword, value)
        picture = read_picture(str(save(dataset, tmp_path / "a.dcm")))
        (note,) = picture.notes
        assert note.startswith(f"the {name.split(' of ')[0]} of the header, ")
        assert note.endswith("is impossible and not used")
        assert picture.affine is None or abs(np.linalg.det(picture.affine)) > 0
    assert read_picture(str(files[1])).notes == ()
