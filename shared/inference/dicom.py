"""DICOM in, NIfTI out: stored values, modality units, geometry of one file (single or multi-frame)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.pixels import apply_color_lut, pixel_array

from shared.errors import InputError
from shared.inference.nifti import grown_affine, save, to_stored
from shared.inference.picture import Picture, SourceRecord

_QUANTITATIVE = {"CT", "MR", "PT", "NM"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def is_dicom(path: str) -> bool:
    """Whether the file has the name or the magic number of a DICOM file (a DICOMDIR index has neither)."""
    if Path(path).name.upper() == "DICOMDIR":
        return False
    if Path(path).suffix.lower() in (".dcm", ".dicom"):
        return True
    with open(path, "rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def check_dicom(path: str) -> None:
    """Read the header only.

    Raises:
        InputError: no DICOM, a DICOM object without an image, or colour of more than 8 bits.
    """
    _header(path)


def read_dicom(path: str) -> Picture:
    """Read stored values and geometry.

    Returns:
        With a patient position: a volume [C, X, Y, Z], X along the rows, one or more frames along Z. Without one
        (photographs, ultrasound, secondary captures): a raster [C, H, W] or [C, H, W, S]. Values of CT, MR, PT, NM,
        of anything in HU and of more than 16 bits are arbitrary ones; all others have the bit depth BitsStored.

    Raises:
        InputError: the pixels cannot be decoded.
    """
    header = _header(path)
    pixels = _decode(path)
    frames = int(getattr(header, "NumberOfFrames", 1) or 1)
    stack = pixels.reshape(frames, header.Rows, header.Columns, -1)
    affine = affine_of(header)
    # [S, H, W, C] to a volume [C, X, Y, Z], or to a raster [C, H, W, S] and [C, H, W].
    moved = stack.transpose(3, 1, 2, 0) if affine is None else stack.transpose(3, 2, 1, 0)
    if affine is None and frames == 1:
        moved = moved[..., 0]
    rescale = _transformation(header)
    quantitative = (
        getattr(header, "Modality", "") in _QUANTITATIVE or getattr(rescale, "RescaleType", "") == "HU"
    )
    slope, intercept = _slope_intercept(header)
    bits = 8 if header.PhotometricInterpretation == "PALETTE COLOR" else int(header.BitsStored)
    return Picture(
        moved,
        affine=affine,
        bits=None if bits > 16 or (quantitative and moved.shape[0] == 1) else bits,
        slope=slope,
        intercept=intercept,
        inverted=header.PhotometricInterpretation == "MONOCHROME1",
    )


def write_dicom_as_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write a NIfTI file with the affine, slope and intercept of the DICOM source."""
    header = _header(record.source)
    affine = affine_of(header)
    volume = pixels
    if affine is None:
        row, column = _spacing(header)
        affine = _LPS_TO_RAS @ np.diag([column, row, 1.0, 1.0])
        volume = np.swapaxes(pixels if pixels.ndim == 4 else pixels[..., None], 1, 2)
    frames = int(getattr(header, "NumberOfFrames", 1) or 1)
    affine = grown_affine(affine, (header.Columns, header.Rows, frames), volume.shape[1:])
    image = nibabel.Nifti1Image(to_stored(volume), affine)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    save(path, image, *_slope_intercept(header))


def affine_of(header: Any) -> NDArray[np.float64] | None:
    """Matrix from (column, row, frame) to RAS+ millimetres, None without orientation or position of the patient.

    Slices of a multi-frame object are as far apart as the positions of its frames say; otherwise
    SpacingBetweenSlices, SliceThickness or 1 mm, along the normal of the plane.
    """
    orientation = _geometry(header, "PlaneOrientationSequence", "ImageOrientationPatient", 0)
    position = _geometry(header, "PlanePositionSequence", "ImagePositionPatient", 0)
    if orientation is None or position is None:
        return None
    along_row, along_column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    origin = np.array(position, float)
    row, column = _spacing(header)
    step = np.cross(along_row, along_column) * _thickness(header)
    frames = int(getattr(header, "NumberOfFrames", 1) or 1)
    last = _geometry(header, "PlanePositionSequence", "ImagePositionPatient", frames - 1)
    if frames > 1 and last is not None:
        apart = (np.array(last, float) - origin) / (frames - 1)
        # Frames of a time series share one position: keep the normal then.
        step = apart if np.linalg.norm(apart) > 0 else step
    affine = np.eye(4)
    affine[:3] = np.stack([along_row * column, along_column * row, step, origin], axis=1)
    return _LPS_TO_RAS @ affine


