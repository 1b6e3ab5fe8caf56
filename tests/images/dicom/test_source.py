"""DICOM in, NIfTI out: values, units and geometry of single files, against SimpleITK as an independent reader."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from shared import InputError
from shared.images import IntensityScaling, check_picture, read_picture

Enhance = Callable[..., list[str]]
WriteDicom = Callable[..., Path]
RNG = np.random.default_rng(1)
OBLIQUE = {
    "ImageOrientationPatient": [0.6, 0.8, 0, 0, 0, -1],
    "ImagePositionPatient": [-10.5, 20.25, 30],
    "PixelSpacing": [0.7, 0.4],
    "SpacingBetweenSlices": 2.5,
}


def nifti(path: str | Path) -> Any:
    return nibabel.Nifti1Image.from_filename(path)


def scanner_file(name: str) -> str:
    """A file that pydicom ships for tests."""
    return str(get_testdata_file(name, download=False))


def assert_same_image(path: str, expected: str) -> None:
    """Size, values in their unit, and the place of every voxel in the patient."""
    result, source = SimpleITK.ReadImage(path), SimpleITK.ReadImage(expected)
    assert result.GetSize() == source.GetSize()
    np.testing.assert_allclose(
        SimpleITK.GetArrayFromImage(result).astype(float),
        SimpleITK.GetArrayFromImage(source).astype(float),
        atol=1e-3,
    )
    np.testing.assert_allclose(result.GetSpacing(), source.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(result.GetOrigin(), source.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(result.GetDirection(), source.GetDirection(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_ct_in_hounsfield_units(
    tmp_path: Path, enhance: Enhance, write_dicom: WriteDicom, dtype: str, plane: str
) -> None:
    pixels = RNG.integers(0, 2048, (37, 31)).astype(dtype)
    source = write_dicom(
        tmp_path / "a.dcm", pixels, bits=12, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, **OBLIQUE
    )
    (output,) = enhance(source, tmp_path / "out", plane=plane, roi_size=16, output_format="nifti")
    assert Path(output).name == "a.dcm.nii.gz"
    image = nifti(output)
    assert image.get_data_dtype() == np.dtype(dtype)
    assert (image.dataobj.slope, image.dataobj.inter) == (1, -1024)
    np.testing.assert_array_equal(image.dataobj.get_unscaled()[..., 0], pixels.T)
    assert_same_image(output, str(source))


def test_frames_of_an_enhanced_object_lie_where_it_says(
    tmp_path: Path, enhance: Enhance, write_dicom: WriteDicom
) -> None:
    frames = RNG.integers(0, 1000, (4, 6, 5)).astype(np.uint16)
    shared_group, per_frame = pydicom.Dataset(), []
    measures, orientation = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.4], 9
    orientation.ImageOrientationPatient = OBLIQUE["ImageOrientationPatient"]
    shared_group.PixelMeasuresSequence = [measures]
    shared_group.PlaneOrientationSequence = [orientation]
    normal = np.cross([0.6, 0.8, 0], [0, 0, -1])
    for number in range(4):
        position, group = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = [round(float(value), 6) for value in normal * number * 3 + 1]
        group.PlanePositionSequence = [position]
        per_frame.append(group)
    source = write_dicom(
        tmp_path / "a.dcm",
        frames,
        Modality="MR",
        SharedFunctionalGroupsSequence=[shared_group],
        PerFrameFunctionalGroupsSequence=per_frame,
    )
    (output,) = enhance(source, tmp_path / "out", output_format="nifti")
    image = nifti(output)
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), frames.transpose(2, 1, 0))
    np.testing.assert_allclose(image.header.get_zooms(), (0.4, 0.7, 3), rtol=1e-5)
    last = image.affine @ [0, 0, 3, 1]
    np.testing.assert_allclose(last[:3] * [-1, -1, 1], normal * 9 + 1, atol=1e-5)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm"])
def test_scanner_files(tmp_path: Path, enhance: Enhance, name: str) -> None:
    source = scanner_file(name)
    (output,) = enhance(Path(source), tmp_path, output_format="nifti")
    if "MR" not in name:
        assert_same_image(output, source)
        return
    # ITK takes 1 mm for the thickness of a single MR slice; its other numbers are the file's.
    result, expected = SimpleITK.ReadImage(output), SimpleITK.ReadImage(source)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(result), SimpleITK.GetArrayFromImage(expected))
    np.testing.assert_allclose(result.GetSpacing(), (*expected.GetSpacing()[:2], 0.8), rtol=1e-5)
    np.testing.assert_allclose(result.GetOrigin(), expected.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(result.GetDirection(), expected.GetDirection(), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["examples_rgb_color.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle_2frame.dcm", "JPEGLSNearLossless_16.dcm"],
)
def test_files_without_a_place_in_the_patient(tmp_path: Path, enhance: Enhance, name: str) -> None:
    source = scanner_file(name)
    (output,) = enhance(Path(source), tmp_path, output_format="nifti")
    assert_same_image(output, source)


def test_lossless_compression_that_pydicom_leaves_to_itk(tmp_path: Path) -> None:
    plain = read_picture(scanner_file("MR_small.dcm"))
    compressed = read_picture(scanner_file("MR_small_jpeg_ls_lossless.dcm"))
    np.testing.assert_array_equal(compressed.pixels, plain.pixels)
    assert compressed.pixels.dtype == plain.pixels.dtype
    assert compressed.affine is not None
    assert plain.affine is not None
    np.testing.assert_allclose(compressed.affine, plain.affine)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"])
def test_what_decoders_print_goes_to_the_log(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "shared.images"), contextlib.suppress(InputError):
        read_picture(scanner_file(name))
    assert capfd.readouterr() == ("", "")
    assert f"{name}: the decoder says: " in caplog.text


def test_name_without_suffix_and_index_file(tmp_path: Path, enhance: Enhance, write_dicom: WriteDicom) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = write_dicom(folder / "IM0001", np.arange(12, dtype=np.uint8).reshape(3, 4), Modality="US")
    (folder / "DICOMDIR").write_bytes(source.read_bytes())
    outputs = enhance(folder, tmp_path / "out", output_format="nifti")
    assert [Path(output).name for output in outputs] == ["IM0001.nii.gz"]


def test_scaling_by_bit_depth_or_by_values(tmp_path: Path, write_dicom: WriteDicom) -> None:
    pixels = np.array([[100, 300], [500, 900]], np.uint16)
    rule = IntensityScaling("minmax")
    radiograph = read_picture(str(write_dicom(tmp_path / "a.dcm", pixels, bits=12, Modality="DX")))
    assert rule.bounds(radiograph) == (0, 1023)
    inverted = write_dicom(tmp_path / "b.dcm", pixels, bits=12, Modality="DX", PhotometricInterpretation="MONOCHROME1")
    assert rule.bounds(read_picture(str(inverted))) == (1023, 0)
    scan = read_picture(str(write_dicom(tmp_path / "c.dcm", pixels, bits=12, Modality="MR")))
    assert rule.bounds(scan) == (100, 900)
    hounsfield = read_picture(
        str(write_dicom(tmp_path / "d.dcm", pixels, Modality="CT", RescaleSlope=2, RescaleIntercept=-1000))
    )
    assert IntensityScaling("window", -160, 240).bounds(hounsfield) == (420, 620)


def test_inverted_grey_values_come_back(tmp_path: Path, enhance: Enhance, write_dicom: WriteDicom) -> None:
    pixels = RNG.integers(0, 4096, (37, 31)).astype(np.uint16)
    source = write_dicom(tmp_path / "a.dcm", pixels, bits=12, Modality="CR", PhotometricInterpretation="MONOCHROME1")
    (output,) = enhance(source, tmp_path / "out", output_format="nifti")
    np.testing.assert_array_equal(nifti(output).dataobj.get_unscaled()[..., 0], pixels.T)


def test_objects_that_are_no_images(tmp_path: Path, write_dicom: WriteDicom) -> None:
    with pytest.raises(InputError, match=r"rtplan\.dcm: a DICOM object without an image \(RT Plan\)"):
        check_picture(scanner_file("rtplan.dcm"))
    colour = np.zeros((4, 5, 3), np.uint16)
    source = write_dicom(tmp_path / "c.dcm", colour, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    with pytest.raises(InputError, match=r"c\.dcm: colour of 16 bits, expected 8"):
        check_picture(str(source))


def test_pixels_that_end_early(tmp_path: Path, write_dicom: WriteDicom) -> None:
    source = write_dicom(tmp_path / "a.dcm", np.zeros((40, 40), np.uint16), Modality="CT")
    source.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"a\.dcm: the pixels cannot be decoded"):
        read_picture(str(source))
    dataset = pydicom.dcmread(write_dicom(tmp_path / "b.dcm", np.zeros((40, 40), np.uint16), Modality="CT"))
    dataset.PixelData = encapsulate([b"no JPEG-LS at all"])
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(InputError, match=r"b\.dcm: the pixels \(transfer syntax JPEG-LS Lossless"):
        read_picture(str(tmp_path / "b.dcm"))
