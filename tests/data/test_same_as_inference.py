"""One set of files through inference and through both readers of training: the same values, upright in the same way."""

from __future__ import annotations

import re
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

from shared.data.loading import LoadUnitImaged, image_size, read_image
from shared.data.slices import LoadSliced
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import LoadSourced
from tests.conftest import _write_dicom as write_dicom

HEIGHT, WIDTH = 20, 26
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 4096, (HEIGHT, WIDTH)).astype(np.uint16)
DEEP_COLOUR = RNG.integers(0, 4096, (HEIGHT, WIDTH, 3)).astype(np.uint16)
DEEP[0, 0] = DEEP_COLOUR[0, 0] = 4095
REAL = RNG.normal(300, 40, (HEIGHT, WIDTH)).astype(np.float32)


def exif_jpeg(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR // 8).save(path, exif=exif, quality=100, subsampling=0)


def palette_png(path: Path) -> None:
    image = Image.fromarray(GREY % 3, "P")
    image.putpalette([9, 0, 200, 0, 255, 0, 40, 50, 60])
    image.save(path)


def save_nifti(path: Path, plane: NDArray, slope: float = 1, intercept: float = 0) -> None:
    image = nibabel.Nifti1Image(plane.T, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, path)


def holed(plane: NDArray) -> NDArray:
    """With values missing, as outside of a resliced image."""
    return np.where(GREY < 20, np.nan, plane)


ULTRASOUND: dict[str, Any] = {"Modality": "US"}
SLICE: dict[str, Any] = {
    "Modality": "MR", "PixelSpacing": [1, 1], "ImagePositionPatient": [0, 0, 0],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SliceThickness": 3,
}  # fmt: skip
RGBA = np.dstack([COLOUR, GREY])
FILES: dict[str, tuple[Callable[[Path], object], NDArray | None]] = {
    # What is written, and the values that a person expects of a file that goes by its range.
    "exif.jpg": (exif_jpeg, None),
    "12_of_16_bits.png": (lambda path: Image.fromarray(DEEP).save(path), DEEP / 4095),
    "16_bits_colour.png": (
        lambda path: SimpleITK.WriteImage(SimpleITK.GetImageFromArray(DEEP_COLOUR, isVector=True), str(path)),
        DEEP_COLOUR / 4095,
    ),
    "palette.png": (palette_png, np.array([[9, 0, 200], [0, 255, 0], [40, 50, 60]])[GREY % 3] / 255),
    "rgba.png": (lambda path: Image.fromarray(RGBA).save(path), COLOUR / 255),
    "dark.png": (lambda path: Image.fromarray(GREY % 8).save(path), GREY % 8 / 255),
    "bilevel.bmp": (lambda path: Image.fromarray(GREY > 99).save(path), (GREY > 99) * 1.0),
    "grey.tif": (lambda path: tifffile.imwrite(path, DEEP), DEEP / 4095),
    "white_is_zero.tif": (lambda path: tifffile.imwrite(path, GREY, photometric="miniswhite"), 1 - GREY / 255),
    "tiff_called.png": (lambda path: tifffile.imwrite(path, DEEP), DEEP / 4095),
    "real.tif": (lambda path: tifffile.imwrite(path, REAL), None),
    "slope.nii.gz": (lambda path: save_nifti(path, DEEP.astype(np.int16), -0.25, 7), None),
    "deep.nii": (lambda path: save_nifti(path, DEEP), None),
    "missing.nii": (lambda path: save_nifti(path, holed(REAL)), None),
    "meta.mhd": (lambda path: SimpleITK.WriteImage(SimpleITK.GetImageFromArray(DEEP), str(path)), None),
    "ultrasound.dcm": (lambda path: write_dicom(path, DEEP, 16, **ULTRASOUND), DEEP / 4095),
    "slice.dcm": (lambda path: write_dicom(path, DEEP, **SLICE), None),
}
RULES = {
    "default": IntensityScaling(),
    "bits": IntensityScaling("bits"),
    "minmax": IntensityScaling("minmax"),
    "window": IntensityScaling("window", 100, 2000),
    "fixed": IntensityScaling(bits=14),
    "all real": IntensityScaling(integer="real"),
}


def as_channels_first(values: NDArray) -> NDArray:
    return np.atleast_3d(values).transpose(2, 0, 1)


@pytest.mark.parametrize("name", FILES)
def test_values_are_those_of_inference(tmp_path: Path, name: str) -> None:
    write, expected = FILES[name]
    path = tmp_path / name
    write(path)
    for rule, scaling in RULES.items():
        seen = LoadSourced("image", scaling)({"image": str(path)})["image"].as_tensor().clamp(0, 1)
        channels = len(seen)
        slices = seen if seen.ndim == 4 else seen[..., None]
        sliced = LoadSliced("label", channels=channels, scaling=scaling)({"label": str(path), "slice": 0})["label"]
        assert torch.equal(sliced, slices[..., 0]), rule
        # As it is displayed; the patient's axes of a volume may turn what a 2-D network sees of it.
        displayed = LoadSourced("image", scaling, transpose=True)({"image": str(path)})["image"].as_tensor()
        if name == "slice.dcm":
            displayed = displayed[..., 0].flip(1, 2)
        image = read_image(path, channels, scaling=scaling)
        assert torch.equal(image, displayed.clamp(0, 1)), rule
        assert image_size(path) == image.shape[1:]
        if expected is not None and rule in ("default", "bits", "minmax", "window"):
            np.testing.assert_allclose(image, as_channels_first(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "bundles").glob("*/configs/train.json")), ids=str)
