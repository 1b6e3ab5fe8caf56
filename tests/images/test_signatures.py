"""The content of a file decides what it is, not its suffix."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from shared import InputError
from shared.images import read_picture
from shared.images.format_table import format_of
from shared.images.signatures import contents
from shared.inference import find_images
from tests.images.dicom.dicom_files import DX, image, save
from tests.images.nifti_files import noise, save_nifti
from tests.images.png_files import RGB, write_png

Enhance = Callable[..., list[str]]
SIZE = (21, 17)


def _tiff(path: Path) -> None:
    tifffile.imwrite(path, noise(*SIZE, dtype="uint16") * 9, photometric="minisblack", metadata=None)


def _float_tiff(path: Path) -> None:
    values = np.random.default_rng(3).normal(0, 1e4, SIZE).astype(np.float32)
    tifffile.imwrite(path, values, photometric="minisblack", bigtiff=True, byteorder=">", metadata=None)


def _pillow(kind: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(noise(*SIZE)).save(path, kind)


def _itk(suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        volume = SimpleITK.GetImageFromArray(noise(3, *SIZE, dtype="int16"))
        volume.SetSpacing((0.5, 0.75, 2))
        SimpleITK.WriteImage(volume, str(path) + suffix)
        (path.parent / f"{path.name}{suffix}").rename(path)

    return write


MAKERS: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "TIFF": (".tif", "TIFF", _tiff),
    "big float TIFF": (".tif", "TIFF", _float_tiff),
    "PNG": (".png", "PNG", lambda path: write_png(path, noise(*SIZE, 3, dtype="uint16") * 16, RGB) and None),
    "JPEG": (".png", "PNG", _pillow("JPEG")),
    "GIF": (".png", "PNG", _pillow("GIF")),
    "BMP": (".bmp", "BMP", _pillow("BMP")),
    "MetaImage": (".mha", "MetaImage", _itk(".mha")),
    "NRRD": (".nrrd", "NRRD", _itk(".nrrd")),
    "DICOM": (".dcm", "DICOM", lambda path: save(image(DX, "DX", noise(*SIZE, dtype="uint16")), path) and None),
}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".tif", ".svs", ".nii.gz", ".mha", ".nrrd", ".dcm"])
@pytest.mark.parametrize("kind", MAKERS)
def test_suffix_that_lies(tmp_path: Path, enhance: Enhance, kind: str, suffix: str) -> None:
    """Values come out as they went in, in a file whose name says what it is."""
    ending, written, make = MAKERS[kind]
    source = tmp_path / f"a{suffix}"
    make(source)
    expected = read_picture(source).pixels
    (output,) = enhance(source, tmp_path / "out", channels=expected.shape[0])
    assert Path(output).name == (source.name if suffix == ending else source.name + ending)
    kind_written = format_of(output)
    assert kind_written is not None
    assert kind_written.name == written
    assert contents(output) == {written}
    found = read_picture(output).pixels
    assert found.dtype == expected.dtype
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, atol=1e-6 * float(np.ptp(expected)), rtol=0)
    else:
        np.testing.assert_array_equal(found, expected)


def test_values_of_a_tiff_called_png_are_not_clipped(tmp_path: Path, enhance: Enhance) -> None:
    _tiff(tmp_path / "a.png")
    stored = tifffile.imread(tmp_path / "a.png")
    assert stored.max() > 255
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels[0], stored)
    for output_format, name in {"same": "a.png.tif", "png": "a.png.png"}.items():
        (output,) = enhance(tmp_path / "a.png", tmp_path / output_format, output_format=output_format)
        assert Path(output).name == name
        np.testing.assert_array_equal(read_picture(output).pixels[0], stored)


def test_large_tiff_called_png(tmp_path: Path) -> None:
    _tiff(tmp_path / "a.png")
    (item,) = find_images(str(tmp_path / "a.png"), str(tmp_path / "out"), "same", 100)
    assert (Path(item["output"]).name, item["large"]) == ("a.png.tif", True)


@pytest.mark.parametrize("suffix", [".dcm", ".tif", ""])
def test_file_of_two_kinds_is_what_it_is_called(tmp_path: Path, suffix: str) -> None:
    """Slides are written so, for viewers of either kind: the preamble of DICOM may hold the beginning of a TIFF."""
    path = tmp_path / f"a{suffix}"
    save(image(DX, "DX", noise(*SIZE, dtype="uint16")), path)
    data = bytearray(path.read_bytes())
    data[:4] = b"II*\0"
    path.write_bytes(data)
    assert contents(str(path)) == {"DICOM", "TIFF"}
    found = format_of(str(path))
    assert found is not None
    assert found.name == ("TIFF" if suffix == ".tif" else "DICOM")
    if suffix != ".tif":
        (item,) = find_images(str(path), str(tmp_path / "out"), "same", 100)
        assert item["large"] is False


@pytest.mark.parametrize(
    ("name", "zipped", "message"),
    [
        ("a.png", False, r"a\.png: the file is NIfTI without compression, expected the suffix \.nii: rename it"),
        ("a.png", True, r"a\.png: the file is NIfTI compressed by gzip, expected the suffix \.nii\.gz: rename it"),
        ("a.nii", True, r"a\.nii: the file is NIfTI compressed by gzip, expected the suffix \.nii\.gz: rename it"),
        ("a.nii.gz", False, r"a\.nii\.gz: the file is NIfTI without compression, expected the suffix \.nii: rename it"),
    ],
)
def test_nifti_with_another_suffix_is_refused(tmp_path: Path, name: str, zipped: bool, message: str) -> None:
    save_nifti(tmp_path / "true.nii", noise(9, 8, 7, dtype="int16"))
    data = (tmp_path / "true.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if zipped else data)
    for action in (read_picture, lambda path: find_images(str(path), str(tmp_path / "out"))):
        with pytest.raises(InputError, match=f"{message}$"):
            action(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "the file is a web page"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "the file is WebP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "the file is HEIF or AVIF"),
        (b"%PDF-1.7", "the file is PDF"),
        (b"BM, a text that begins as BMP does", "no image format is recognised in it"),
        (b"nothing of the kind", "no image format is recognised in it"),
        (b"\xff\xd8\xff\xd9", "its header is damaged"),
    ],
)
def test_what_is_no_image_is_refused_and_stops_nothing(
    tmp_path: Path, suffix: str, content: bytes, reason: str
) -> None:
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in" / f"a{suffix}"
    bad.write_bytes(content)
    _pillow("PNG")(tmp_path / "in" / "b.png")
    refused = {}
    items = find_images(
        str(tmp_path / "in"), str(tmp_path / "out"), refuse=lambda path, err: refused.update({path: str(err)})
    )
    assert [Path(item["image"]).name for item in items] == ["b.png"]
    expected = "" if reason == "its header is damaged" else ", expected PNG, JPEG, BMP or GIF"
    assert refused == {str(bad): f"{bad}: cannot be read as an image: {reason}{expected}"}


def test_whole_image_of_a_kind_that_is_not_supported(tmp_path: Path) -> None:
    """Pillow would read it, by its content, as 8 bits."""
    Image.fromarray(noise(*SIZE)).save(tmp_path / "a.png", "WEBP")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image: the file is WebP, expected PNG"):
        read_picture(tmp_path / "a.png")


def test_suffix_decides_where_nothing_can_be_read(tmp_path: Path) -> None:
    for name, expected in {"a.png": "PNG", "a.MHD": "MetaImage", "a.dcm": "DICOM", "a.nii.gz": "NIfTI"}.items():
        found = format_of(str(tmp_path / name))
        assert found is not None
        assert found.name == expected
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert format_of(str(tmp_path / "a.txt")) is None
