"""Stored values of derived DICOM images: padding, slopes, colour, overlays, bits and byte order."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, RLELossless
from torch import nn

from shared.images import read_picture
from shared.images.dicom.reading import decode_frames
from tests.images.dicom.dicom_files import (
    AXIAL,
    MR,
    PET,
    Brighter,
    enhanced_file,
    enhanced_mr,
    geometry,
    image,
    noise,
    save,
    scanner_file,
    write_series,
)

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(4)


def test_jpeg_ultrasound_clip_is_decoded_and_its_loss_remembered(tmp_path: Path, enhance: Enhance) -> None:
    source = scanner_file("examples_ybr_color.dcm")
    original = pydicom.dcmread(source)
    assert original.PhotometricInterpretation == "YBR_FULL_422"
    result = enhanced_file(enhance, source, tmp_path, channels=3)
    assert (result.PhotometricInterpretation, result.NumberOfFrames) == ("RGB", 30)
    assert result.LossyImageCompression == "01"
    assert result.FrameIncrementPointer == original.FrameIncrementPointer
    assert len(result.SequenceOfUltrasoundRegions) == len(original.SequenceOfUltrasoundRegions)
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(source)))
    assert np.abs(result.pixel_array.astype(int) - by_itk.astype(int)).mean() < 2


def test_lossy_syntax_is_remembered_where_the_header_was_silent(tmp_path: Path, enhance: Enhance) -> None:
    source = scanner_file("SC_rgb_jpeg_dcmtk.dcm")
    dataset = pydicom.dcmread(source)
    for name in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if name in dataset:
            del dataset[name]
    dataset.save_as(tmp_path / "a.dcm")
    result = enhanced_file(enhance, tmp_path / "a.dcm", tmp_path / "out", channels=3)
    assert (result.LossyImageCompression, result.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert 1 < float(result.LossyImageCompressionRatio) < 50


def test_palette_becomes_rgb(tmp_path: Path, enhance: Enhance) -> None:
    result = enhanced_file(enhance, scanner_file("examples_palette.dcm"), tmp_path, channels=3)
    assert (result.PhotometricInterpretation, result.SamplesPerPixel, result.BitsStored) == ("RGB", 3, 8)
    assert not [element.keyword for element in result if "Palette" in element.keyword]


@pytest.mark.parametrize("padding", [-2000, 63536])
@pytest.mark.parametrize("factor", [1, 2])
def test_padding_stays_padding_and_stays_out(tmp_path: Path, enhance: Enhance, padding: int, factor: int) -> None:
    pixels = noise(12, 12)
    pixels[:3] = -2000
    files = write_series(tmp_path / "scan", pixels[None], names=["a.dcm"])
    dataset = pydicom.dcmread(files[0])
    # Some scanners write the bits of -2000 as an unsigned number.
    dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    dataset.save_as(files[0])
    assert read_picture(files[0]).pixels.min() == pixels[3:].min(), "padding has no part in the scaling"
    result = enhanced_file(enhance, files[0], tmp_path / "out", factor, roi_size=64)
    expected = pixels.repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_array_equal(result.pixel_array, expected)
    brighter = enhanced_file(enhance, files[0], tmp_path / "brighter", network=Brighter()).pixel_array
    assert (brighter[:3] == -2000).all()
    assert (brighter[3:] > pixels[3:]).mean() > 0.7


def test_the_image_never_takes_the_value_of_padding(tmp_path: Path, enhance: Enhance) -> None:
    pixels = np.tile(np.array([-5, -3, 0, 4, 7], np.int16), (6, 1))
    files = write_series(tmp_path / "scan", pixels[None], names=["a.dcm"], PixelPaddingValue=0)

    class Zero(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full_like(images, 5 / 12)

    result = enhanced_file(enhance, files[0], tmp_path / "out", network=Zero()).pixel_array
    np.testing.assert_array_equal(result == 0, pixels == 0)
    assert np.abs(result).max() <= 1


def test_slices_with_slopes_of_their_own(tmp_path: Path, enhance: Enhance) -> None:
    """PET: stored values of two slices cannot be compared, only activities can."""
    stored = noise(4, 8, 8, highest=30000)
    slopes = [0.5, 2.0, 1.25, 7.0]
    series: dict[str, Any] = {"RescaleSlope": slopes, "RescaleIntercept": 0}
    files = write_series(tmp_path / "scan", stored, PET, "PT", **series)
    activity = stored * np.array(slopes)[:, None, None]
    np.testing.assert_allclose(read_picture(tmp_path / "scan").pixels[0].transpose(2, 1, 0), activity, rtol=1e-6)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out")
    for path, expected, slope in zip(files, stored, slopes, strict=True):
        result = pydicom.dcmread(Path(output) / path.name)
        np.testing.assert_array_equal(result.pixel_array, expected)
        assert float(result.RescaleSlope) == slope
    (volume,) = enhance(tmp_path / "scan", tmp_path / "out", output_format="nifti")
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(volume)), activity, rtol=1e-6)
    (brighter,) = enhance(tmp_path / "scan", tmp_path / "brighter", network=Brighter())
    first = pydicom.dcmread(Path(brighter) / files[0].name).pixel_array
    assert first.max() == 2**15 - 1, "what is beyond the slice's range stops at its end and does not wrap"


def test_overlays(tmp_path: Path, enhance: Enhance) -> None:
    """One in its own bits still fits an image of the same size; one in unused bits of the pixels is no pixel value."""
    pixels = noise(8, 16, dtype="uint16", highest=4096)
    drawn = RNG.integers(0, 2, (8, 16)).astype(np.uint16)
    dataset = image(MR, "MR", pixels | drawn << 12, BitsStored=12, **geometry(AXIAL, np.zeros(3), (1, 1), 3))
    for group in (0x6000, 0x6002):
        for element, kind, value in ((0x10, "US", 8), (0x11, "US", 16), (0x40, "CS", "G"), (0x50, "SS", [1, 1])):
            dataset.add_new((group, element), kind, value)
    dataset.add_new((0x6000, 0x0100), "US", 16)
    dataset.add_new((0x6000, 0x0102), "US", 12)
    for element, kind, value in ((0x0100, "US", 1), (0x0102, "US", 0), (0x3000, "OW", b"\x01\x02" * 8)):
        dataset.add_new((0x6002, element), kind, value)
    source = save(dataset, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_picture(source).pixels[0, :, :, 0].T, pixels)
    result = enhanced_file(enhance, source, tmp_path / "out")
    np.testing.assert_array_equal(result.pixel_array, pixels)
    assert (0x6000, 0x0100) not in result
    assert result[0x6002, 0x3000].value == b"\x01\x02" * 8
    assert not enhanced_file(enhance, source, tmp_path / "finer", 2).group_dataset(0x6002)


def test_signed_values_below_their_high_bit(tmp_path: Path) -> None:
    values = np.array([[-5, 3], [-2048, 2047]], np.int16)
    dataset = image(MR, "MR", values << 4, BitsStored=12)
    dataset.HighBit = 15
    np.testing.assert_array_equal(read_picture(save(dataset, tmp_path / "a.dcm")).pixels[0], values)
    before = deepcopy(dataset)
    np.testing.assert_array_equal(decode_frames(dataset, "a.dcm")[0, ..., 0], values)
    assert dataset == before


def test_words_of_a_big_endian_source_are_turned(tmp_path: Path, enhance: Enhance) -> None:
    table = np.array([1, 2, 300, 40000], "<u2")
    files = write_series(tmp_path / "scan", noise(1, 4, 4), names=["a.dcm"])
    dataset = pydicom.dcmread(files[0])
    lookup = Dataset()
    lookup.LUTDescriptor = [4, 0, 16]
    lookup.add_new("LUTData", "OW", table.astype(">u2").tobytes())
    dataset.VOILUTSequence = [lookup]
    pixels = dataset.pixel_array
    dataset.PixelData = pixels.astype(">i2").tobytes()
    turned = Dataset()
    for element in dataset:
        turned.add(element)
    turned.file_meta = dataset.file_meta
    turned.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    save(turned, tmp_path / "a.dcm")
    result = enhanced_file(enhance, tmp_path / "a.dcm", tmp_path / "out")
    np.testing.assert_array_equal(result.pixel_array, pixels)
    assert result.VOILUTSequence[0].LUTData == table.tobytes()


def test_compressed_multi_frame_source(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise(3, 8, 8, dtype="uint16")
    dataset = enhanced_mr(pixels, BitsStored=16)
    dataset.compress(RLELossless)
    assert dataset.PixelData[:4] == encapsulate([b"x"])[:4]
    result = enhanced_file(enhance, save(dataset, tmp_path / "a.dcm"), tmp_path / "out")
    np.testing.assert_array_equal(result.pixel_array, pixels)
