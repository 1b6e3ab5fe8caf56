"""An image that grows: every format gets the larger grid over the same space, through windows and slices."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from monai.bundle import ConfigParser
from monai.transforms.utils import scale_affine
from PIL import Image
from torch import nn

from shared import bundle_root
from shared.networks import RIRGenerator, SRResNet
from tests.images.nifti_files import TILTED, nifti, save_nifti

ODD = (37, 31)
RNG = np.random.default_rng(0)
Enhance = Callable[..., list[str]]


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def repeated(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("colour", [True, False])
def test_raster(tmp_path: Path, enhance: Enhance, factor: int, suffix: str, colour: bool) -> None:
    pixels = noise(*ODD, 3) if colour else noise(*ODD)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", quality=100)
    stored = np.array(Image.open(tmp_path / f"a{suffix}"))
    network = nn.Upsample(scale_factor=factor)
    (output,) = enhance(tmp_path / f"a{suffix}", tmp_path / "out", network=network, channels=3, roi_size=16)
    np.testing.assert_array_equal(np.array(Image.open(output)), repeated(stored, factor))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_resolution_is_that_of_the_new_grid(tmp_path: Path, enhance: Enhance, factor: int) -> None:
    network = nn.Upsample(scale_factor=factor)
    Image.fromarray(noise(*ODD)).save(tmp_path / "a.png", dpi=(100, 200))
    tifffile.imwrite(tmp_path / "a.tif", noise(*ODD), resolution=(50, 25), metadata=None)
    enhance(tmp_path / "a.png", tmp_path / "out", network=network)
    enhance(tmp_path / "a.tif", tmp_path / "out", network=network)
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.info["dpi"] == pytest.approx((100 * factor, 200 * factor), abs=0.1)
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        page: Any = file.pages.first
        values = [page.tags[name].value for name in ("XResolution", "YResolution")]
    assert [a / b for a, b in values] == [50 * factor, 25 * factor]


@pytest.mark.parametrize("factor", [2, 4])
def test_pages_of_a_tiff(tmp_path: Path, enhance: Enhance, factor: int) -> None:
    pages = noise(3, *ODD)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", network=nn.Upsample(scale_factor=factor), roi_size=16)
    expected = np.stack([repeated(page, factor) for page in pages])
    np.testing.assert_array_equal(tifffile.imread(output), expected)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_volume_grows_in_the_plane_of_its_slices(tmp_path: Path, enhance: Enhance, factor: int, plane: str) -> None:
    # Voxel axes run along y, z, x of the body.
    affine = np.array([[0, 0, -2.0, 5], [3.0, 0, 0, -7], [0, 4.0, 0, 3], [0, 0, 0, 1]])
    volume = noise(10, 8, 6).astype(np.int16)
    source = nibabel.Nifti1Image(volume, affine)
    source.set_sform(affine, "mni")
    source.set_qform(affine, "scanner")
    nibabel.save(source, tmp_path / "a.nii.gz")
    network = nn.Upsample(scale_factor=factor)
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", network=network, plane=plane, roi_size=8)
    result: Any = nibabel.load(output)
    assert (result.header["sform_code"], result.header["qform_code"]) == (4, 1)
    np.testing.assert_allclose(result.get_qform(), result.affine, atol=1e-5)
    kept = {"axial": 1, "coronal": 0, "sagittal": 2}[plane]
    expected = volume
    for axis in {0, 1, 2} - {kept}:
        expected = expected.repeat(factor, axis=axis)
    np.testing.assert_array_equal(np.asanyarray(result.dataobj), expected)
    size = np.where(np.arange(3) == kept, 1.0, 1.0 / factor)
    np.testing.assert_allclose(result.header.get_zooms(), np.array([3, 4, 2]) * size)
    for corner in (np.zeros(3), np.array(volume.shape)):
        before = affine @ [*(corner - 0.5), 1]
        after = result.affine @ [*(corner / size - 0.5), 1]
        np.testing.assert_allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("shape", [(9, 7, 5), (9, 7), (9, 7, 1), (9, 1, 7), (9, 7, 5, 3)])
def test_oblique_space_is_that_of_monai(
    tmp_path: Path, enhance: Enhance, shape: tuple[int, ...], factor: int
) -> None:
    """Centre and corner stay: MONAI's matrix of a finer grid, whose first voxel lies 3/8 outwards for a factor of 4."""
    values = RNG.integers(-500, 3000, shape).astype(np.int16)
    source = save_nifti(tmp_path / "a.nii.gz", values, scale=(0.5, 3))
    (output,) = enhance(source, tmp_path / "out", network=nn.Upsample(scale_factor=factor))
    result = nifti(output)
    kept = {(9, 1, 7): 1}.get(shape, 2)
    grown = [axis for axis in range(min(3, len(shape))) if axis != kept]
    sizes = [(*shape[:3], 1)[:3], (*result.shape[:3], 1)[:3]]
    assert result.shape == tuple(length * factor if axis in grown else length for axis, length in enumerate(shape))
    np.testing.assert_allclose(result.affine, TILTED @ scale_affine(*sizes), atol=1e-5)
    steps = np.array([1 / factor if axis in grown else 1.0 for axis in range(3)])
    np.testing.assert_allclose(result.affine[:3, :3], TILTED[:3, :3] * steps, atol=1e-6)
    np.testing.assert_allclose(result.affine[:3, 3], (TILTED @ [*(steps - 1) / 2, 1])[:3], atol=1e-5)
    zooms = nifti(source).header.get_zooms() * np.array([*steps, 1])[: len(shape)]
    np.testing.assert_allclose(result.header.get_zooms(), zooms, rtol=1e-6)
    assert (result.dataobj.slope, result.dataobj.inter, result.get_data_dtype()) == (0.5, 3, np.int16)
    for axis in grown:
        values = values.repeat(factor, axis)
    np.testing.assert_array_equal(result.dataobj.get_unscaled(), values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_type_of_the_source_stays(tmp_path: Path, enhance: Enhance, dtype: str) -> None:
    values = (RNG.random((6, 5, 4)) * 250).astype(dtype)
    (output,) = enhance(save_nifti(tmp_path / "a.nii", values), tmp_path / "out", network=nn.Upsample(scale_factor=4))
    found = np.asanyarray(nifti(output).dataobj)
    assert found.dtype == values.dtype
    np.testing.assert_allclose(found, values.repeat(4, 0).repeat(4, 1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5), (2, 3, 4), (3, 1, 2), (37, 31, 1), (1, 5)])
