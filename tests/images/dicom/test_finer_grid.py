"""Where the pixels of derived DICOM images lie: the same space, also after super-resolution."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from torch import nn

from shared import InputError
from shared.errors import message_of
from shared.inference import find_images
from tests.images.dicom.dicom_files import (
    AXIAL,
    DX,
    OBLIQUE,
    Brighter,
    enhanced_file,
    enhanced_mr,
    image,
    noise,
    positions,
    read_strictly,
    save,
    ultrasound_region,
    write_series,
)

Enhance = Callable[..., list[str]]


def corners(header: Any, frame: int = 0) -> np.ndarray:
    """Outer corners of the image in the patient, by the formula of the standard (PS3.3 C.7.6.2.1.1)."""
    groups = [header]
    if "PerFrameFunctionalGroupsSequence" in header:
        groups = [header.PerFrameFunctionalGroupsSequence[frame], header.SharedFunctionalGroupsSequence[0]]
    found: dict[str, np.ndarray] = {}
    for group in groups:
        for place in (group, *(item for element in group if element.VR == "SQ" for item in element.value)):
            for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
                if name in place:
                    found[name] = np.array(place[name].value, float)
    row, column = found["ImageOrientationPatient"].reshape(2, 3)
    spacing = found["PixelSpacing"]
    return np.array(
        [
            found["ImagePositionPatient"] + row * spacing[1] * x + column * spacing[0] * y
            for x in (-0.5, header.Columns - 0.5)
            for y in (-0.5, header.Rows - 0.5)
        ]
    )


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("planes", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_super_resolution_covers_the_same_space(
    tmp_path: Path, enhance: Enhance, factor: int, planes: np.ndarray
) -> None:
    pixels = noise(4, 9, 7)
    files = write_series(tmp_path / "scan", pixels, planes=planes)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", network=nn.Upsample(scale_factor=factor))
    results = [Path(output) / path.name for path in files]
    for path, result_path, expected in zip(files, results, pixels, strict=True):
        source, result = pydicom.dcmread(path), read_strictly(result_path)
        assert (result.Rows, result.Columns) == (9 * factor, 7 * factor)
        np.testing.assert_allclose(corners(result), corners(source), atol=1e-5)
        assert np.abs(corners(result)[0] - result.ImagePositionPatient).max() > 0.01, "pixel centres move"
        np.testing.assert_array_equal(result.pixel_array, expected.repeat(factor, 0).repeat(factor, 1))
        assert "SpatialLocationsPreserved" not in result.SourceImageSequence[0]
        assert result.DerivationCodeSequence[1].CodeMeaning == "Spatial resampling"
    before, after = (SimpleITK.ReadImage([str(path) for path in paths]) for paths in (files, results))
    assert after.GetSize() == (7 * factor, 9 * factor, 4)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-6)
    # The centre of the field of view is the same point of the patient to ITK.
    for index in ((-0.5, -0.5, 0.0), (6.5, 8.5, 3.0)):
        place = before.TransformContinuousIndexToPhysicalPoint(index)
        finer = [(value + 0.5) * factor - 0.5 for value in index[:2]]
        np.testing.assert_allclose(after.TransformContinuousIndexToPhysicalPoint([*finer, index[2]]), place, atol=1e-4)


def test_many_slices_of_positions(tmp_path: Path, enhance: Enhance) -> None:
    """Slices that lie on several places of a series keep theirs, whatever their order on disk."""
    pixels = noise(7, 8, 8)
    files = write_series(tmp_path / "scan", pixels, step=-3.0, planes=OBLIQUE)
    (output,) = enhance(tmp_path / "scan", tmp_path / "out")
    for path, expected, place in zip(files, pixels, positions(OBLIQUE, 7, -3.0), strict=True):
        result = pydicom.dcmread(Path(output) / path.name)
        np.testing.assert_array_equal(result.pixel_array, expected)
        np.testing.assert_allclose(np.array(result.ImagePositionPatient, float), place, atol=1e-4)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("shared_position", [False, True])
def test_enhanced_multi_frame_object(tmp_path: Path, enhance: Enhance, factor: int, shared_position: bool) -> None:
    pixels = noise(5, 9, 7, dtype="uint16")
    dataset = enhanced_mr(pixels)
    if shared_position:
        group = dataset.PerFrameFunctionalGroupsSequence[0]
        dataset.SharedFunctionalGroupsSequence[0].PlanePositionSequence = group.PlanePositionSequence
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            del frame.PlanePositionSequence
    source = save(dataset, tmp_path / "a.dcm")
    result = enhanced_file(enhance, source, tmp_path / "out", factor)
    np.testing.assert_array_equal(result.pixel_array, pixels.repeat(factor, 1).repeat(factor, 2))
    assert (result.BitsStored, result.HighBit, result.NumberOfFrames) == (12, 11, 5)
    # The standard allows nothing but PRIMARY in the second place of these objects.
    assert list(result.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    frame_type = result.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0].FrameType
    assert list(frame_type) == list(result.ImageType)
    for number, frame in enumerate(result.PerFrameFunctionalGroupsSequence):
        np.testing.assert_allclose(corners(result, number), corners(dataset, number), atol=1e-5)
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (
            dataset.SOPInstanceUID,
            number + 1,
        )
    evidence = result.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == dataset.SeriesInstanceUID


def test_frames_of_several_orientations(tmp_path: Path, enhance: Enhance) -> None:
    """Radial slices: enhanced as they are, but no volume."""
    dataset = enhanced_mr(noise(2, 9, 7, dtype="uint16"))
    turned = Dataset()
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [turned]
    first = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    dataset.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = first
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    source = save(dataset, tmp_path / "a.dcm")
    result = enhanced_file(enhance, source, tmp_path / "out", 2)
    for number in range(2):
        np.testing.assert_allclose(corners(result, number), corners(dataset, number), atol=1e-5)
    with pytest.raises(InputError, match=r"a\.dcm: frames of several orientations, which NIfTI cannot say"):
        find_images(str(source), str(tmp_path / "out"), "nifti")


def shutter() -> dict[str, Any]:
    return {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 3, "ShutterRightVerticalEdge": 10}


def within(sequence: str, **attributes: Any) -> dict[str, Any]:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return {sequence: [item]}


OF_THE_GRID: dict[str, dict[str, Any]] = {
    "ShutterLeftVerticalEdge": shutter(),
    "RadiusOfCircularCollimator": {"CenterOfCircularCollimator": None, "RadiusOfCircularCollimator": 4},
    "VerticesOfThePolygonalShutter": {"VerticesOfThePolygonalShutter": [1, 1, 1, 9, 9, 9]},
    "SequenceOfUltrasoundRegions": {"SequenceOfUltrasoundRegions": [ultrasound_region()]},
    "MaskSubPixelShift in MaskSubtractionSequence": within("MaskSubtractionSequence", MaskSubPixelShift=[1.5, 0.5]),
    "ImagePositionPatient in DetectorInformationSequence": within(
        "DetectorInformationSequence", ImagePositionPatient=[1, 2, 3]
    ),
}


@pytest.mark.parametrize("name", OF_THE_GRID)
def test_what_lies_on_the_source_grid_is_refused_on_a_finer_one(tmp_path: Path, enhance: Enhance, name: str) -> None:
    """In DICOM; at the same size it stays, and other formats have no such attributes."""
    pixels = noise(16, 12, dtype="uint16")
    source = save(image(DX, "DX", pixels, **OF_THE_GRID[name]), tmp_path / "a.dcm")
    same = enhanced_file(enhance, source, tmp_path / "same")
    for attribute in OF_THE_GRID[name]:
        assert same[attribute] == pydicom.dcmread(source)[attribute]
    with pytest.raises(RuntimeError) as caught:
        enhanced_file(enhance, source, tmp_path / "out", 2)
    expected = rf".*a\.dcm: {name} lies on the source's grid, expected .*; write NIfTI or PNG from it"
    assert re.fullmatch(expected, message_of(caught.value))
    assert not (tmp_path / "out" / "a.dcm").exists()
    (output,) = enhance(source, tmp_path / "png", network=nn.Upsample(scale_factor=2), output_format="png")
    assert Path(output).is_file()


def test_empty_attributes_are_no_obstacle(tmp_path: Path, enhance: Enhance) -> None:
    empty = {"SequenceOfUltrasoundRegions": [], "ShutterLeftVerticalEdge": None}
    detector = within("DetectorInformationSequence", CollimatorType="PARA")
    pixels = noise(16, 12, dtype="uint16")
    source = save(image(DX, "DX", pixels, **empty, **detector), tmp_path / "a.dcm")
    assert enhanced_file(enhance, source, tmp_path / "out", 2).Rows == 32


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_radiograph(tmp_path: Path, enhance: Enhance, bits: int, kind: str) -> None:
    pixels = noise(16, 12, dtype="uint16", highest=2**bits)
    attributes: dict[str, Any] = {"BitsStored": bits, "PhotometricInterpretation": kind, "WindowCenter": 900}
    attributes |= {"ImagerPixelSpacing": [0.2, 0.1]}
    source = save(image(DX, "DX", pixels, **attributes), tmp_path / "a.dcm")
    same = enhanced_file(enhance, source, tmp_path / "same")
    np.testing.assert_array_equal(same.pixel_array, pixels)
    result = enhanced_file(enhance, source, tmp_path / "out", 2)
    assert (result.BitsStored, result.HighBit, result.PixelRepresentation) == (bits, bits - 1, 0)
    assert (result.PhotometricInterpretation, result.WindowCenter) == (kind, 900)
    assert list(result.ImagerPixelSpacing) == [0.1, 0.05]
    brighter = enhanced_file(enhance, source, tmp_path / "brighter", network=Brighter())
    difference = brighter.pixel_array.mean() - pixels.mean()
    assert bool(difference < 0) is (kind == "MONOCHROME1"), "brighter is brighter on the screen"


def test_portal_image(tmp_path: Path, enhance: Enhance) -> None:
    place = {"ImagePlanePixelSpacing": [0.8, 0.4], "RTImagePosition": [-4, 4]}
    pixels = noise(12, 10, dtype="uint16")
    source = save(image("1.2.840.10008.5.1.4.1.1.481.1", "RTIMAGE", pixels, **place), tmp_path / "a.dcm")
    result = enhanced_file(enhance, source, tmp_path / "out", 2)
    assert list(result.ImagePlanePixelSpacing) == [0.4, 0.2]
    # A quarter of the old pixel towards the upper left corner; y points up.
    assert list(result.RTImagePosition) == pytest.approx([-4.1, 4.2])
