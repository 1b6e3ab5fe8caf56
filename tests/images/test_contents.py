"""Files that are whole and known, but hold no image of intensities: labels, statistics, doses, reports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from shared.data.slices import mask_content
from shared.errors import InputError, NoIntensities, message_of
from shared.images import check_picture, read_picture
from shared.inference import LoadSourced, find_images
from tests.images.dicom.dicom_files import CT, image, noise, save, scanner_file, write_series
from tests.images.nifti_files import save_nifti

STORAGE = "1.2.840.10008.5.1.4.1.1."
LABELS = np.tile(np.arange(4, dtype=np.uint8), (8, 2))


def label_map(sop_class: str, **attributes: Any) -> Dataset:
    """Segment numbers in 8 bits, in the colours of a palette, as the supplement for label maps allows."""
    dataset = image(sop_class, "SEG", LABELS, PhotometricInterpretation="PALETTE COLOR", **attributes)
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes([0, 90, 180, 255]))
    return dataset


def parametric_map() -> Dataset:
    dataset = image(f"{STORAGE}30", "MR", noise(8, 8))
    del dataset.PixelData, dataset.BitsStored
    dataset.FloatPixelData = noise(8, 8, dtype="float32").tobytes()
    return dataset


def without_pixels(sop_class: str, modality: str) -> Dataset:
    dataset = image(sop_class, modality, noise(2, 2))
    for name in ("PixelData", "Rows", "Columns", "BitsStored", "BitsAllocated", "PhotometricInterpretation"):
        del dataset[name]
    return dataset


DICOM = {
    "label map": (label_map(f"{STORAGE}66.7"), "label maps"),
    "grey label map": (image(f"{STORAGE}66.7", "SEG", LABELS), "label maps"),
    "segmentation": (image(f"{STORAGE}66.4", "SEG", LABELS), "segmentations"),
    "segmentation under another class": (image(CT, "SEG", LABELS), "segmentations"),
    "segmentation without its class": (image("", "SEG", LABELS, SOPClassUID=None), "segmentations"),
    "height map": (image(f"{STORAGE}81.1", "OPM", LABELS), "height maps"),
    "dose": (image(f"{STORAGE}481.2", "RTDOSE", noise(8, 8)), "radiotherapy doses"),
    "parametric map": (parametric_map(), "parametric maps"),
    "parametric map of integers": (image(f"{STORAGE}30", "MR", noise(8, 8)), "parametric maps"),
    "structures": (without_pixels(f"{STORAGE}481.3", "RTSTRUCT"), "radiotherapy structure sets"),
    "presentation state": (without_pixels(f"{STORAGE}11.1", "PR"), "presentation states"),
    "surfaces": (without_pixels(f"{STORAGE}66.5", "SEG"), "segmentations"),
    "value map": (without_pixels(f"{STORAGE}67", "RWV"), "real-world value maps"),
    "report": (without_pixels(f"{STORAGE}88.33", "SR"), "DICOM objects without an image"),
    "key objects": (without_pixels(f"{STORAGE}88.59", "KO"), "DICOM objects without an image"),
    "plan": (without_pixels(f"{STORAGE}481.5", "RTPLAN"), "DICOM objects without an image"),
    "document": (without_pixels(f"{STORAGE}104.1", "DOC"), "DICOM objects without an image"),
    "of a vendor": (without_pixels("1.3.12.2.1107.5.9.1", "OT"), "DICOM objects without an image"),
}


@pytest.mark.parametrize("name", DICOM)
def test_dicom_object_is_named_alone_and_left_out_beside_a_series(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, kind = DICOM[name]
    if not dataset.get("SOPClassUID"):
        dataset.file_meta.MediaStorageSOPClassUID = CT
    path = save(dataset, tmp_path / "scan" / "0.dcm")
    for read in (check_picture, read_picture):
        with pytest.raises(NoIntensities, match=r"0\.dcm: .*, expected an image of intensities$") as caught:
            read(str(path))
        assert caught.value.kind == kind
    write_series(tmp_path / "scan", noise(3, 8, 8))
    (item,) = find_images(str(tmp_path / "scan"), str(tmp_path / "out"))
    assert len(item["image"]) == 3
    with caplog.at_level(logging.WARNING, "shared"):
        assert read_picture(tmp_path / "scan").pixels.shape == (1, 8, 8, 3)
    assert f"scan: left out {kind} (1)" in caplog.text


def test_a_folder_of_such_objects_alone_says_what_they_are(tmp_path: Path) -> None:
    for name in ("label map", "grey label map", "dose"):
        save(DICOM[name][0], tmp_path / "scan" / f"{name}.dcm")
    message = r"scan: found no DICOM image but radiotherapy doses \(1\), label maps \(2\), expected"
    with pytest.raises(InputError, match=message):
        read_picture(tmp_path / "scan")


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("481.1", "RTIMAGE"),
        ("6.2", "US"),
        ("77.1.4", "XC"),
        ("7", "OT"),
        ("12.1", "XA"),
        ("88.99.1", "OT"),
        ("1.2.276.0.7230010.3.1.0.1", "OT"),
    ],
)
def test_images_of_intensities_stay_images(tmp_path: Path, sop_class: str, modality: str) -> None:
    uid = sop_class if sop_class.startswith("1.") else STORAGE + sop_class
    assert read_picture(str(save(image(uid, modality, LABELS), tmp_path / "a.dcm"))).modality == modality


def test_a_damaged_image_is_no_other_object(tmp_path: Path) -> None:
    """It would be left out without a word otherwise."""
    empty = image(CT, "CT", LABELS)
    empty.PixelData = b""
    for number, dataset in enumerate((without_pixels(CT, "CT"), empty)):
        path = save(dataset, tmp_path / f"{number}.dcm")
        with pytest.raises(InputError, match="PixelData missing") as caught:
            check_picture(str(path))
        assert not isinstance(caught.value, NoIntensities)


def test_scanners_and_planning_systems(tmp_path: Path) -> None:
    names = {
        "rtdose.dcm": "a radiotherapy dose",
        "rtstruct.dcm": "a radiotherapy structure set",
        "liver_1frame.dcm": "a segmentation",
        "rtplan.dcm": r"a DICOM object without an image \(RT Plan\)",
        "test-SR.dcm": "a structured report",
        "waveform_ecg.dcm": "a waveform",
    }
    for name, words in names.items():
        with pytest.raises(NoIntensities, match=f"{name}: {words}, expected an image of intensities"):
            check_picture(str(scanner_file(name)))


@pytest.mark.parametrize(
    ("code", "shape", "kind"),
    [
        (1002, (6, 5, 4), "label maps"),
        (1003, (6, 5, 4), "label maps"),
        (3, (6, 5, 4), "statistical maps"),
        (5, (6, 5), "statistical maps"),
        (24, (6, 5, 4), "statistical maps"),
        (1001, (6, 5, 4), "parametric maps"),
        (1005, (6, 5, 4, 1, 6), "vector fields"),
        (1006, (6, 5, 4, 1, 3), "vector fields"),
        (1007, (6, 5, 4, 3), "vector fields"),
        (2006, (6, 5, 4, 3), "vector fields"),
        (2005, (6, 1, 1), "surface files"),
        (3001, (1, 1, 1, 1, 6, 5), "surface files"),
    ],
)
def test_nifti_file_of_another_intent(tmp_path: Path, code: int, shape: tuple[int, ...], kind: str) -> None:
    path = with_intent(tmp_path / "in" / "0.nii.gz", code, shape)
    for read in (check_picture, read_picture, lambda source: LoadSourced("image")({"image": source})):
        with pytest.raises(NoIntensities, match=rf"0\.nii\.gz: .* \(intent code {code}\), expected an") as caught:
            read(str(path))
        assert caught.value.kind == kind
    save_nifti(tmp_path / "in" / "scan.nii.gz", noise(6, 5, 4))
    (item,) = find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    assert Path(item["image"]).name == "scan.nii.gz"


@pytest.mark.parametrize("code", [0, 1011, 2001, 4242])
def test_nifti_files_of_intensities_stay_images(tmp_path: Path, code: int) -> None:
    assert read_picture(str(with_intent(tmp_path / "a.nii", code, (6, 5, 4)))).pixels.shape == (1, 6, 5, 4)


def test_training_reads_a_mask_that_says_so(tmp_path: Path) -> None:
    path = str(with_intent(tmp_path / "mask.nii.gz", 1002, (6, 5, 4)))
    assert read_picture(path, labels=True).pixels.shape == (1, 6, 5, 4)
    assert mask_content(path).values == (0, 1, 2)
    with pytest.raises(NoIntensities, match="a field of vectors"):
        read_picture(str(with_intent(tmp_path / "field.nii.gz", 1007, (6, 5, 4))), labels=True)


def test_the_reason_comes_out_of_a_worker() -> None:
    text = "Caught NoIntensities in DataLoader worker\nTraceback:\nshared.errors.NoIntensities: a.nii: a label map"
    assert message_of(RuntimeError(text)) == "a.nii: a label map"
    assert NoIntensities("a.nii: a label map").kind


def with_intent(path: Path, code: int, shape: tuple[int, ...]) -> Path:
    path.parent.mkdir(exist_ok=True)
    volume = nibabel.Nifti1Image((np.arange(np.prod(shape)) % 3).astype(np.int16).reshape(shape), np.eye(4))
    volume.header["intent_code"] = code
    nibabel.save(volume, path)
    return path


def test_names_of_classes_are_those_of_the_standard() -> None:
    expected = {
        "30": "Parametric Map",
        "66.4": "Segmentation",
        "66.5": "Surface Segmentation",
        "81.1": "Ophthalmic Thickness Map",
        "82.1": "Corneal Topography Map",
        "481.2": "RT Dose",
        "481.3": "RT Structure Set",
        "67": "Real World Value Mapping",
    }
    assert {short: UID(STORAGE + short).name for short in expected} == {
        short: f"{name} Storage" for short, name in expected.items()
    }
    assert pydicom.uid.UID_dictionary[f"{STORAGE}11.1"][0].endswith("Presentation State Storage")
