"""DICOM in: stored values, modality units and geometry of a file or of the files of a series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from shared.errors import InputError, NoIntensities, first_line
from shared.images.contents import dicom_content
from shared.images.decoder_output import decoder_lines
from shared.images.dicom.geometry import affine_of, geometry_fault, uneven
from shared.images.dicom.opening import read_until_pixels, read_whole
from shared.images.dicom.values import (
    cut_out_bits,
    frame_kinds,
    has_foreign_bits,
    is_colour,
    padding_mask,
    rescale_of,
    rescales,
    voi_window,
)
from shared.images.dicom.versions import apply_palette, decode_pixels
from shared.images.picture import Picture

logger = logging.getLogger(__name__)

_QUANTITATIVE = {"CT", "MR", "PT", "NM"}
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")


def read_header(path: str) -> Any:
    """Read everything before the pixels.

    Raises:
        NoIntensities: a DICOM object without an image of intensities.
        InputError: no DICOM, an image of which something is missing, or colour of more than 8 bits.
    """
    header, has_pixels = read_until_pixels(path)
    try:
        content = dicom_content(header, has_pixels)
        missing = [name for name in _NEEDED if header.get(name) is None]
    # Values are decoded when they are looked at.
    except (ValueError, AttributeError, NotImplementedError) as err:
        raise InputError(f"{path}: cannot be read as DICOM: {first_line(err)}") from err
    if content is not None:
        raise NoIntensities(f"{path}: {content.name}, expected an image of intensities", content.kind)
    missing += [] if has_pixels else ["PixelData"]
    if missing:
        raise InputError(f"{path}: a DICOM object without an image ({', '.join(missing)} missing)")
    if int(header.get("SamplesPerPixel") or 1) > 1 and int(header.BitsStored) > 8:
        raise InputError(f"{path}: colour of {header.BitsStored} bits, expected 8 bits")
    return header


def read_dicom(files: Sequence[str]) -> Picture:
    """Read stored values and geometry of one file, or of the files of a series in the order of its slices.

    Returns:
        With a patient position: a volume [C, X, Y, Z], X along the rows, slices or frames along Z. Without one
        (photographs, ultrasound, secondary captures): a raster [C, H, W] or [C, H, W, S]. Values of CT, MR, PT, NM,
        of anything in HU and of more than 16 bits are arbitrary ones; all others have the bit depth BitsStored.
        Where frames or files have slopes and intercepts of their own, as those of PET have, the values are float32 in
        the unit of the image. Padding (PixelPaddingValue) is as dark as the darkest pixel of the image: it has no
        part in the scaling, and no value of its own that would shine into the image. The frames of an enhanced object
        may be of several kinds (``parts``). Its window is the first one of the header, that of several files or
        frames the median of theirs.

    Raises:
        InputError: the pixels of a file cannot be decoded.
    """
    headers, values, slope, intercept = _read_values(files)
    first = headers[0]
    affine = affine_of(headers)
    parts = frame_kinds(first) if len(files) == 1 and not is_colour(first) else ()
    fault, gap = geometry_fault(first), uneven(headers)
    notes = [] if fault is None else [fault]
    notes += [] if gap is None else [f"{gap}; each is enhanced by itself and keeps its place"]
    quantitative = first.get("Modality") in _QUANTITATIVE or getattr(rescale_of(first), "RescaleType", "") == "HU"
    bits = 8 if is_colour(first) else int(first.BitsStored)
    arbitrary = bits > 16 or values.dtype.kind == "f" or (quantitative and not is_colour(first))
    return Picture(
        from_frames(values, affine is not None),
        affine=affine,
        bits=None if arbitrary else bits,
        slope=slope,
        intercept=intercept,
        inverted=first.PhotometricInterpretation == "MONOCHROME1",
        acquired_axis=None if affine is None else 2,
        window=None if parts else voi_window(headers, slope, intercept),
        parts=parts,
        modality=_modality(first),
        notes=tuple(notes),
    )


def read_time_series(files: Sequence[str], volume: Picture) -> Picture:
    """Read the values of all volumes of a time series, so that one range can be found for all of them.

    Args:
        files: of all its volumes (:func:`~shared.images.dicom.series.time_series`), in any order; what cannot be
            decoded is passed over and logged, as only its own volume fails.
        volume: one of them, as :func:`read_dicom` gives it.

    Returns:
        ``volume``, with the values of all files as its pixels [C, H, W, S]: stored values in the scale of ``volume``,
        float32 where other volumes have another one.
    """
    _, values, slope, intercept = _read_values(files, pass_damaged=True)
    if (slope, intercept) != (volume.slope, volume.intercept) or values.dtype != volume.pixels.dtype:
        units = values.astype(np.float64) * slope + intercept
        values = ((units - volume.intercept) / volume.slope).astype(np.float32)
    return replace(volume, pixels=values.transpose(3, 1, 2, 0))


def read_frames(path: str) -> NDArray:
    """Stored values [S, H, W, C] of a file, as :func:`decode_frames` gives them."""
    return decode_frames(read_whole(path), path)


def decode_frames(dataset: Any, path: str) -> NDArray:
    """Stored values [S, H, W, C] of a dataset, colour as RGB of 8 bits; the dataset stays as it is.

    Args:
        dataset: as pydicom reads the whole file.
        path: of the file.

    Raises:
        InputError: they cannot be decoded.
    """
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if syntax is None:
        raise InputError(f"{path}: the pixels are compressed, and no transfer syntax in the file says how")
    try:
        compressed = syntax.is_compressed
    except ValueError as err:
        raise InputError(f"{path}: transfer syntax {str(syntax)!r} is none that DICOM knows") from err
    if compressed:
        with decoder_lines(path):
            pixels = _decode_compressed(dataset, path, str(syntax.name))
    else:
        try:
            pixels = _decode_native(dataset)
        except (RuntimeError, NotImplementedError, ValueError, AttributeError, IndexError) as err:
            raise InputError(f"{path}: the pixels cannot be decoded: {first_line(err)}") from err
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_palette(pixels, dataset)[..., :3]
        # 16-bit tables hold 8-bit colours, stretched.
        pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.reshape(-1, dataset.Rows, dataset.Columns, 3 if is_colour(dataset) else 1)


def to_frames(pixels: NDArray, is_volume: bool) -> NDArray:
    """[C, X, Y, Z] of a volume, or [C, H, W] or [C, H, W, S] of a raster, as frames [S, H, W, C]."""
    if is_volume:
        return pixels.transpose(3, 2, 1, 0)
    return (pixels if pixels.ndim == 4 else pixels[..., None]).transpose(3, 1, 2, 0)


def from_frames(frames: NDArray, is_volume: bool) -> NDArray:
    """Invert :func:`to_frames`; one frame of a raster gives [C, H, W]."""
    if is_volume:
        return frames.transpose(3, 2, 1, 0)
    stack = frames.transpose(3, 1, 2, 0)
    return stack[..., 0] if stack.shape[-1] == 1 else stack


def _modality(header: Any) -> str | None:
    stated = "".join(letter for letter in str(header.get("Modality") or "") if letter.isprintable())
    return stated.strip()[:16] or None


def _read_values(files: Sequence[str], pass_damaged: bool = False) -> tuple[list[Any], NDArray, float, float]:
    """Headers, frames [S, H, W, C] of all files without what their padding holds, slope and intercept."""
    headers, stacks, masks = [], [], []
    for path in files:
        try:
            header, stack = read_header(path), read_frames(path)
        except InputError as err:
            if not pass_damaged:
                raise
            logger.warning("%s; has no part in the scale of its series", err)
            continue
        mask = padding_mask(header, stack)
        headers.append(header)
        stacks.append(stack)
        masks.append(np.zeros(stack.shape[:3], bool) if mask is None else mask)
    values, slope, intercept = _in_one_scale(headers, stacks)
    kinds = np.array(frame_kinds(headers[0]) if len(files) == 1 else (), int)
    inverted, padding = headers[0].PhotometricInterpretation == "MONOCHROME1", np.concatenate(masks)
    for kind in np.unique(kinds):
        frames, holes = values[kinds == kind], padding[kinds == kind]
        _darken(frames, holes, inverted)
        values[kinds == kind] = frames
    if not kinds.size:
        _darken(values, padding, inverted)
    return headers, values, slope, intercept


def _in_one_scale(headers: Sequence[Any], stacks: Sequence[NDArray]) -> tuple[NDArray, float, float]:
    """All frames with the slope and intercept that hold for them: stored values, or units where there are several."""
    scales = np.concatenate([rescales(header) for header in headers])
    if is_colour(headers[0]):
        return np.concatenate(stacks), 1.0, 0.0
    if (scales == scales[0]).all():
        return np.concatenate(stacks), float(scales[0, 0]), float(scales[0, 1])
    frames = np.concatenate([stack.astype(np.float32) for stack in stacks])
    return (frames * scales[:, 0, None, None, None] + scales[:, 1, None, None, None]).astype(np.float32), 1.0, 0.0


def _darken(values: NDArray, padding: NDArray, inverted: bool) -> None:
    if padding.any() and not padding.all():
        image = values[~padding]
        values[padding] = image.max() if inverted else image.min()


def _decode_compressed(dataset: Any, path: str, syntax: str) -> NDArray:
    try:
        return decode_pixels(dataset)
    except (RuntimeError, NotImplementedError):
        return _decode_by_itk(path, dataset, syntax)
    except (ValueError, AttributeError, IndexError) as err:
        raise InputError(f"{path}: the pixels cannot be decoded: {first_line(err)}") from err


def _decode_native(dataset: Any) -> NDArray:
    if not has_foreign_bits(dataset):
        return decode_pixels(dataset)
    stored, high = int(dataset.BitsStored), int(dataset.HighBit)
    # Whole words, or pydicom would take their sign from the wrong bit.
    dataset.BitsStored = dataset.BitsAllocated
    try:
        words = decode_pixels(dataset)
    finally:
        dataset.BitsStored = stored
    return cut_out_bits(words, stored, high)


def _decode_by_itk(path: str, dataset: Any, syntax: str) -> NDArray:
    """JPEG lossless, JPEG-LS and others, for which pydicom needs packages that are not required here."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        raise InputError(f"{path}: a palette compressed as {syntax} cannot be decoded")
    try:
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    except RuntimeError as err:
        raise InputError(f"{path}: the pixels (transfer syntax {syntax}) cannot be decoded") from err
    # ITK applies slope and intercept; what lies in the file is wanted.
    slope, intercept = rescales(dataset)[0]
    kind = "i" if dataset.PixelRepresentation else "u"
    return np.rint((values - intercept) / slope).astype(f"{kind}{int(dataset.BitsAllocated) // 8}")
