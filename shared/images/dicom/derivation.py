"""What a derived DICOM image says about its making: new identifiers, source, equipment, and that it is no original."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from shared.images.attribution import Producer

NOT_FOR_DIAGNOSIS = "not for diagnostic use"
MANUFACTURER = "enhancement-bundles (research software)"
SERIAL_NUMBER = "software, none"
_SERIES_SUFFIX = f" (enhanced, {NOT_FOR_DIAGNOSIS})"
_SERIES_NUMBERS = 9000
_ENHANCEMENT = ("ENHANCED", "99ENHANCEMENT", "Enhancement by a neural network")
_RESAMPLING = ("113085", "DCM", "Spatial resampling")
_SOURCE_OF_PROCESSING = ("121322", "DCM", "Source image for image processing operation")
_ACQUISITION = ("109101", "DCM", "Acquisition Equipment")
_PROCESSING = ("109102", "DCM", "Processing Equipment")
# Of the equipment that made the source; the first four are said anew, the institution stays.
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
_MORE_EQUIPMENT = ("StationName", "DeviceUID", "DateOfLastCalibration", "TimeOfLastCalibration", "SpatialResolution")
_INSTITUTION = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName")
# Empty is allowed, absent is not.
_EXPECTED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "InstanceNumber",
)


def describe_derivation(dataset: Any, source: Any, producer: Producer, is_resampled: bool) -> None:
    """Turn the attributes of a source into those of an image that ``producer`` derived from it.

    Dates and times of series and acquisition stay: the uptake of a PET image is counted from them.

    Args:
        dataset: a copy of the source's attributes, changed in place.
        source: the source.
        producer: what made the image, and in which run.
        is_resampled: whether the image has another grid.
    """
    _identify(dataset, source, producer)
    before = str(source.get("DerivationDescription") or "")
    made_by = derivation_text(producer)
    description = f"{made_by}; source: {before}" if before else made_by
    # The bundle speaks first, so that cutting never takes its words.
    dataset.DerivationDescription = description[:1024]
    codes = [_ENHANCEMENT, _RESAMPLING] if is_resampled else [_ENHANCEMENT]
    dataset.DerivationCodeSequence = [_code(*code) for code in codes]
    dataset.SourceImageSequence = [_reference(source, not is_resampled)]
    dataset.ImageType = _derived(source.get("ImageType"), "PerFrameFunctionalGroupsSequence" in dataset)
    _describe_frames(dataset, source, made_by, codes)
    describe_equipment(dataset, source, producer)


def derivation_text(producer: Producer) -> str:
    """What a derived image says in DerivationDescription about who made it."""
    return f"Enhanced by {plain_text(producer.name)} {plain_text(producer.version)}; {NOT_FOR_DIAGNOSIS}"


def describe_equipment(dataset: Any, source: Any | None, producer: Producer) -> None:
    """State the bundle as the equipment, and that of the source as one that contributed (PS3.3 C.12.1.1.5).

    Args:
        dataset: changed in place.
        source: what says which equipment made the source; None where none is known.
        producer: what made the image.
    """
    contributions = list(dataset.get("ContributingEquipmentSequence") or [])
    if source is not None:
        purposes = [item.PurposeOfReferenceCodeSequence[0].get("CodeValue") for item in contributions if _purpose(item)]
        contributor = Dataset()
        for name in (*_EQUIPMENT, *_MORE_EQUIPMENT, *_INSTITUTION):
            if source.get(name):
                setattr(contributor, name, source[name].value)
        if not source.get("Manufacturer"):
            contributor.Manufacturer = "unknown"
        # The first one acquired the image; whatever follows has processed it.
        is_first = _ACQUISITION[0] not in purposes
        contributor.PurposeOfReferenceCodeSequence = [_code(*(_ACQUISITION if is_first else _PROCESSING))]
        dataset.ContributingEquipmentSequence = [*contributions, contributor]
    for name in _MORE_EQUIPMENT:
        if name in dataset:
            del dataset[name]
    values = (MANUFACTURER, plain_text(producer.name), SERIAL_NUMBER, plain_text(producer.version))
    for name, value in zip(_EQUIPMENT, values, strict=True):
        setattr(dataset, name, value)


def plain_text(value: str) -> str:
    """ASCII without backslash, at most 64 characters: valid in any character set and in any short attribute."""
    return value.encode("ascii", "replace").decode().replace("\\", "/")[:64]


def _identify(dataset: Any, source: Any, producer: Producer) -> None:
    series = str(source.get("SeriesInstanceUID") or source.get("SOPInstanceUID") or source.get("filename"))
    now = datetime.now()
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.SeriesInstanceUID = producer.uid("series", series)
    dataset.StudyInstanceUID = source.get("StudyInstanceUID") or producer.uid("study", series)
    description = str(source.get("SeriesDescription") or "")
    dataset.SeriesDescription = f"{description[: 64 - len(_SERIES_SUFFIX)]}{_SERIES_SUFFIX}".strip()
    dataset.SeriesNumber = _SERIES_NUMBERS + min(int(source.get("SeriesNumber") or 0), 2**31 - 1 - _SERIES_NUMBERS)
    for name in ("InstanceCreation", "Content"):
        setattr(dataset, f"{name}Date", now.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", now.strftime("%H%M%S.%f"))
    for name in _EXPECTED:
        if name not in dataset:
            setattr(dataset, name, None)
    dataset.Modality = source.get("Modality") or "OT"
    for name in ("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"):
        if source.get(name):
            setattr(dataset, name, producer.uid(name, str(source[name].value)))


def _describe_frames(dataset: Any, source: Any, description: str, codes: list[tuple[str, str, str]]) -> None:
    """In an enhanced object each frame says what it is and what it was derived from."""
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    for group in (*shared, *frames):
        for element in group:
            for item in element.value if element.VR == "SQ" else ():
                if item.get("FrameType"):
                    item.FrameType = _derived(item.FrameType, True)
    for group in shared:
        group.pop("DerivationImageSequence", None)
    for number, frame in enumerate(frames, start=1):
        reference = _reference(source)
        reference.ReferencedFrameNumber = number
        derivation = Dataset()
        derivation.DerivationDescription = description
        derivation.DerivationCodeSequence = [_code(*code) for code in codes]
        derivation.SourceImageSequence = [reference]
        frame.DerivationImageSequence = [derivation]
    if frames:
        instance, series, study = Dataset(), Dataset(), Dataset()
        instance.ReferencedSOPClassUID = source.SOPClassUID
        instance.ReferencedSOPInstanceUID = source.SOPInstanceUID
        series.SeriesInstanceUID = source.get("SeriesInstanceUID")
        series.ReferencedSOPSequence = [instance]
        study.StudyInstanceUID = dataset.StudyInstanceUID
        study.ReferencedSeriesSequence = [series]
        dataset.SourceImageEvidenceSequence = [study]


def _derived(image_type: Any, is_enhanced: bool) -> list[str]:
    """What the source says beyond its first two values (AXIAL, M_FFE, ...) is true of the derived image too.

    Enhanced objects keep their second value: PRIMARY is the only one that the standard allows there (PS3.3 C.8.16.1.2).
    """
    values = [image_type] if isinstance(image_type, str) else list(image_type or [])
    second = values[1] if is_enhanced and len(values) > 1 else "SECONDARY"
    return ["DERIVED", second, *values[2:]]


def _reference(source: Any, preserves_locations: bool = False) -> Any:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [_code(*_SOURCE_OF_PROCESSING)]
    if preserves_locations:
        reference.SpatialLocationsPreserved = "YES"
    return reference


def _code(value: str, scheme: str, meaning: str) -> Any:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _purpose(item: Any) -> bool:
    return bool(item.get("PurposeOfReferenceCodeSequence"))
