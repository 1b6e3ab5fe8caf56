"""A format that a source cannot take is refused from the header; whatever is not refused is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from shared import InputError
from shared.images import read_picture
from shared.images.format_table import OUTPUT_FORMATS
from shared.images.output_limits import header_of
from shared.inference import find_images
from tests.images.dicom.dicom_files import DX, image, save
from tests.images.nifti_files import TILTED, noise, save_nifti

Enhance = Callable[..., list[str]]
SIZE = (13, 11)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
SHEARED_IN_AXIAL = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
GANTRY_TILT = np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def values(*shape: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def sources(folder: Path) -> Iterator[Path]:
    """One file of each kind that there is."""
    for mode, dtype, shape in (
        ("L", "uint8", SIZE), ("LA", "uint8", (*SIZE, 2)), ("RGB", "uint8", (*SIZE, 3)), ("RGBA", "uint8", (*SIZE, 4)),
        ("I;16", "uint16", SIZE),
    ):
        path = folder / f"{mode.replace(';', '')}.png"
        Image.fromarray(values(*shape, dtype=dtype)).save(path)
        yield path
    for mode, name in (("1", "bits.png"), ("P", "palette.png"), ("P", "g.gif"), ("L", "j.jpg"), ("CMYK", "c.jpg")):
        Image.fromarray(values(*SIZE, dtype="uint8")).convert(mode).save(folder / name)
        yield folder / name
    deep = SimpleITK.GetImageFromArray(values(*SIZE, 3, dtype="uint16"), isVector=True)
    SimpleITK.WriteImage(deep, folder / "deep.png")
    yield folder / "deep.png"
    for dtype in DTYPES:
        for kind, shape, photometric in (
            ("grey", SIZE, "minisblack"), ("rgb", (*SIZE, 3), "rgb"), ("pages", (3, *SIZE), "minisblack"),
        ):
            path = folder / f"{kind}_{dtype}.tif"
            tifffile.imwrite(path, values(*shape, dtype=dtype), photometric=photometric, metadata=None)
            yield path
        if dtype != "float16":
            for count in (2, 3, 4):
                path = folder / f"{count}d_{dtype}.nii.gz"
                volume = values(*(7, 6, 5, 4)[:count], dtype=dtype)
                nibabel.save(nibabel.Nifti1Image(volume, np.eye(4), dtype=dtype), path)
                yield path
            for suffix in ("mha", "nrrd"):
                path = folder / f"{dtype}.{suffix}"
                SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values(3, *SIZE, dtype=dtype)), path)
                yield path
    for name, affine in (("tilted", TILTED), ("sheared", SHEARED_IN_AXIAL), ("gantry", GANTRY_TILT)):
        yield save_nifti(folder / f"{name}.nii", noise(7, 6, 5), affine)
    colour = np.zeros((7, 6, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield save_nifti(folder / "colour.nii", colour)
    yield save(image(DX, "DX", noise(*SIZE, dtype="uint16"), BitsStored=12), folder / "a.dcm")


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_what_is_not_refused_is_written(tmp_path: Path, enhance: Enhance, output_format: str) -> None:
    """No image of any kind fails when the network is done with it."""
    refused = set()
    for path in sources(tmp_path):
        told: dict[str, InputError] = {}
        find_images(str(path), str(tmp_path / "out"), output_format, refuse=told.__setitem__, plane="axial")
        if told:
            assert str(told[str(path)]).startswith(f"{path}: ")
            refused.add(path.name)
            continue
        (output,) = enhance(path, tmp_path / "out" / path.name, channels=3, output_format=output_format)
        assert Path(output).exists()
    wide = {f"rgb_{dtype}.tif" for dtype in DTYPES if dtype != "uint8"} | {"deep.png"}
    expected: dict[str, set[str]] = {
        "dicom": {*wide, *(f"4d_{dtype}.nii.gz" for dtype in DTYPES if dtype != "float16"), "sheared.nii"},
        "nifti": {
            *wide, *(f"{kind}_{dtype}.tif" for kind in ("grey", "pages") for dtype in ("int64", "uint64", "float16")),
            *(f"{dtype}.{suffix}" for dtype in ("int64", "uint64") for suffix in ("mha", "nrrd")),
        },
    }
    assert refused == expected.get(output_format, set())


def test_header_says_what_is_read(tmp_path: Path) -> None:
    """The header and the reader agree about type, channels and shape."""
    kinds = {".png": "PNG", ".jpg": "JPEG", ".gif": "GIF", ".tif": "TIFF", ".mha": "MetaImage", ".nrrd": "NRRD"}
    for path in sources(tmp_path):
        if path.suffix == ".dcm":
            continue
        header = header_of(str(path), kinds.get(path.suffix, "NIfTI"))
        picture = read_picture(path)
        assert (header.dtype, header.channels) == (picture.pixels.dtype, len(picture.pixels)), path.name
        assert tuple(header.shape) == picture.pixels.shape[1:], path.name
        assert (header.affine is None) == (picture.affine is None), path.name


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_shear_counts_in_the_plane_that_is_cut(tmp_path: Path, enhance: Enhance, plane: str) -> None:
    """A tilted gantry shears a volume across its axial slices, which DICOM can have."""
    for name, affine, refused in (("a", SHEARED_IN_AXIAL, "axial"), ("g", GANTRY_TILT, "sagittal")):
        source = save_nifti(tmp_path / f"{name}.nii", noise(7, 6, 5), affine)
        if plane == refused:
            with pytest.raises(InputError, match=re.escape(f"{source}: axes that are not at right angles")):
                find_images(str(source), str(tmp_path / "out"), "dicom", plane=plane)
        else:
            find_images(str(source), str(tmp_path / "out"), "dicom", plane=plane)
            enhance(source, tmp_path / "out" / plane, plane=plane, output_format="dicom")


@pytest.mark.parametrize(("output_format", "longest"), [("nifti", 32767), ("dicom", 65535)])
def test_axis_that_is_too_long(tmp_path: Path, output_format: str, longest: int) -> None:
    for length in (longest, longest + 1):
        Image.fromarray(np.zeros((2, length), np.uint8)).save(tmp_path / f"{length}.png")
    assert len(find_images(str(tmp_path / f"{longest}.png"), str(tmp_path / "out"), output_format)) == 1
    with pytest.raises(InputError, match=f"an axis of {longest + 1} pixels, expected at most {longest}"):
        find_images(str(tmp_path / f"{longest + 1}.png"), str(tmp_path / "out"), output_format)


def test_the_rest_of_a_folder_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", values(*SIZE, 3, dtype="uint16"), photometric="rgb")
    Image.fromarray(values(*SIZE, dtype="uint8")).save(tmp_path / "in" / "b.png")
    refused: list[Any] = []
    items = find_images(
        str(tmp_path / "in"), str(tmp_path / "out"), "dicom", refuse=lambda path, error: refused.append(Path(path).name)
    )
    assert ([Path(item["image"]).name for item in items], refused) == (["b.png"], ["a.tif"])