@pytest.mark.parametrize("network", [RIRGenerator(num_blocks=1, features=4), SRResNet(3, 3, 1, 4, upscale_factor=4)])
def test_tiny_images_grow_too(
    tmp_path: Path, enhance: Enhance, shape: tuple[int, ...], network: nn.Module
) -> None:
    source = save_nifti(tmp_path / "a.nii", RNG.integers(0, 3000, shape).astype(np.int16))
    (output,) = enhance(source, tmp_path / "out", network=network, channels=3)
    found = nifti(output)
    assert sorted(found.shape[axis] // length for axis, length in enumerate(shape)) == [1, 4, 4][-len(shape) :]
    lengths = [found.shape[axis] * found.header.get_zooms()[axis] for axis in range(len(shape))]
    np.testing.assert_allclose(lengths, np.array(shape) * nifti(source).header.get_zooms(), rtol=1e-6)


def test_dicom_grows_to_a_finer_nifti(tmp_path: Path, enhance: Enhance, write_dicom: Callable[..., Path]) -> None:
    pixels = noise(12, 10)
    geometry = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [-5, 8, 2]}
    source = write_dicom(tmp_path / "a.dcm", pixels, PixelSpacing=[0.5, 0.25], SliceThickness=3, **geometry)
    network = nn.Upsample(scale_factor=2)
    (output,) = enhance(source, tmp_path / "out", network=network, output_format="nifti")
    result: Any = nibabel.load(output)
    np.testing.assert_array_equal(np.asanyarray(result.dataobj)[..., 0].T, repeated(pixels, 2))
    np.testing.assert_allclose(result.header.get_zooms(), (0.125, 0.25, 3))


@pytest.mark.parametrize(("provenance", "expected"), [(None, 4), ({"scale": 2}, 2), ({"scale": 4}, 4), ({}, 4)])
def test_the_bundle_takes_the_scale_of_the_weights(tmp_path: Path, provenance: dict | None, expected: int) -> None:
    if provenance is not None:
        (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    file = Path(bundle_root("gradprom_lizard")) / "configs" / "inference.json"
    parser = ConfigParser(ConfigParser.load_config_file(file))
    parser["ckpt_path"] = str(tmp_path / "model.pt")
    assert parser.get_parsed_content("network_def").upscale_factor == expected


def test_label_map_goes_onto_the_new_grid_as_the_document_says(
    tmp_path: Path, enhance: Enhance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each label becomes a block of its own: none is drawn from a neighbour."""
    document = Path(__file__).parents[2] / "scripts" / "README.md"
    marked = re.search(r"<!-- tested: tests/images/test_super_resolution.py -->\n```python\n(.*?)```",
                       document.read_text(encoding="utf-8"), re.DOTALL)
    assert marked is not None
    labels = RNG.integers(0, 5, (*ODD, 3)).astype(np.uint8)
    save_nifti(tmp_path / "scan.nii.gz", RNG.integers(0, 900, labels.shape).astype(np.int16), TILTED)
    save_nifti(tmp_path / "labels.nii.gz", labels, TILTED)
    enhance(tmp_path / "scan.nii.gz", tmp_path / "large", network=nn.Upsample(scale_factor=4))
    monkeypatch.chdir(tmp_path)
    exec(marked.group(1), {})  # noqa: S102
    written = nibabel.load(tmp_path / "large" / "labels_enlarged.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), repeated(labels, 4))
    np.testing.assert_allclose(written.affine, nibabel.load(tmp_path / "large" / "scan.nii.gz").affine, atol=1e-5)
