"""What an image says about its scale: kinds of frames in one object, and the window of its header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_rescale, apply_windowing

from shared.images import IntensityScaling, read_picture
from shared.inference import LoadSourced
from tests.images.dicom.dicom_files import DX, MR, enhanced_file, enhanced_mr, image, noise, save, write_series

Enhance = Callable[..., list[str]]


def of_kinds(pixels: np.ndarray, names: list[str]) -> pydicom.Dataset:
    """Frames of an enhanced object that say what they are."""
    dataset = enhanced_mr(pixels, BitsStored=16)
    del dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence
    for frame, name in zip(dataset.PerFrameFunctionalGroupsSequence, names, strict=True):
        kind = pydicom.Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", name, "NONE"]
        kind.ComplexImageComponent = "MAGNITUDE"
        frame.MRImageFrameTypeSequence = [kind]
    return dataset


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["M", "M", "FIELD_MAP", "FIELD_MAP"], (0, 0, 1, 1)),
        (["M", "P", "M", "P"], (0, 1, 0, 1)),
        (["X", "Y", "X", "Z"], (0, 1, 0, 2)),
        (["M", "M", "M", "M"], ()),
    ],
)
def test_frames_of_several_kinds(tmp_path: Path, names: list[str], expected: tuple[int, ...]) -> None:
    source = save(of_kinds(noise(4, 6, 5, dtype="uint16"), names), tmp_path / "a.dcm")
    assert read_picture(str(source)).parts == expected


def test_kinds_by_complex_component_and_by_unit(tmp_path: Path) -> None:
    dataset = of_kinds(noise(4, 6, 5, dtype="uint16"), ["M"] * 4)
    for frame, component in zip(dataset.PerFrameFunctionalGroupsSequence, ("MAGNITUDE", "PHASE") * 2, strict=True):
        frame.MRImageFrameTypeSequence[0].ComplexImageComponent = component
    assert read_picture(str(save(dataset, tmp_path / "a.dcm"))).parts == (0, 1, 0, 1)
    dataset = of_kinds(noise(4, 6, 5, dtype="uint16"), ["M"] * 4)
    for frame, unit in zip(dataset.PerFrameFunctionalGroupsSequence, ("US", "US", "Hz", "Hz"), strict=True):
        frame.PixelValueTransformationSequence = [pydicom.Dataset()]
        frame.PixelValueTransformationSequence[0].RescaleSlope = 1 if unit == "US" else 0.25
        frame.PixelValueTransformationSequence[0].RescaleIntercept = 0 if unit == "US" else -500
        frame.PixelValueTransformationSequence[0].RescaleType = unit
    picture = read_picture(str(save(dataset, tmp_path / "b.dcm")))
    assert picture.parts == (0, 0, 1, 1)
    assert picture.pixels[..., 2:].min() < 0


def test_each_kind_of_frames_keeps_its_contrast(tmp_path: Path, enhance: Enhance) -> None:
    """A field map of a few hertz beside a magnitude of thousands: one scale would leave it two grey values."""
    pixels = noise(4, 16, 16, dtype="uint16", highest=4000)
    pixels[2:] = noise(2, 16, 16, dtype="uint16", highest=40)
    source = save(of_kinds(pixels, ["M", "M", "FIELD_MAP", "FIELD_MAP"]), tmp_path / "a.dcm")
    seen = LoadSourced("image")({"image": str(source)})["image"].as_tensor()
    assert seen.std(dim=(0, 1, 2)).min() > 0.25
    result = enhanced_file(enhance, source, tmp_path / "out", roi_size=16)
    np.testing.assert_array_equal(result.pixel_array, pixels)


def test_padding_is_as_dark_as_the_frames_of_its_kind(tmp_path: Path) -> None:
    pixels = noise(4, 6, 5, dtype="uint16", highest=100) + np.array([500, 500, 3000, 3000], "uint16")[:, None, None]
    pixels[:, 0] = 0
    dataset = of_kinds(pixels, ["M", "M", "P", "P"])
    dataset.add_new("PixelPaddingValue", "US", 0)
    seen = read_picture(str(save(dataset, tmp_path / "a.dcm"))).pixels
    assert seen[..., :2].min() >= 500
    assert seen[..., 2:].min() >= 3000


WINDOWS: dict[str, tuple[dict[str, Any], tuple[float, float] | None]] = {
    "linear": ({"WindowCenter": 2048, "WindowWidth": 4096}, (0, 4095)),
    "of two": ({"WindowCenter": [300, 50], "WindowWidth": [101, 400]}, (249.5, 349.5)),
    "exact": ({"WindowCenter": 300, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}, (250, 350)),
    "rescaled": (
        {"WindowCenter": 40, "WindowWidth": 401, "RescaleSlope": 2, "RescaleIntercept": -1000},
        (419.75, 619.75),
    ),
    "falling": ({"WindowCenter": 0, "WindowWidth": 11, "RescaleSlope": -1, "RescaleIntercept": 100}, (95.5, 105.5)),
    "inverted": ({"WindowCenter": 300, "WindowWidth": 101, "PhotometricInterpretation": "MONOCHROME1"}, (249.5, 349.5)),
    "none": ({}, None),
    "no width": ({"WindowCenter": 300}, None),
    "width 0": ({"WindowCenter": 300, "WindowWidth": 0}, None),
    "one step": ({"WindowCenter": 300, "WindowWidth": 1}, None),
    "after a curve": ({"WindowCenter": 9, "WindowWidth": 101, "ModalityLUTSequence": [pydicom.Dataset()]}, None),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_window_of_the_header_in_stored_values(tmp_path: Path, name: str) -> None:
    attributes, expected = WINDOWS[name]
    pixels = noise(6, 5, dtype="uint16", highest=1000)
    source = save(image(DX, "DX", pixels, BitsStored=12, **attributes), tmp_path / "a.dcm")
    picture = read_picture(str(source))
    assert picture.window == (None if expected is None else pytest.approx(expected))
    assert (picture.modality, picture.bits) == ("DX", 12)
    if expected is not None and name not in ("exact", "falling"):
        # The values at which the standard's formula reaches black and white, which pydicom applies.
        units = apply_rescale(pixels.astype(float), pydicom.dcmread(source))
        ramp = apply_windowing(units, pydicom.dcmread(source), index=0)
        share = (ramp - ramp.min()) / (np.ptp(ramp) or 1)
        stored = np.clip((pixels - expected[0]) / (expected[1] - expected[0]), 0, 1)
        np.testing.assert_allclose(share, (stored - stored.min()) / np.ptp(stored), atol=1e-6)


def test_window_of_a_volume_is_the_middle_one_of_its_slices(tmp_path: Path) -> None:
    """The first slice of a head is air, and has a window of its own."""
    windows = {"WindowCenter": [9, 500, 500, 500, 9], "WindowWidth": [5, 1001, 1001, 1001, 5]}
    write_series(tmp_path / "scan", noise(5, 8, 8), MR, "MR", **windows)
    assert read_picture(tmp_path / "scan").window == pytest.approx((-0.5, 999.5))
    dataset = enhanced_mr(noise(3, 6, 5, dtype="uint16"))
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameVOILUTSequence = [pydicom.Dataset()]
        frame.FrameVOILUTSequence[0].WindowCenter = [300 + number, 40]
        frame.FrameVOILUTSequence[0].WindowWidth = [101, 400]
    assert read_picture(str(save(dataset, tmp_path / "a.dcm"))).window == pytest.approx((250.5, 350.5))


def test_pictures_of_frames_show_each_kind_in_its_own_scale(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(4, 16, 15, dtype="uint16") % 200
    pixels[2:] = 100 * pixels[2:] + 30000
    source = save(of_kinds(pixels, ["M", "M", "FIELD_MAP", "FIELD_MAP"]), tmp_path / "a.dcm")
    (folder,) = enhance(source, tmp_path / "out", scaling=IntensityScaling("minmax"), output_format="png")
    for path in sorted(Path(folder).iterdir()):
        shown = np.asarray(Image.open(path))
        assert shown.max() - shown.min() > 240, path.name
