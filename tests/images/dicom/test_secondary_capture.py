"""Images that are not DICOM as Secondary Capture: values, places, and that no patient is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from torch import nn

from shared.errors import root_cause
from tests.images.dicom.dicom_files import read_strictly, write_series
from tests.images.nifti_files import nifti, noise, save_nifti

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(6)
SIZE = (37, 31)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_volume_as_dicom_lies_where_it_did(
    tmp_path: Path, enhance: Enhance, plane: str, factor: int, dtype: str
) -> None:
    """SimpleITK reads the series, in millimetres of the patient and in the unit of the image."""
    values = noise(9, 8, 7, dtype="uint8").astype(dtype) - (100 if dtype == "int16" else 0)
    source = save_nifti(tmp_path / "a.nii.gz", values, scale=(0.5, -10))
    network = nn.Upsample(scale_factor=factor) if factor > 1 else None
    (output,) = enhance(source, tmp_path / "out", network, plane=plane, output_format="dicom")
    files = sorted(str(path) for path in Path(output).iterdir())
    assert len(files) == {"axial": 7, "coronal": 8, "sagittal": 9}[plane]
    volume = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(output))
    expected: Any = nifti(source)
    stored = SimpleITK.GetArrayFromImage(volume)
    assert stored.size == values.size * factor**2
    for _ in range(30):
        index = [int(RNG.integers(0, size)) for size in volume.GetSize()]
        place = np.array(volume.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        voxel = np.rint(np.linalg.inv(expected.affine) @ [*place, 1])[:3].astype(int)
        assert stored[tuple(index[::-1])] == pytest.approx(expected.get_fdata()[tuple(voxel)], abs=0.01)
        if factor == 1:
            np.testing.assert_allclose((expected.affine @ [*voxel, 1])[:3], place, atol=1e-3)


def test_secondary_capture_knows_no_patient(tmp_path: Path, enhance: Enhance) -> None:
    """Nor does it have a name from the names of file and folder."""
    names = ("Doe_Jane.png", "Doe_John.png")
    (tmp_path / "Doe").mkdir()
    for name in names:
        Image.fromarray(noise(*SIZE, 3)).save(tmp_path / "Doe" / name, dpi=(254, 508))
    outputs = enhance(tmp_path / "Doe", tmp_path / "out", channels=3, output_format="dicom")
    results = [read_strictly(output) for output in outputs]
    assert not [output for output in outputs if b"Doe" in Path(output).read_bytes()]
    for result, name in zip(results, names, strict=True):
        assert result.SOPClassUID.name == "Secondary Capture Image Storage"
        assert (result.Modality, result.ConversionType) == ("OT", "WSD")
        assert list(result.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert not any(result[name].value for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"))
        assert not result.PatientOrientation
        assert result.DerivationDescription == "Enhanced by A bundle 1.2.3; not for diagnostic use"
        assert result.SeriesDescription == "Enhanced, not for diagnostic use"
        np.testing.assert_allclose(result.PixelSpacing, [0.05, 0.1], rtol=1e-3)
        with Image.open(tmp_path / "Doe" / name) as source:
            np.testing.assert_array_equal(result.pixel_array, np.array(source))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({result[name].value for result in results}) == 2, "no viewer may put two patients together"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_raster_as_dicom_keeps_its_values(tmp_path: Path, enhance: Enhance, dtype: str) -> None:
    pixels = noise(*SIZE, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", metadata=None)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", output_format="dicom")
    result = read_strictly(output)
    np.testing.assert_array_equal(result.pixel_array, pixels)
    assert result.PhotometricInterpretation == "MONOCHROME1"
    assert "RescaleSlope" not in result


def test_real_values_as_dicom_keep_their_unit(tmp_path: Path, enhance: Enhance) -> None:
    values = RNG.normal(0, 1e-3, (9, 8, 2)).astype(np.float32)
    save_nifti(tmp_path / "a.nii.gz", values, np.eye(4))
    (output,) = enhance(tmp_path / "a.nii.gz", tmp_path / "out", output_format="dicom")
    first = read_strictly(sorted(Path(output).iterdir())[0])
    unit = first.pixel_array * float(first.RescaleSlope) + float(first.RescaleIntercept)
    # Right is at the left and anterior at the top.
    np.testing.assert_allclose(unit, values[::-1, ::-1, 0].T, atol=np.ptp(values) / 65535)


def test_without_highdicom(tmp_path: Path, enhance: Enhance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is not DICOM needs it to become DICOM."""
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.setitem(sys.modules, "highdicom.sc", None)
    Image.fromarray(noise(*SIZE)).save(tmp_path / "a.png")
    with pytest.raises(RuntimeError) as caught:
        enhance(tmp_path / "a.png", tmp_path / "out", output_format="dicom")
    assert str(root_cause(caught.value)).endswith("needs the package highdicom: pip install highdicom")
    write_series(tmp_path / "scan", noise(2, *SIZE, dtype="int16"))
    assert enhance(tmp_path / "scan", tmp_path / "out")


def test_a_negative_slope_inverts_once(tmp_path: Path, enhance: Enhance) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", noise(8, 8, 1, dtype="int16"), scale=(-1, 500))
    (output,) = enhance(source, tmp_path / "out", output_format="dicom")
    image = read_strictly(output)
    assert (image.PhotometricInterpretation, float(image.RescaleSlope)) == ("MONOCHROME2", -1)
