"""With the identity as network, every kind of file comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(0)
ODD = (37, 31)


def nifti(path: str | Path) -> Any:
    return nibabel.Nifti1Image.from_filename(path)


def noise(shape: tuple[int, ...], dtype: str) -> NDArray:
    if np.dtype(dtype).kind == "f":
        return RNG.normal(300, 70, shape).astype(dtype)
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    values.flat[:2] = info.min, info.max
    return values


@pytest.mark.parametrize("network_channels", [1, 3])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_eight_bit_rasters(
    tmp_path: Path, enhance: Enhance, suffix: str, bands: int, network_channels: int
) -> None:
    if suffix == ".bmp" and bands in (2, 4):
        pytest.skip("BMP has no transparency here")
    pixels = noise((*ODD, bands), "uint8")
    source = tmp_path / f"a{suffix}"
    Image.fromarray(pixels[..., 0] if bands == 1 else pixels).save(source)
    (output,) = enhance(source, tmp_path / "out", channels=network_channels, roi_size=16)
    assert Path(output).name == source.name
    with Image.open(output) as image, Image.open(source) as expected:
        assert image.mode == expected.mode
        np.testing.assert_array_equal(np.array(image), np.array(expected))


def test_deep_grey_png(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(ODD, "uint16")
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(300, 300))
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out", roi_size=16)
    with Image.open(output) as image:
        assert image.mode == "I;16"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        np.testing.assert_array_equal(np.array(image), pixels)


@pytest.mark.parametrize("bands", [3, 4])
def test_deep_colour_png_keeps_sixteen_bits(tmp_path: Path, enhance: Enhance, bands: int) -> None:
    pixels = noise((*ODD, bands), "uint16")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels, isVector=True), str(tmp_path / "a.png"))
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out", channels=3, roi_size=16)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(output)), pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "photometric"),
    [
        (ODD, "minisblack"),
        (ODD, "miniswhite"),
        ((*ODD, 3), "rgb"),
        ((4, *ODD), "minisblack"),
        ((2, *ODD, 3), "rgb"),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff(
    tmp_path: Path,
    enhance: Enhance,
    dtype: str,
    shape: tuple[int, ...],
    photometric: str,
    compression: str | None,
) -> None:
    pixels = noise(shape, dtype)
    tifffile.imwrite(
        tmp_path / "a.tiff",
        pixels,
        photometric=photometric,
        compression=compression,
        resolution=(50, 25),
        metadata=None,
    )
    channels = 3 if photometric == "rgb" else 1
    (output,) = enhance(tmp_path / "a.tiff", tmp_path / "out", channels=channels, roi_size=16)
    with tifffile.TiffFile(output) as file:
        page: Any = file.pages.first
        assert page.photometric.name.lower() == photometric
        assert page.tags["XResolution"].value == (50, 1)
        assert page.is_tiled is False
        assert (page.compression == tifffile.COMPRESSION.NONE) is (compression is None)
        result = file.asarray()
    assert result.shape == shape
    assert result.dtype == pixels.dtype
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(result, pixels, atol=1e-6 * float(np.ptp(pixels)), rtol=0)
    else:
        np.testing.assert_array_equal(result, pixels)


def test_tiff_of_pages_keeps_extra_channels(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise((2, *ODD, 4), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], metadata=None
    )
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3, network=_Half())
    result = tifffile.imread(output)
    np.testing.assert_array_equal(result[..., 3], pixels[..., 3])
    np.testing.assert_allclose(result[..., :3], pixels[..., :3] / 2, atol=0.51)


def test_tiff_with_lzw(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise((*ODD, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    np.testing.assert_array_equal(tifffile.imread(output), pixels)


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_gives_png_beside_other_files_of_that_name(tmp_path: Path, enhance: Enhance, bands: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = noise((*ODD, bands), "uint8").squeeze()
    Image.fromarray(pixels).save(folder / "a.jpg")
    Image.fromarray(pixels).save(folder / "a.png")
    outputs = enhance(folder, tmp_path / "out")
    assert [Path(output).name for output in outputs] == ["a.jpg.png", "a.png"]
    with Image.open(outputs[0]) as image, Image.open(folder / "a.jpg") as expected:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.array(image), np.array(expected))


def test_jpeg_is_turned_as_the_camera_noted(tmp_path: Path, enhance: Enhance) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    (output,) = enhance(tmp_path / "a.jpg", tmp_path / "out")
    with Image.open(output) as image:
        assert image.size == (16, 32)
        assert not image.getexif()
        upright = np.array(image)
    assert upright[:, 12:].min() > 200
    assert upright[:, :4].max() < 50


@pytest.mark.parametrize("transparent", [False, True])
def test_palette_becomes_colour(tmp_path: Path, enhance: Enhance, transparent: bool) -> None:
    image = Image.fromarray(noise((*ODD, 3), "uint8")).quantize(16)
    options: dict[str, Any] = {"transparency": 3} if transparent else {}
    image.save(tmp_path / "a.png", **options)
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out", channels=3)
    mode = "RGBA" if transparent else "RGB"
    with Image.open(output) as result, Image.open(tmp_path / "a.png") as source:
        assert result.mode == mode
        np.testing.assert_array_equal(np.array(result), np.array(source.convert(mode)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [ODD, (*ODD, 1), (*ODD, 5), (9, 8, 7, 3)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, enhance: Enhance, dtype: str, shape: tuple[int, ...], suffix: str) -> None:
    pixels = noise(shape, "int16" if dtype == "int32" else dtype).astype(dtype)
    affine = np.array([[0, -0.9, 0.1, 12], [1.1, 0, 0, -7], [0, 0.1, -2.5, 3], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(pixels, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"kept"
    if len(shape) == 4:
        image.header["pixdim"][4] = 2.2
    source = tmp_path / f"a{suffix}"
    nibabel.save(image, source)
    (output,) = enhance(source, tmp_path / "out", roi_size=16)
    before, after = nifti(source), nifti(output)
    # A name that survives on disk: gzip or not is decided by it.
    assert (Path(output).read_bytes()[:2] == b"\x1f\x8b") is (suffix == ".nii.gz")
    for name in before.header:
        np.testing.assert_array_equal(before.header[name], after.header[name], err_msg=name)
    expected, result = before.dataobj.get_unscaled(), after.dataobj.get_unscaled()
    assert result.dtype == expected.dtype
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(result, expected, atol=1e-6 * float(np.ptp(pixels)), rtol=0)
    else:
        np.testing.assert_array_equal(result, expected)


def test_nifti_keeps_slope_and_stored_integers(tmp_path: Path, enhance: Enhance) -> None:
    stored = noise((*ODD, 2), "int16")
    image = nibabel.Nifti1Image(stored, np.diag([1, 2, 3, 1.0]))
    image.header.set_slope_inter(0.5, -1024)
    nibabel.save(image, tmp_path / "a.nii.gz")
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out")
    result = nifti(output)
    assert (result.dataobj.slope, result.dataobj.inter) == (0.5, -1024)
    np.testing.assert_array_equal(result.dataobj.get_unscaled(), stored)


def test_colour_nifti(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise((*ODD, 2, 3), "uint8")
    stored = pixels.copy().view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii.gz")
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", channels=3)
    np.testing.assert_array_equal(np.asanyarray(nifti(output).dataobj), stored)


def test_values_are_rounded_and_stay_in_the_range_of_the_input(tmp_path: Path, enhance: Enhance) -> None:
    pixels = np.array([[10, 11], [100, 200]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (output,) = enhance(tmp_path / "a.png", tmp_path / "half", network=_Half())
    np.testing.assert_array_equal(np.array(Image.open(output)), [[10, 10], [50, 100]])
    (output,) = enhance(tmp_path / "a.png", tmp_path / "far", network=_Affine(9.0, -1.0))
    np.testing.assert_array_equal(np.array(Image.open(output)), [[10, 10], [200, 200]])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
@pytest.mark.parametrize("value", [0, 7])
def test_constant_image(tmp_path: Path, enhance: Enhance, suffix: str, value: int) -> None:
    source = tmp_path / f"a{suffix}"
    pixels = np.full((8, 9), value, np.uint8)
    if suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), source)
    else:
        Image.fromarray(pixels).save(source)
    (output,) = enhance(source, tmp_path / "out")
    result = nifti(output).dataobj if suffix == ".nii.gz" else Image.open(output)
    np.testing.assert_array_equal(np.asanyarray(result), pixels)


def test_super_resolution_covers_the_same_space(tmp_path: Path, enhance: Enhance) -> None:
    affine = np.array([[0, -2.0, 0, 12], [-3.0, 0, 0, -7], [0, 0, 4.0, 3], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(noise((8, 6, 3), "float32"), affine), tmp_path / "a.nii.gz")
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", network=nn.Upsample(scale_factor=2))
    result = nifti(output)
    assert result.shape == (16, 12, 3)
    np.testing.assert_allclose(result.header.get_zooms(), (1.5, 1, 4))
    corners = [(np.array([-0.5, -0.5, -0.5, 1]), np.array([-0.5, -0.5, -0.5, 1]))]
    corners.append((np.array([7.5, 5.5, 2.5, 1]), np.array([15.5, 11.5, 2.5, 1])))
    for before, after in corners:
        np.testing.assert_allclose(affine @ before, result.affine @ after)


def test_super_resolution_of_a_transparent_image(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise((6, 5, 4), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out", channels=3, network=nn.Upsample(scale_factor=2))
    expected = pixels.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(np.array(Image.open(output)), expected)


def test_second_run_replaces_the_first(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(ODD, "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    enhance(tmp_path / "a.png", tmp_path / "out", network=_Half())
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out")
    np.testing.assert_array_equal(np.array(Image.open(output)), pixels)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


class _Affine(nn.Module):
    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * images + self.offset


class _Half(_Affine):
    def __init__(self) -> None:
        super().__init__(0.5)
