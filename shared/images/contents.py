"""Which DICOM and NIfTI files hold no image of intensities, and what they hold instead."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydicom.uid import UID, UID_dictionary

LABELS, WITHOUT_IMAGE = "label maps", "DICOM objects without an image"
_FLOAT_PIXELS = ("FloatPixelData", "DoubleFloatPixelData")
_STORAGE = "1.2.840.10008.5.1.4.1.1."


class Content(NamedTuple):
    """What a file holds in the place of intensities: labels, statistics, doses, ...

    An enhancement network would change what such values mean.

    Attributes:
        name: of what one file holds, for a message about it.
        kind: of all such files, under which they are counted.
    """

    name: str
    kind: str


_CLASSES = {
    "30": Content("a parametric map", "parametric maps"),
    "66.4": Content("a segmentation", "segmentations"),
    "66.5": Content("a surface segmentation", "segmentations"),
    "66.7": Content("a label map", LABELS),
    "66.8": Content("a height map", "height maps"),
    "67": Content("a real-world value map", "real-world value maps"),
    "81.1": Content("a thickness map", "height maps"),
    "82.1": Content("a corneal topography map", "height maps"),
    "481.2": Content("a radiotherapy dose", "radiotherapy doses"),
    "481.3": Content("a radiotherapy structure set", "radiotherapy structure sets"),
}
# By the beginning that many classes share.
_FAMILIES = {
    "9.": Content("a waveform", WITHOUT_IMAGE),
    "11.": Content("a presentation state", "presentation states"),
    "88.": Content("a structured report", WITHOUT_IMAGE),
    "104.": Content("an encapsulated document", WITHOUT_IMAGE),
}
# Where anonymisation took the class or another program changed it.
_MODALITIES = {
    "SEG": _CLASSES["66.4"],
    "RTDOSE": _CLASSES["481.2"],
    "RTSTRUCT": _CLASSES["481.3"],
    "PR": _FAMILIES["11."],
}
_STATISTICS, _VECTORS = "statistical maps", "vector fields"
_SURFACES = "surface files"
# Codes of nifti1.h, its extensions for GIFTI and CIFTI, and those of FSL.
_INTENTS = {
    range(2, 25): Content("a statistical map", _STATISTICS),
    range(1001, 1002): Content("a map of an estimated parameter", "parametric maps"),
    range(1002, 1003): Content("a label map", LABELS),
    range(1003, 1004): Content("a map of neuronal names", LABELS),
    range(1004, 1006): Content("a field of matrices", _VECTORS),
    range(1006, 1008): Content("a field of vectors", _VECTORS),
    range(1008, 1010): Content("a surface", _SURFACES),
    range(1010, 1011): Content("a field of quaternions", _VECTORS),
    range(2002, 2006): Content("data on a surface", _SURFACES),
    range(2006, 2019): Content("a deformation or its coefficients", _VECTORS),
    range(3000, 3100): Content("a CIFTI connectivity file", _SURFACES),
}


def dicom_content(header: Any, has_pixels: bool) -> Content | None:
    """What an object holds instead of an image of intensities; None for an image, be it a damaged one.

    It is known by its SOP class and by its modality. A class with pixels that is not listed here, a private one too,
    counts as an image; a class without pixels does so where DICOM means it for images, or where the header speaks of
    rows and columns.

    Args:
        header: all that lies before the pixels.
        has_pixels: whether there are pixels.
    """
    sop_class = _sop_class(header)
    short = sop_class.removeprefix(_STORAGE)
    if short in _CLASSES:
        return _CLASSES[short]
    family = next((content for prefix, content in _FAMILIES.items() if short.startswith(prefix)), None)
    if family is not None and not has_pixels:
        return family
    modality = _MODALITIES.get(str(header.get("Modality") or "").strip())
    if modality is not None:
        return modality
    if any(name in header for name in _FLOAT_PIXELS):
        return Content("pixels of real numbers, as parametric maps have them", "parametric maps")
    if has_pixels:
        is_mask = header.get("BitsStored") == 1
        return Content("one bit per pixel, a mask", "segmentations") if is_mask else None
    if not sop_class or _is_for_images(sop_class) or header.get("Rows") is not None:
        return None
    name = UID(sop_class).name.removesuffix(" Storage") if sop_class in UID_dictionary else f"class {sop_class!r}"
    return Content(f"a DICOM object without an image ({name})", WITHOUT_IMAGE)


def nifti_content(header: Any) -> Content | None:
    """What a file holds by its intent code in the place of intensities; None for an image."""
    code = int(header["intent_code"])
    return next((content for codes, content in _INTENTS.items() if code in codes), None)


def _sop_class(header: Any) -> str:
    meta = getattr(header, "file_meta", None)
    stated = header.get("SOPClassUID") or (meta.get("MediaStorageSOPClassUID") if meta is not None else None)
    return str(stated or "").strip()


def _is_for_images(sop_class: str) -> bool:
    """By its name: ``CT Image Storage``, ``Enhanced US Volume Storage``."""
    name = UID_dictionary[sop_class][0] if sop_class in UID_dictionary else ""
    return "Image" in name or "Volume Storage" in name
