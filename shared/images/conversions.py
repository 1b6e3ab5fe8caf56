"""Enhanced images in another format than that of their source: NIfTI and PNG."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.dicom.derived import stored_frames
from shared.images.dicom.geometry import LPS_TO_RAS, pixel_spacing, uneven
from shared.images.dicom.reading import from_frames, read_header, to_frames
from shared.images.dicom.values import is_colour, rescales
from shared.images.layout import shown_slices
from shared.images.nifti import save, to_stored
from shared.images.nifti_header import grown_affine
from shared.images.picture import SourceRecord
from shared.images.rasters import save_raster
from shared.images.resolution import page_spacing, raster_spacing

_DEEPEST = 2**16 - 1


def write_dicom_as_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write a NIfTI file with the affine, slope and intercept of a DICOM file or series.

    Raises:
        InputError: the slices do not lie on a regular grid.
    """
    files = record.files or (record.source,)
    headers = [read_header(file) for file in files]
    gap = uneven(headers)
    if gap is not None:
        raise InputError(f"{record.source}: {gap}, which NIfTI cannot say; expected output_format dicom or png")
    scales = np.concatenate([rescales(header) for header in headers])
    if not is_colour(headers[0]) and not (scales == scales[0]).all():
        slope, intercept, stack = 1.0, 0.0, pixels
    else:
        slope, intercept = (1.0, 0.0) if is_colour(headers[0]) else (float(value) for value in scales[0])
        frames = np.concatenate([part for _, _, part in stored_frames(pixels, record)])
        stack = from_frames(frames, record.affine is not None)
    if record.affine is None:
        _save_raster(path, stack, record, pixel_spacing(headers[0]), slope, intercept)
        return
    _save_volume(path, stack, grown_affine(np.array(record.affine), record.shape, stack.shape[1:]), slope, intercept)


def write_raster_as_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write a NIfTI file of an image without a place in a patient: x to the right, y down, pages along z.

    Raises:
        InputError: colour of more than 8 bits.
    """
    spacing = (*(raster_spacing(record.source) or (1.0, 1.0)), page_spacing(record.source) or 1.0)
    _save_raster(path, pixels, record, spacing, 1.0, 0.0)


def write_volume_as_nifti(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """Write a NIfTI file of an image with a place in a patient, whose values are in its unit; 2-D becomes one slice.

    Raises:
        InputError: a type that NIfTI does not have.
    """
    volume = pixels if pixels.ndim == 4 else pixels[..., None]
    _save_volume(path, volume, grown_affine(np.array(record.affine), record.shape, pixels.shape[1:]), 1.0, 0.0)


def write_as_png(path: str, pixels: NDArray, record: SourceRecord, is_dicom: bool) -> None:
    """Write a PNG file, or a folder of them, numbered from 1, for an image of several slices, frames or pages.

    A PNG file is for looking at: black and white are what the network saw as 0 and 1, in 8 bits. A raster of more than
    8 bits, whose range its depth tells, keeps its values in 16 bits, but that a negative becomes a positive. Slices of
    a volume are shown as radiologists look at them, those of DICOM as they were acquired.

    Args:
        path: of the file, or of a folder that exists.
        pixels: stored values of any supported source.
        record: of the source.
        is_dicom: whether it is DICOM.
    """
    is_folder = Path(path).is_dir()
    if record.affine is None or is_dicom:
        frames = to_frames(pixels, record.affine is not None)
    else:
        frames, _ = shown_slices(pixels, np.array(record.affine), record.slice_axis)
    for number, frame in enumerate(_shown(frames, record, is_dicom), start=1):
        save_raster(str(Path(path) / f"{number:04d}.png") if is_folder else path, frame)


def _shown(frames: NDArray, record: SourceRecord, is_dicom: bool) -> NDArray:
    shown = np.empty(frames.shape, np.uint8)
    deepest = max(record.black, record.white)
    # DICOM of fewer bits would be dark in every viewer; a raster was so before, and may be measured in again.
    is_raster = not is_dicom and record.affine is None and record.bits is not None
    if frames.dtype == np.uint16 and min(record.black, record.white) == 0 and (is_raster or deepest == _DEEPEST):
        shown, brightest = shown.astype(np.uint16), deepest
    else:
        brightest = 255
    for number, frame in enumerate(frames):
        found = record.intensities[record.parts[number] if record.parts else 0]
        share = (frame.astype(np.float64) - found.black) / ((found.white - found.black) or 1.0)
        # What is missing is dark.
        shown[number] = np.rint(np.nan_to_num(share, nan=0.0).clip(0, 1) * brightest)
    return shown


def _save_raster(
    path: str,
    pixels: NDArray,
    record: SourceRecord,
    spacing: tuple[float, ...] | None,
    slope: float,
    intercept: float,
) -> None:
    if pixels.shape[0] > 1 and pixels.dtype != np.uint8:
        raise InputError(f"{record.source}: colour of type {pixels.dtype}, expected 8 bits to write it as NIfTI")
    volume = np.swapaxes(pixels if pixels.ndim == 4 else pixels[..., None], 1, 2)
    row, column, *between = spacing or (1.0, 1.0)
    affine = LPS_TO_RAS @ np.diag([column, row, *(between or [1.0]), 1.0])
    old = (record.shape[1], record.shape[0])
    _save_volume(path, volume, grown_affine(affine, old, volume.shape[1:]), slope, intercept)


def _save_volume(path: str, volume: NDArray, affine: NDArray, slope: float, intercept: float) -> None:
    image = nibabel.Nifti1Image(to_stored(volume), affine)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # A quaternion knows no shear, as a tilted gantry makes it: the matrix alone says it then. Rounding is no shear.
    if np.allclose(axes.T @ axes, np.eye(3), atol=2e-3):
        image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    save(path, image, slope, intercept)