def _header(path: str) -> Any:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError) as err:
        raise InputError(f"{path}: cannot be read as DICOM: {_first_line(err)}") from err
    needed = ("Rows", "Columns", "BitsStored", "PhotometricInterpretation")
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{path}: a DICOM object without an image ({', '.join(missing)} missing)")
    if int(getattr(header, "SamplesPerPixel", 1)) > 1 and int(header.BitsStored) > 8:
        raise InputError(
            f"{path}: colour of {header.BitsStored} bits, expected 8 bits: NIfTI holds no other colour"
        )
    return header


def _decode(path: str) -> NDArray:
    """Stored values, colour as RGB; [H, W] or [S, H, W], with a last axis for colour."""
    dataset = pydicom.dcmread(path)
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    try:
        pixels = pixel_array(dataset)
    except (RuntimeError, NotImplementedError, ValueError, AttributeError, IndexError) as err:
        if (
            not isinstance(err, RuntimeError | NotImplementedError)
            or syntax is None
            or not syntax.is_compressed
        ):
            raise InputError(f"{path}: the pixels cannot be decoded: {_first_line(err)}") from err
        pixels = _decode_by_itk(path, dataset, str(syntax.name))
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        # 16-bit tables hold 8-bit colours, stretched.
        pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_by_itk(path: str, dataset: Any, syntax: str) -> NDArray:
    """JPEG lossless, JPEG-LS and others, for which pydicom needs packages that are not required here."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        raise InputError(f"{path}: a palette compressed as {syntax} cannot be decoded")
    try:
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    except RuntimeError as err:
        raise InputError(f"{path}: the pixels (transfer syntax {syntax}) cannot be decoded") from err
    # ITK applies slope and intercept; what lies in the file is wanted.
    slope, intercept = _slope_intercept(dataset)
    kind = "i" if dataset.PixelRepresentation else "u"
    return np.rint((values - intercept) / slope).astype(f"{kind}{int(dataset.BitsAllocated) // 8}")


def _geometry(header: Any, sequence: str, name: str, frame: int) -> Any:
    """An attribute of the plane: at the top level, or in the functional groups of an enhanced object."""
    if name in header:
        return header[name].value or None
    groups = list(getattr(header, "PerFrameFunctionalGroupsSequence", []))[frame : frame + 1]
    for group in [*groups, *getattr(header, "SharedFunctionalGroupsSequence", [])]:
        if sequence in group and name in group[sequence].value[0]:
            return group[sequence].value[0][name].value
    return None


def _transformation(header: Any) -> Any:
    """What holds RescaleSlope, RescaleIntercept and RescaleType."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(getattr(header, groups, []))[:1]:
            if "PixelValueTransformationSequence" in group:
                return group.PixelValueTransformationSequence[0]
    return header


def _slope_intercept(header: Any) -> tuple[float, float]:
    rescale = _transformation(header)
    slope, intercept = getattr(rescale, "RescaleSlope", None), getattr(rescale, "RescaleIntercept", None)
    # A slope of 0 is found in broken files; every reader takes it for 1.
    return float(slope or 1.0), float(intercept or 0.0)


def _spacing(header: Any) -> tuple[float, float]:
    """Distance in millimetres between rows, and between columns."""
    spacing = _geometry(header, "PixelMeasuresSequence", "PixelSpacing", 0)
    spacing = spacing or getattr(header, "ImagerPixelSpacing", None) or (1.0, 1.0)
    return float(spacing[0]), float(spacing[1])


def _thickness(header: Any) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        value = _geometry(header, "PixelMeasuresSequence", name, 0)
        if value is not None and float(value) > 0:
            return float(value)
    return 1.0


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0]
