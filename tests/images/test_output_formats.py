"""Any source as DICOM, NIfTI or PNG: values, places, names, and combinations that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
import tifffile
from PIL import Image
from torch import nn

from shared import InputError
from shared.errors import root_cause
from shared.images import IntensityScaling, read_picture
from shared.images.format_table import OUTPUT_FORMATS, format_of
from shared.images.formats import output_name, write_picture
from shared.images.picture import SourceRecord
from shared.images.resolution import raster_spacing
from shared.inference import SaveEnhancedd, find_images
from tests.images.dicom.dicom_files import AXIAL, DX, OBLIQUE, enhanced_mr, image, save, write_series
from tests.images.nifti_files import TILTED, nifti, noise, save_nifti

Enhance = Callable[..., list[str]]
SIZE = (37, 31)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", ("a.png", "a.png.dcm", "a.png.nii.gz", "a.png")),
        ("a.PNG", ("a.PNG", "a.PNG.dcm", "a.PNG.nii.gz", "a.PNG")),
        ("a.jpg", ("a.jpg.png", "a.jpg.dcm", "a.jpg.nii.gz", "a.jpg.png")),
        ("a.bmp", ("a.bmp", "a.bmp.dcm", "a.bmp.nii.gz", "a.bmp.png")),
        ("a.gif", ("a.gif.png", "a.gif.dcm", "a.gif.nii.gz", "a.gif.png")),
        ("a.tif", ("a.tif", "a.tif.dcm", "a.tif.nii.gz", "a.tif.png")),
        ("pages.tif", ("pages.tif", "pages.tif_slices", "pages.tif.nii.gz", "pages.tif_slices")),
        ("a.nii", ("a.nii", "a.nii_slices", "a.nii", "a.nii_slices")),
        ("flat.nii.gz", ("flat.nii.gz", "flat.nii.gz.dcm", "flat.nii.gz", "flat.nii.gz.png")),
        ("a.mha", ("a.mha", "a.mha_slices", "a.mha.nii.gz", "a.mha_slices")),
        ("flat.MHD", ("flat.MHD", "flat.MHD.dcm", "flat.MHD.nii.gz", "flat.MHD.png")),
        ("a.nrrd", ("a.nrrd", "a.nrrd_slices", "a.nrrd.nii.gz", "a.nrrd_slices")),
        ("flat.nhdr", ("flat.nhdr", "flat.nhdr.dcm", "flat.nhdr.nii.gz", "flat.nhdr.png")),
        ("a.dcm", ("a.dcm", "a.dcm", "a.dcm.nii.gz", "a.dcm.png")),
        ("IM0001", ("IM0001", "IM0001", "IM0001.nii.gz", "IM0001.png")),
        ("frames.dcm", ("frames.dcm", "frames.dcm", "frames.dcm.nii.gz", "frames.dcm_slices")),
        ("scan", ("004_Head_routine", "004_Head_routine", "004_Head_routine.nii.gz", "004_Head_routine")),
    ],
)
def test_every_source_in_every_format(
    tmp_path: Path, enhance: Enhance, name: str, expected: tuple[str, str, str, str]
) -> None:
    """Each is written under the name that was promised, is of the format asked for, and can be read again."""
    source = tmp_path / name
    if name == "scan":
        write_series(source, noise(4, *SIZE, dtype="int16"))
    elif ".nii" in name:
        save_nifti(source, noise(8, 7, *((3,) if name == "a.nii" else (1,)), dtype="int16"))
    elif name.lower().endswith((".mha", ".mhd", ".nrrd", ".nhdr")):
        volume = SimpleITK.GetImageFromArray(noise(*((3,) if name.startswith("a") else ()), *SIZE, dtype="int16"))
        SimpleITK.WriteImage(volume, str(tmp_path / name.lower()))
        (tmp_path / name.lower()).rename(source)
    elif name.endswith(".tif"):
        tifffile.imwrite(source, noise(*((3,) if name == "pages.tif" else ()), *SIZE), photometric="minisblack")
    elif name == "frames.dcm":
        save(enhanced_mr(noise(3, *SIZE, dtype="uint16")), source)
    elif name in ("a.dcm", "IM0001"):
        save(image(DX, "DX", noise(*SIZE, dtype="uint16"), BitsStored=12), source)
    else:
        Image.fromarray(noise(*SIZE)).save(source)
    for output_format, promised in zip(OUTPUT_FORMATS, expected, strict=True):
        assert output_name(source, output_format) == promised
        folder = tmp_path / f"out_{output_format}"
        (output,) = enhance(source, folder, output_format=output_format)
        assert Path(output).name == promised
        assert [path.name for path in folder.iterdir()] == [promised]
        kind = format_of(output)
        assert kind is not None
        if output_format != "same":
            assert kind.name == {"dicom": "DICOM", "nifti": "NIfTI", "png": "PNG"}[output_format]
        for file in sorted(Path(output).iterdir()) if Path(output).is_dir() else [Path(output)]:
            assert read_picture(file).pixels.size > 0


def test_volume_is_shown_as_radiologists_look_at_it(tmp_path: Path, enhance: Enhance) -> None:
    """The patient's right at the left, anterior at the top or at the left, superior at the top."""
    values = np.zeros((6, 8, 10), np.uint8)
    # Right, anterior, superior in an LPI+ volume: its first voxels along each axis but y.
    values[0, 7, 9] = 200
    affine = np.diag([-1.0, 1, 1, 1])
    save_nifti(tmp_path / "a.nii.gz", values, affine)
    for plane, (number, row, column) in {
        "axial": (10, 0, 0),
        "coronal": (8, 0, 0),
        "sagittal": (6, 0, 0),
    }.items():
        for output_format in ("png", "dicom"):
            (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / plane, plane=plane, output_format=output_format)
            files = sorted(Path(output).iterdir())
            picture = read_picture(files[number - 1]).pixels.squeeze()
            shown = picture if output_format == "png" else picture.T
            assert np.argwhere(shown > 0).tolist() == [[row, column]], (plane, output_format)
            for file in Path(output).iterdir():
                file.unlink()