def test_bundles_train_by_the_rule_that_inference_follows(path: Path) -> None:
    loaders = re.findall(r'"_target_": "shared\.data\.\w+\.Load\w+",[^}]*}', path.read_text())
    assert loaders
    assert [loader for loader in loaders if '"scaling": "@intensity_scaling"' not in loader] == []


TURNS: dict[int, Callable[[NDArray], NDArray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_images_and_masks_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.kron(np.array([[10, 60, 110], [160, 210, 250]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, mask = tmp_path / f"image.{suffix}", tmp_path / "mask.png"
    Image.fromarray(stored).save(image, exif=exif)
    upright = TURNS[orientation](stored)
    Image.fromarray(255 * np.uint8(upright > 128)).save(mask)
    whole = read_image(image, 1)[0].numpy()
    np.testing.assert_allclose(whole, upright / 255, rtol=0, atol=0.01)
    half = LoadUnitImaged(channels=1, size=(upright.shape[0] // 2, upright.shape[1] // 2))
    item = half({"label": image, "mask": mask})
    centres = (slice(4, None, 8), slice(4, None, 8))
    np.testing.assert_allclose(item["label"][0][centres], upright[8::16, 8::16] / 255, rtol=0, atol=0.02)
    np.testing.assert_array_equal(item["mask"][0][centres], upright[8::16, 8::16] > 128)
    # A mask that says so itself is turned too.
    Image.fromarray(255 * np.uint8(stored > 128)).save(mask, exif=exif)
    np.testing.assert_array_equal(half({"label": image, "mask": mask})["mask"], item["mask"])
    Image.fromarray(255 * np.uint8(stored > 128)).save(mask)
    if stored.shape != upright.shape:
        with pytest.raises(InputError) as caught:
            half({"label": image, "mask": mask})
        for word in ("mask.png' is 48x32", "image." + suffix, "is 32x48", f"EXIF orientation {orientation}"):
            assert word in str(caught.value)


def old_values(image: Image.Image, channels: int, size: tuple[int, int] | None) -> torch.Tensor:
    """What networks have learned from so far: 8 bits resized as such, then divided by 255."""
    plane = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    if size is not None:
        plane = plane.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(plane, dtype=np.float32)).div_(255.0)
    if pixels.ndim == 2:
        return pixels.expand(channels, *pixels.shape)
    return pixels.permute(2, 0, 1) if channels == 3 else (pixels @ torch.tensor((0.299, 0.587, 0.114)))[None]


MODES = {"png": ("L", "RGB", "P", "LA", "RGBA", "1"), "tif": ("L", "RGB", "1"), "jpg": ("L", "RGB"), "bmp": ("L", "P")}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in MODES.items() for mode in modes])
def test_eight_bits_stay_what_networks_have_learned(tmp_path: Path, suffix: str, mode: str) -> None:
    image = Image.fromarray(COLOUR).resize((90, 70), Image.Resampling.BICUBIC)
    if mode == "RGBA":
        image.putalpha(9)
    path = tmp_path / f"image.{suffix}"
    image.convert(mode).save(path)
    inner = (7, 9, 30, 40)
    for size, box in ((None, None), ((16, 24), None), ((35, 45), None), (None, inner), ((8, 8), inner)):
        with Image.open(path) as stored:
            if size is not None and box is None:
                stored.draft(None, (2 * size[1], 2 * size[0]))
            part = stored if box is None else stored.crop((box[1], box[0], box[1] + box[3], box[0] + box[2]))
            for channels in (1, 3):
                expected = old_values(part, channels, size)
                assert torch.equal(read_image(path, channels, size, box), expected), (size, box, channels)


def test_a_part_has_the_scale_of_its_image(tmp_path: Path) -> None:
    stored = DEEP % 1000
    stored[0, 0] = 4095
    Image.fromarray(stored).save(tmp_path / "a.png")
    part = read_image(tmp_path / "a.png", 1, box=(5, 6, 8, 9))
    np.testing.assert_allclose(part[0], stored[5:13, 6:15] / 4095, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"a\.png: bits: found 10, but values from .* to 4095, expected 12"):
        LoadUnitImaged(scaling=IntensityScaling(bits=10))({"label": str(tmp_path / "a.png")})
