"""PNG, JPEG, TIFF and NIfTI images as DICOM: Secondary Capture, of no known patient."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from shared.errors import InputError
from shared.images.attribution import Producer
from shared.images.dicom.derivation import NOT_FOR_DIAGNOSIS, derivation_text, describe_equipment, plain_text
from shared.images.dicom.geometry import LPS_TO_RAS
from shared.images.dicom.reading import to_frames
from shared.images.dicom.versions import save_dicom
from shared.images.layout import shown_slices
from shared.images.nifti import slope_and_intercept
from shared.images.nifti_header import grown_affine
from shared.images.picture import SourceRecord
from shared.images.resolution import raster_spacing
from shared.images.signatures import contents

_DEEPEST = 2**16 - 1


def write_secondary_captures(path: str, pixels: NDArray, record: SourceRecord, producer: Producer) -> None:
    """Write a file, or a folder of files for an image of several slices or pages, each one Secondary Capture image.

    No patient is known and none is invented: name, ID, birth date and sex are empty. Each source is a study of its own,
    so that no viewer puts two patients together. The source's name, which may be a patient's, is not written: what
    tells one result from another is the name of its own file and its UIDs; those of study and series are hashes of the
    run and the source's path, which cannot be read back. A volume keeps its place: position, orientation and frame of
    reference are added to what Secondary Capture demands, the slices as radiologists look at them.

    Integers of up to 16 bits stay as they are, signed ones moved by an intercept; wider ones and real numbers become
    16 bits, with the rescale slope that gives them back; then outliers are clipped to the range of the image, and
    missing values (NaN) become dark.

    Args:
        path: of the file, or of a folder that exists.
        pixels: stored values [C, H, W] or [C, H, W, S] of a raster, [C, X, Y] or [C, X, Y, Z] of a volume.
        record: of the source.
        producer: what made the image.

    Raises:
        InputError: a series of volumes, oblique axes that are not at right angles, or colour of more than 8 bits.
    """
    frames, affine = _frames(pixels, record)
    values, slope, intercept = _as_unsigned(frames, record)
    # Of the formats with a place in a patient, NIfTI alone has a unit beside the stored values.
    is_nifti = record.affine is not None and "NIfTI" in contents(record.source)
    shown: Any = slope_and_intercept(record.source) if is_nifti else None
    if shown is not None:
        slope, intercept = slope * shown[0], intercept * shown[0] + shown[1]
    origin = str(Path(record.source).absolute())
    is_folder = Path(path).is_dir()
    for number, frame in enumerate(values, start=1):
        image = _image(frame, number, record, producer, origin)
        if affine is not None:
            _place(image, affine, number - 1, producer.uid("frame of reference", origin))
        if (slope, intercept) != (1.0, 0.0):
            image.RescaleSlope, image.RescaleIntercept = (format_number_as_ds(value) for value in (slope, intercept))
            image.RescaleType = "US"
        _set_window(image, record, 1.0 if shown is None else shown[0], 0.0 if shown is None else shown[1])
        save_dicom(image, str(Path(path) / f"{number:04d}.dcm") if is_folder else path)


def _frames(pixels: NDArray, record: SourceRecord) -> tuple[NDArray, NDArray | None]:
    """[S, H, W, C] and the matrix from (column, row, slice) to LPS millimetres, None for a raster."""
    if record.affine is None:
        return to_frames(pixels, False), None
    if pixels.ndim > 4:
        raise InputError(f"{record.source}: shape {record.shape}, expected one image or volume to write as DICOM")
    grown = grown_affine(np.array(record.affine), record.shape, pixels.shape[1:])
    frames, affine = shown_slices(pixels, grown, record.slice_axis)
    axes = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    if not abs(axes[:, 0] @ axes[:, 1]) < 1e-3:
        raise InputError(f"{record.source}: axes that are not at right angles, which DICOM images cannot have")
    return frames, LPS_TO_RAS @ affine


def _as_unsigned(frames: NDArray, record: SourceRecord) -> tuple[NDArray, float, float]:
    """Values of 8 or 16 bits, and the slope and intercept that give the stored ones back."""
    if frames.shape[-1] > 1:
        if frames.dtype != np.uint8:
            raise InputError(f"{record.source}: colour of type {frames.dtype}, expected 8 bits to write it as DICOM")
        return frames, 1.0, 0.0
    grey = frames[..., 0]
    if grey.dtype in (np.uint8, np.uint16):
        return grey, 1.0, 0.0
    lowest, highest = float(np.nanmin(grey)), float(np.nanmax(grey))
    if grey.dtype.kind in "iu" and highest - lowest <= _DEEPEST:
        return (grey.astype(np.int64) - int(lowest)).astype(np.uint16), 1.0, lowest
    real = grey.astype(np.float64)
    if record.kept:
        # One outlier would leave the image a few of the 65536 levels.
        lowest, highest = record.lowest, record.highest
        dark = lowest if record.black <= record.white else highest
        real = np.where(np.isnan(real), dark, real).clip(lowest, highest)
    slope = (highest - lowest) / _DEEPEST or 1.0
    return np.rint((real - lowest) / slope).astype(np.uint16), slope, lowest


def _image(frame: NDArray, number: int, record: SourceRecord, producer: Producer, origin: str) -> Any:
    try:
        from highdicom.sc import SCImage
    except ImportError as err:
        raise InputError(
            "output_format: dicom for an image that is not DICOM needs the package highdicom: pip install highdicom"
        ) from err
    # A NIfTI file inverts by a negative slope, which the DICOM file has too.
    is_dark_inverted = record.affine is None and record.black > record.white and frame.ndim == 2
    grey = "MONOCHROME1" if is_dark_inverted else "MONOCHROME2"
    image: Any = SCImage(
        pixel_array=np.ascontiguousarray(frame),
        photometric_interpretation=grey if frame.ndim == 2 else "RGB",
        bits_allocated=8 * frame.dtype.itemsize,
        coordinate_system="PATIENT",
        study_instance_uid=producer.uid("study", origin),
        series_instance_uid=producer.uid("series", origin),
        series_number=1,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=number,
        manufacturer=plain_text(producer.name),
        # Asked for, but nobody knows: emptied below.
        patient_orientation=("L", "P"),
        pixel_spacing=None if record.affine is not None else _spacing(frame, record),
    )
    image.PatientOrientation = image.Laterality = None
    image.ConversionType = "WSD"
    image.SeriesDescription = f"Enhanced, {NOT_FOR_DIAGNOSIS}"
    image.DerivationDescription = derivation_text(producer)
    now = datetime.now()
    image.InstanceCreationDate, image.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    describe_equipment(image, None, producer)
    image.PixelData = image.PixelData + b"\0" * (len(image.PixelData) % 2)
    return image


def _spacing(frame: NDArray, record: SourceRecord) -> tuple[float, float] | None:
    spacing = raster_spacing(record.source)
    if spacing is None:
        return None
    return spacing[0] * record.shape[0] / frame.shape[0], spacing[1] * record.shape[1] / frame.shape[1]


def _place(image: Any, affine: NDArray, number: int, frame_of_reference: str) -> None:
    """The plane of one slice; ``affine`` leads from (column, row, slice) to LPS millimetres."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :2] / lengths[:2]
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = frame_of_reference, None
    image.PixelSpacing = [format_number_as_ds(float(lengths[1])), format_number_as_ds(float(lengths[0]))]
    image.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in directions.T.ravel()]
    origin = affine[:3, 3] + affine[:3, 2] * number
    image.ImagePositionPatient = [format_number_as_ds(float(value)) for value in origin]
    image.SliceThickness = image.SpacingBetweenSlices = format_number_as_ds(float(lengths[2]))


def _set_window(image: Any, record: SourceRecord, slope: float, intercept: float) -> None:
    """Show what the network saw as black to white; images of 8 bits are shown as they are."""
    width = abs(record.white - record.black) * abs(slope)
    if image.SamplesPerPixel == 1 and image.BitsAllocated > 8 and width > 0:
        centre = (record.white + record.black) / 2 * slope + intercept
        image.WindowCenter, image.WindowWidth = format_number_as_ds(centre), format_number_as_ds(max(width, 1.0))