@pytest.mark.parametrize("planes", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_series_as_one_nifti_volume(tmp_path: Path, enhance: Enhance, planes: np.ndarray) -> None:
    pixels = noise(5, *SIZE, dtype="int16")
    files = write_series(tmp_path / "scan", pixels, planes=planes, PixelPaddingValue=3)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", output_format="nifti", roi_size=16)
    result, expected = SimpleITK.ReadImage(output), SimpleITK.ReadImage([str(path) for path in files])
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(result), SimpleITK.GetArrayFromImage(expected))
    for question in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(*(getattr(one, question)() for one in (result, expected)), atol=1e-4)
    assert (nifti(output).dataobj.slope, nifti(output).dataobj.inter) == (1, -1024)


def test_raster_as_nifti(tmp_path: Path, enhance: Enhance) -> None:
    colour = noise(*SIZE, 3)
    Image.fromarray(colour).save(tmp_path / "a.png", dpi=(254, 508))
    (output,) = enhance(tmp_path / "a.png", tmp_path / "out", channels=3, output_format="nifti")
    result = SimpleITK.ReadImage(output)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(result)[0], colour)
    np.testing.assert_allclose(result.GetSpacing()[:2], (0.1, 0.05), rtol=1e-3)
    np.testing.assert_allclose(result.GetDirection(), np.eye(3).ravel(), atol=1e-6)
    network = nn.Upsample(scale_factor=2)
    (finer,) = enhance(tmp_path / "a.png", tmp_path / "finer", network, channels=3, output_format="nifti")
    np.testing.assert_allclose(SimpleITK.ReadImage(finer).GetSpacing()[:2], (0.05, 0.025), rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (50, 25), "resolutionunit": "CENTIMETER"}, (0.4, 0.2)),
        ({"resolution": (254, 254), "resolutionunit": "INCH"}, (0.1, 0.1)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (1, 1), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
)
def test_pixel_size_of_a_tiff(tmp_path: Path, options: dict[str, Any], expected: tuple[float, float] | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*SIZE), metadata=None, **options)
    found = raster_spacing(str(tmp_path / "a.tif"))
    assert found == (None if expected is None else pytest.approx(expected))


