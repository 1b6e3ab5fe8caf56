"""DICOM files without the preamble and mark that a complete one begins with, and files that only bear the name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared import InputError
from shared.images import check_picture, read_picture
from shared.images.dicom.opening import is_dicom
from shared.inference import find_images
from tests.images.dicom.dicom_files import (
    AXIAL,
    CT,
    geometry,
    image,
    noise,
    read_strictly,
    save,
    scanner_file,
    write_series,
)

Enhance = Callable[..., list[str]]
SYNTAXES = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian, "big": ExplicitVRBigEndian}


def slice_of(pixels: np.ndarray) -> Dataset:
    return image(CT, "CT", pixels, **geometry(AXIAL, np.zeros(3), (0.7, 0.4), 2))


def bare(path: Path, pixels: np.ndarray, syntax: str, begin: str) -> Path:
    """Write a file without preamble: with the mark alone, with file meta elements alone, or with neither."""
    if syntax == "big":
        pixels = pixels.astype(">i2")
    dataset = slice_of(pixels)
    dataset.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    dcmwrite(path, dataset, enforce_file_format=True)
    content = path.read_bytes()
    if begin == "data":
        after_length = int.from_bytes(content[140:144], "little")
        content = content[144 + after_length :]
    else:
        content = content[128 if begin == "mark" else 132 :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.dcm", "IM0001"])
@pytest.mark.parametrize("begin", ["mark", "meta", "data"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_file_without_preamble(tmp_path: Path, enhance: Enhance, syntax: str, begin: str, name: str) -> None:
    pixels = noise(6, 8)
    path = bare(tmp_path / name, pixels, syntax, begin)
    expected = read_picture(str(save(slice_of(pixels), tmp_path / "whole.dcm")))
    picture = read_picture(str(path))
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    np.testing.assert_allclose(picture.affine, expected.affine)
    (output,) = enhance(path, tmp_path / "out")
    result = read_strictly(output)
    np.testing.assert_array_equal(result.pixel_array, pixels)
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert Path(output).read_bytes()[128:132] == b"DICM"


def test_series_without_preambles(tmp_path: Path) -> None:
    pixels = noise(4, 8, 8)
    files = write_series(tmp_path / "scan", pixels)
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    (item,) = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    assert item["image"] == [str(path) for path in files]
    np.testing.assert_array_equal(read_picture(tmp_path / "scan").pixels[0], pixels.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"DI", "the file has no mark DICM and does not begin with DICOM elements"),
        (b"nothing of the kind" * 20, "the file has no mark DICM and does not begin with DICOM elements"),
        (b"\x08\0\x05\0CS\xff\xff" + b"x" * 900, "the file has no mark DICM and does not begin with DICOM elements"),
        (b"<html>" + b" " * 400, "the file has no mark DICM and does not begin with DICOM elements"),
    ],
)
def test_file_that_only_bears_the_name(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_picture(str(tmp_path / "a.dcm"))
    assert str(caught.value) == f"{tmp_path / 'a.dcm'}: cannot be read as DICOM: {found}"


def test_damaged_files_have_one_clear_line(tmp_path: Path) -> None:
    """Wherever a file is cut, and whatever one byte of its first kilobyte becomes."""
    whole = save(slice_of(noise(6, 8)), tmp_path / "whole.dcm").read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole) - 1, 41)]
    damaged += [whole[:place] + b"\xff" + whole[place + 1 :] for place in range(128, 1000, 7)]
    for content in damaged:
        (tmp_path / "a.dcm").write_bytes(content)
        message = complaint(tmp_path / "a.dcm")
        assert message is None or message.startswith(f"{tmp_path / 'a.dcm'}: ")
        assert message is None or (len(message.splitlines()) == 1 and "force" not in message)
    assert complaint(save(slice_of(noise(6, 8)), tmp_path / "b.dcm")) is None


def complaint(path: Path) -> str | None:
    try:
        read_picture(str(path))
    except InputError as err:
        return str(err)
    return None


def test_other_files_are_not_taken_for_dicom(tmp_path: Path) -> None:
    contents = {
        "empty": b"",
        "short": b"\x08\0\x05\0CS",
        "numbers": np.arange(8, 400, dtype="<i4").tobytes(),
        "words": np.array([8, 5, 10, 0, 1, 2], "<u2").tobytes() * 50,
        "zeros": b"\0" * 2000,
        "text": b"\x08\x00 text that begins like a group" * 30,
        "DICOMDIR": scanner_file("CT_small.dcm").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert not is_dicom(str(tmp_path / name)), name
    for name in ("rtstruct.dcm", "ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"):
        (tmp_path / "unnamed").write_bytes(scanner_file(name).read_bytes())
        assert is_dicom(str(tmp_path / "unnamed")), name


def test_compressed_pixels_without_their_syntax(tmp_path: Path) -> None:
    dataset = slice_of(noise(6, 8))
    dataset.PixelData = encapsulate([b"some JPEG "])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    content = save(dataset, tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    with pytest.raises(InputError, match=r"a\.dcm: the pixels are compressed, and no transfer syntax in the file says"):
        read_picture(str(tmp_path / "a.dcm"))
