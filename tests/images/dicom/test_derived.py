"""Derived DICOM images: identifiers, history, equipment, validity, and folders that are whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from shared.errors import root_cause
from shared.images import Producer, read_picture
from shared.images.dicom import derivation, derived, finer_grid
from tests.images.dicom.dicom_files import (
    AXIAL,
    MR,
    OBLIQUE,
    PET,
    ULTRASOUND,
    Brighter,
    enhanced_file,
    image,
    noise,
    read_strictly,
    save,
    scanner_file,
    write_series,
)

Enhance = Callable[..., list[str]]


WHOLE_FILES = [
    "CT_small.dcm",
    "693_J2KI.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_RLE.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "JPEGLSNearLossless_16.dcm",
    "image_dfl.dcm",
]


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_identity_gives_the_stored_pixels_back(tmp_path: Path, enhance: Enhance, name: str) -> None:
    source = scanner_file(name)
    result = enhanced_file(enhance, source, tmp_path)
    before, after = read_picture(source), read_picture(tmp_path / name)
    np.testing.assert_array_equal(before.pixels, after.pixels)
    assert (before.pixels.dtype, before.bits, before.slope, before.intercept, before.inverted) == (
        after.pixels.dtype,
        after.bits,
        after.slope,
        after.intercept,
        after.inverted,
    )
    original = pydicom.dcmread(source)
    assert result.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert result.PhotometricInterpretation in ("RGB", original.PhotometricInterpretation)
    assert result.SOPClassUID == result.file_meta.MediaStorageSOPClassUID == original.SOPClassUID
    assert result.SOPInstanceUID == result.file_meta.MediaStorageSOPInstanceUID != original.SOPInstanceUID
    # An independent reader sees values, spacing, origin and direction alike; it cannot decode two of the sources.
    if name not in ("SC_ybr_full_422_uncompressed.dcm", "examples_palette.dcm"):
        images = [SimpleITK.ReadImage(str(path)) for path in (source, tmp_path / name)]
        np.testing.assert_allclose(*(SimpleITK.GetArrayFromImage(one).astype(float) for one in images), atol=1e-4)
        for question in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(*(getattr(one, question)() for one in images), atol=1e-5)


def test_what_a_derived_image_says(tmp_path: Path, enhance: Enhance) -> None:
    files = write_series(
        tmp_path / "scan",
        noise(3, 9, 7),
        DerivationDescription="Reformatted",
        LossyImageCompression="01",
        LossyImageCompressionRatio=9.5,
        SmallestImagePixelValue=0,
        PatientComments="kept",
        DigitalSignaturesSequence=(Dataset(),),
        IconImageSequence=(Dataset(),),
    )
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", network=Brighter())
    sources = [pydicom.dcmread(path) for path in files]
    results = [read_strictly(Path(output) / path.name) for path in files]
    assert sorted(path.name for path in Path(output).iterdir()) == sorted(path.name for path in files)
    assert len({result.SOPInstanceUID for result in results} | {one.SOPInstanceUID for one in sources}) == 6
    assert len({result.SeriesInstanceUID for result in results}) == 1
    for source, result in zip(sources, results, strict=True):
        kept = "PatientName PatientID PatientBirthDate PatientSex PatientComments StudyInstanceUID StudyDate StudyID "
        kept += "AccessionNumber FrameOfReferenceUID ImagePositionPatient ImageOrientationPatient PixelSpacing "
        kept += "SliceThickness InstanceNumber KVP RescaleSlope RescaleIntercept RescaleType BitsStored SOPClassUID "
        kept += "AcquisitionDate SeriesTime Modality InstitutionName LossyImageCompression LossyImageCompressionRatio"
        for name in kept.split():
            assert result[name].value == source[name].value, name
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
        assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert result.DerivationDescription == (
            "Enhanced by A bundle 1.2.3; not for diagnostic use; source: Reformatted"
        )
        reference = result.SourceImageSequence[0]
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert reference.SpatialLocationsPreserved == "YES"
        assert (result.SeriesNumber, result.InstanceNumber) == (9004, source.InstanceNumber)
        assert result.SeriesDescription == "Head routine (enhanced, not for diagnostic use)"
        assert (result.Manufacturer, result.ManufacturerModelName) == (derivation.MANUFACTURER, "A bundle")
        assert result.SoftwareVersions == "1.2.3"
        equipment = result.ContributingEquipmentSequence[0]
        assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("Scanner AG", "Tomo 3000")
        assert (equipment.StationName, equipment.SoftwareVersions) == ("CT01", "v7")
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Acquisition Equipment"
        assert result.InstanceCreationDate == result.ContentDate > source.StudyDate
        assert result.SmallestImagePixelValue == result.pixel_array.min() > 0
        for name in ("DigitalSignaturesSequence", "IconImageSequence", "StationName"):
            assert name not in result


def test_a_run_gives_one_series_and_the_next_another(tmp_path: Path, enhance: Enhance) -> None:
    """Also for files that are enhanced one by one: localizers stay together."""
    folder = tmp_path / "scan"
    for number, planes in enumerate((AXIAL, OBLIQUE)):
        write_series(folder, noise(1, 8, 8), planes=planes, names=[f"{number}.dcm"], SeriesInstanceUID="1.2.3")
    write_series(folder, noise(1, 8, 8), names=["other.dcm"])
    runs = []
    for number in range(2):
        outputs = enhance(folder, tmp_path / f"out{number}")
        runs.append([pydicom.dcmread(output) for output in outputs])
    series = [[result.SeriesInstanceUID for result in run] for run in runs]
    assert [len(set(run)) for run in series] == [2, 2]
    assert not set(series[0]) & set(series[1])
    assert series[0][0] == series[0][1]
    assert len({result.SOPInstanceUID for run in runs for result in run}) == 6


def test_enhancing_twice_keeps_the_whole_history(tmp_path: Path, enhance: Enhance) -> None:
    write_series(tmp_path / "scan", noise(1, 8, 8), names=["a.dcm"])
    first = enhanced_file(enhance, tmp_path / "scan" / "a.dcm", tmp_path / "once")
    # A code of more than 16 characters has no CodeValue.
    first.ContributingEquipmentSequence.append(deepcopy(first.ContributingEquipmentSequence[0]))
    purpose = first.ContributingEquipmentSequence[1].PurposeOfReferenceCodeSequence[0]
    del purpose.CodeValue
    purpose.LongCodeValue, purpose.CodeMeaning = "a-code-of-many-characters", "Other"
    first.save_as(tmp_path / "once" / "a.dcm")
    second = enhanced_file(enhance, tmp_path / "once" / "a.dcm", tmp_path / "twice")
    assert second.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    made_by = "Enhanced by A bundle 1.2.3; not for diagnostic use"
    assert second.DerivationDescription == f"{made_by}; source: {made_by}"
    purposes = [item.PurposeOfReferenceCodeSequence[0].CodeMeaning for item in second.ContributingEquipmentSequence]
    assert purposes == ["Acquisition Equipment", "Other", "Processing Equipment"]


def test_private_attributes_go(tmp_path: Path, enhance: Enhance) -> None:
    result = enhanced_file(enhance, scanner_file("CT_small.dcm"), tmp_path)
    source = pydicom.dcmread(scanner_file("CT_small.dcm"))
    assert [element for element in source if element.tag.is_private]
    assert not [element for element in result if element.tag.is_private]


def test_incomplete_source(tmp_path: Path, enhance: Enhance) -> None:
    dataset = pydicom.dcmread(scanner_file("MR_small.dcm"))
    del dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.PatientID, dataset.Modality
    dataset.save_as(tmp_path / "a.dcm")
    result = enhanced_file(enhance, tmp_path / "a.dcm", tmp_path / "out")
    assert result.SeriesInstanceUID
    assert result.StudyInstanceUID
    assert (result.PatientID, result.Modality) == ("", "OT")
    del dataset.SOPInstanceUID
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=False)
    with pytest.raises(RuntimeError) as caught:
        enhance(tmp_path / "a.dcm", tmp_path / "out")
    assert "a.dcm: SOPInstanceUID missing" in str(root_cause(caught.value))


def test_failure_leaves_no_half_series(tmp_path: Path, enhance: Enhance, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_series(tmp_path / "scan", noise(4, 8, 8))
    (output,) = enhance(tmp_path / "scan", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in Path(output).iterdir()}
    calls = []

    def broken(dataset: Any, path: str) -> None:
        calls.append(path)
        Path(path).write_bytes(b"half")
        if len(calls) == 3:
            raise OSError("No space left on device")

    monkeypatch.setattr(derived, "save_dicom", broken)
    with pytest.raises(RuntimeError) as caught:
        enhance(tmp_path / "scan", tmp_path / "out")
    assert "004_Head_routine: cannot be written: No space left on device" in str(root_cause(caught.value))
    assert {path.name: path.read_bytes() for path in Path(output).iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["004_Head_routine"]
    monkeypatch.undo()
    (Path(output) / "Thumbs.db").write_text("of the system")
    enhance(tmp_path / "scan", tmp_path / "out")
    assert sorted(path.name for path in Path(output).iterdir()) == sorted([*before, "Thumbs.db"])
    files[0].unlink()
    with pytest.raises(RuntimeError) as caught:
        enhance(tmp_path / "scan", tmp_path / "out")
    assert f"holds {files[0].name}, an image that is none of the new result's 3 files" in str(root_cause(caught.value))


def test_second_run_replaces_the_first(tmp_path: Path, enhance: Enhance) -> None:
    write_series(tmp_path / "scan", noise(4, 8, 8))
    (output,) = enhance(tmp_path / "scan", tmp_path / "out", network=Brighter())
    first = {path.name: path.read_bytes() for path in Path(output).iterdir()}
    enhance(tmp_path / "scan", tmp_path / "out")
    second = {path.name: path.read_bytes() for path in Path(output).iterdir()}
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["004_Head_routine"]


@pytest.mark.parametrize(
    ("sop_class", "modality"), [("1.2.840.10008.5.1.4.1.1.2", "CT"), (MR, "MR"), (PET, "PT"), (ULTRASOUND, "US")]
)
def test_required_attributes_are_no_fewer_than_the_source_has(
    tmp_path: Path, enhance: Enhance, sop_class: str, modality: str
) -> None:
    """Types 1 and 2 of the standard's mandatory modules, as highdicom lists them."""
    highdicom = pytest.importorskip("highdicom")
    folder = Path(highdicom.__file__).parent / "_standard"
    kind = json.loads((folder / "sop_class_iod_map.json").read_text())[sop_class]
    modules = json.loads((folder / "iod_module_map.json").read_text())[kind]
    attributes = json.loads((folder / "module_attribute_map.json").read_text())
    required = {
        (attribute["keyword"], attribute["type"])
        for module in modules
        if module["usage"] == "M"
        for attribute in attributes[module["key"]]
        if attribute["type"] in ("1", "2") and not attribute["path"]
    }
    source = image(sop_class, modality, noise(8, 8, dtype="uint8", highest=255))
    for name in ("PatientID", "StudyTime", "AccessionNumber"):
        del source[name]
    result = enhanced_file(enhance, save(source, tmp_path / "a.dcm"), tmp_path / "out")
    for name, demand in sorted(required):
        if demand == "1" and source.get(name) not in (None, ""):
            assert result.get(name) not in (None, ""), name
        if demand == "2" and (name in source or name in ("PatientID", "StudyTime", "AccessionNumber")):
            assert name in result, name
    assert len(required) > 20


@pytest.mark.parametrize("module", [derived, derivation, finer_grid])
def test_every_keyword_that_is_named_exists(module: Any) -> None:
    for value in vars(module).values():
        for word in value if isinstance(value, tuple) else ():
            if isinstance(word, str) and word[:1].isupper() and " " not in word and not word.isupper():
                assert tag_for_keyword(word) is not None, word


def test_producer_stands_for_a_run() -> None:
    producer = Producer("A bundle", "1.2.3")
    assert producer == Producer("A bundle", "1.2.3")
    assert producer.uid("series", "1.2") == producer.uid("series", "1.2")
    assert len({producer.uid("a"), producer.uid("b"), producer.another_run().uid("a")}) == 3
    assert pydicom.uid.UID(producer.uid("a")).is_valid
