"""DICOM objects that are complete, made on the spot: what scanners write, with its traps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
import torch
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from torch import nn

CT, MR, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_MR, DX = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.1.1"
ULTRASOUND, ULTRASOUND_FRAMES = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
# A plane that is oblique about two axes, with rounded cosines as scanners write them.
OBLIQUE = np.array([[0.936288, 0.275635, -0.217693], [-0.290091, 0.956289, -0.03685]])
AXIAL = np.array([[1.0, 0, 0], [0, 1, 0]])
CORONAL, SAGITTAL = np.array([[1.0, 0, 0], [0, 0, -1]]), np.array([[0, 1.0, 0], [0, 0, -1]])
RNG = np.random.default_rng(4)


def noise(*shape: int, dtype: str = "int16", highest: int = 2000) -> NDArray:
    return RNG.integers(0, highest, shape).astype(dtype)


class Brighter(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + 0.25


def scanner_file(name: str) -> Path:
    """A file that pydicom ships for tests."""
    return Path(str(get_testdata_file(name, download=False)))


def enhanced_file(
    enhance: Callable[..., list[str]], source: Path, folder: Path, factor: int = 1, **options: Any
) -> Dataset:
    """The one result of a run, read strictly."""
    if factor > 1:
        options["network"] = nn.Upsample(scale_factor=factor)
    (output,) = enhance(source, folder, **options)
    return read_strictly(output)


def image(sop_class: str, modality: str, pixels: NDArray, **attributes: Any) -> Dataset:
    """One complete object; [H, W] or [S, H, W], with a last axis of 3 for SamplesPerPixel 3."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.Modality = modality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "P-7"
    dataset.PatientBirthDate, dataset.PatientSex = "19700102", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20240131"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "101112"
    dataset.ReferringPhysicianName, dataset.StudyID, dataset.AccessionNumber = "", "S1", "A1"
    dataset.SeriesNumber, dataset.InstanceNumber = 4, 1
    dataset.SeriesDescription = "Head routine"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Scanner AG", "Tomo 3000"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "42", "v7"
    dataset.InstitutionName, dataset.StationName = "Hospital", "CT01"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    is_colour = dataset.SamplesPerPixel == 3
    size = pixels.shape[-3:-1] if is_colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = size
    if pixels.ndim - is_colour == 3:
        dataset.NumberOfFrames = len(pixels)
    if is_colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = dataset.get("BitsStored") or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.add_new("PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", pixels.tobytes())
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def geometry(planes: NDArray, position: NDArray, spacing: Sequence[float], thickness: float) -> dict[str, Any]:
    return {
        "ImageOrientationPatient": [f"{value:.6f}" for value in planes.ravel()],
        "ImagePositionPatient": [f"{value:.5f}" for value in position],
        "PixelSpacing": list(spacing),
        "SliceThickness": thickness,
        "FrameOfReferenceUID": "1.2.3.4",
        "PositionReferenceIndicator": "",
    }


def positions(planes: NDArray, count: int, step: float) -> NDArray:
    return np.array([-60.5, -80.25, 33]) + np.cross(*planes) * step * np.arange(count)[:, None]


def write_series(
    folder: Path,
    pixels: NDArray,
    sop_class: str = CT,
    modality: str = "CT",
    planes: NDArray = AXIAL,
    step: float = 2.5,
    spacing: Sequence[float] = (0.7, 0.4),
    places: NDArray | None = None,
    names: Sequence[str] | None = None,
    **attributes: Any,
) -> list[Path]:
    """Write slices [S, H, W]; file names say nothing about the order, which descends along the normal."""
    count = len(pixels)
    where = positions(planes, count, step) if places is None else places
    order = np.random.default_rng(7).permutation(count)
    common = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        **({"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "KVP": 120} if modality == "CT" else {}),
        **({"AcquisitionNumber": 1} if modality == "CT" else {}),
    }
    paths = []
    for number in range(count):
        own = {key: value[number] if isinstance(value, list) else value for key, value in attributes.items()}
        dataset = image(sop_class, modality, pixels[number], **{**common, **own})
        dataset.InstanceNumber = count - number
        for name, value in geometry(planes, where[number], spacing, step).items():
            setattr(dataset, name, value)
        name = f"IM{order[number]:04d}" if names is None else names[number]
        paths.append(save(dataset, folder / name))
    return paths


def enhanced_mr(pixels: NDArray, planes: NDArray = OBLIQUE, step: float = 3.0, **attributes: Any) -> Dataset:
    """A multi-frame MR object with functional groups."""
    dataset = image(ENHANCED_MR, "MR", pixels, **{"BitsStored": 12, **attributes})
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = "1.2.3.4", ""
    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.4]
    shared.PixelMeasuresSequence[0].SliceThickness = step
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{value:.6f}" for value in planes.ravel()]
    shared.MRImageFrameTypeSequence = [Dataset()]
    shared.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place in positions(planes, len(pixels), step):
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [f"{value:.5f}" for value in place]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def ultrasound_region() -> Dataset:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 3
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 21, 18
    region.ReferencePixelX0, region.ReferencePixelY0 = 10, 0
    region.ReferencePixelPhysicalValueX, region.ReferencePixelPhysicalValueY = 0.5, 1.0
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.04, 0.05
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    return region


def read_strictly(path: str | Path) -> Dataset:
    """Read every element with pydicom's validation raising on whatever breaks its value representation."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        dataset = pydicom.dcmread(path)
        dataset.walk(lambda parent, element: element.value)
    finally:
        pydicom.config.settings.reading_validation_mode = before
    return dataset


def by_itk(files: list[str]) -> SimpleITK.Image:
    """The volume that an independent reader makes of files in a given order."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    return reader.Execute()


def itk_order(folder: Path) -> list[str]:
    """The files of the one series in a folder, in the order that an independent reader gives them."""
    return list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