def test_png_of_a_series_shows_the_window_of_the_scaling(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(3, *SIZE, dtype="int16")
    files = write_series(tmp_path / "scan", pixels)
    window = IntensityScaling("window", -160, 240)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", scaling=window, output_format="png")
    assert sorted(path.name for path in Path(output).iterdir()) == ["0001.png", "0002.png", "0003.png"]
    for number, path in enumerate(files, start=1):
        hounsfield = pydicom.dcmread(path).pixel_array - 1024.0
        with Image.open(Path(output) / f"{number:04d}.png") as shown:
            expected = np.clip((hounsfield + 160) / 400, 0, 1) * 255
            np.testing.assert_allclose(np.array(shown), expected, atol=0.51)


def test_png_of_an_inverted_radiograph_looks_like_it(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(*SIZE, dtype="uint16")
    source = image(DX, "DX", pixels, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    (output,) = enhance(save(source, tmp_path / "a.dcm"), tmp_path / "out", output_format="png")
    np.testing.assert_allclose(np.array(Image.open(output)), 255 - pixels / 4095 * 255, atol=0.51)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("colour", [True, False])
def test_png_of_a_tiff_keeps_its_depth(tmp_path: Path, enhance: Enhance, dtype: str, colour: bool) -> None:
    pixels = noise(*SIZE, *((3,) if colour else ()), dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if colour else "minisblack", metadata=None)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3, output_format="png")
    np.testing.assert_array_equal(read_picture(output).pixels, np.moveaxis(np.atleast_3d(pixels), -1, 0))


@pytest.mark.parametrize("content_bits", [8, 12, 16])
@pytest.mark.parametrize("colour", [True, False])
def test_png_of_a_deep_raster_keeps_its_values(
    tmp_path: Path, enhance: Enhance, colour: bool, content_bits: int
) -> None:
    """However few of the 16 bits they use; those of a negative are turned round within the bits that they use."""
    pixels = (noise(*SIZE, *((3,) if colour else ()), dtype="int32") % 2**content_bits).astype(np.uint16)
    pixels.flat[:2] = 0, 2**content_bits - 1
    kinds = ["rgb"] if colour else ["minisblack", "miniswhite"]
    for photometric in kinds:
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, metadata=None)
        (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3, output_format="png")
        found = np.moveaxis(read_picture(output).pixels, 0, -1).squeeze()
        assert found.dtype == np.uint16
        expected = 2**content_bits - 1 - pixels if photometric == "miniswhite" else pixels
        np.testing.assert_array_equal(found, expected)


def test_png_of_dicom_can_be_looked_at(tmp_path: Path, enhance: Enhance) -> None:
    """12 bits stored in 16: as 16-bit PNG it would be dark in every viewer."""
    pixels = noise(*SIZE, dtype="uint16")
    save(image(DX, "DX", pixels, BitsStored=16), tmp_path / "a.dcm")
    (output,) = enhance(tmp_path / "a.dcm", tmp_path / "out", output_format="png")
    found = np.array(Image.open(output))
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, pixels / 4095 * 255, atol=0.51)


def test_combinations_that_make_no_sense(tmp_path: Path, enhance: Enhance) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", noise(4, 5, 6, 3, dtype="int16"))
    with pytest.raises(InputError, match=r"a\.nii\.gz: a series of volumes, expected one image or volume to write as"):
        find_images(str(source), str(tmp_path / "out"), "dicom")
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, noise(*SIZE, 3, dtype="uint16"), photometric="rgb", metadata=None)
    for output_format, name in {"dicom": "DICOM", "nifti": "NIfTI"}.items():
        with pytest.raises(InputError) as caught:
            enhance(deep, tmp_path / "out", channels=3, output_format=output_format)
        assert str(caught.value) == f"{deep}: colour of type uint16, expected 8 bits to write it as {name}"
    assert not (tmp_path / "out").exists()
    sheared = TILTED @ np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    source = save_nifti(tmp_path / "b.nii.gz", noise(4, 5, 6), sheared)
    with pytest.raises(RuntimeError) as caught:
        enhance(source, tmp_path / "out", output_format="dicom")
    assert "b.nii.gz: axes that are not at right angles" in str(root_cause(caught.value))


def test_unknown_format(tmp_path: Path) -> None:
    for action in (
        lambda: find_images(str(save_nifti(tmp_path / "a.nii", noise(4, 4))), str(tmp_path / "out"), "jpeg"),
        lambda: output_name(tmp_path / "a.png", "jpeg"),
        lambda: SaveEnhancedd("pred", output_format="jpeg"),
    ):
        with pytest.raises(InputError, match="output_format: found 'jpeg', expected one of same, dicom, nifti, png"):
            action()


def test_large_image_in_another_format(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50), metadata=None)
    (item,) = find_images(str(tmp_path / "a.tif"), str(tmp_path / "out"), "same", 1000)
    assert item["large"] is True
    with pytest.raises(InputError, match=r"a\.tif: has more than 1000 pixels .*expected output_format same, found png"):
        find_images(str(tmp_path / "a.tif"), str(tmp_path / "out"), "png", 1000)


def test_file_where_a_folder_should_be_and_the_other_way_round(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", noise(2, 8, 8, dtype="int16"))
    picture = read_picture(tmp_path / "scan")
    affine: Any = picture.affine
    record = SourceRecord(str(files[0]), "int16", (8, 8, 2), affine.tolist(), 2, 0, 255, 0, 255, files=picture.files)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken: is a file, expected a folder"):
        write_picture(str(tmp_path / "taken"), picture.pixels, record)
    with pytest.raises(InputError, match="scan: is a folder, expected a file"):
        write_picture(str(tmp_path / "scan"), picture.pixels, record, "nifti")
    assert SourceRecord.from_json(record.to_json()) == record
