"""DICOM in: stored values, modality units and geometry of a file or of the files of a series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.filereader import read_partial

from shared.errors import InputError, first_line
from shared.inference.dicom.geometry import affine_of, uneven
from shared.inference.dicom.values import (
    cut_out_bits,
    has_foreign_bits,
    is_colour,
    padding_mask,
    rescale_of,
    rescales,
)
from shared.inference.dicom.versions import apply_palette, decode_pixels
from shared.inference.picture import Picture

logger = logging.getLogger(__name__)

_QUANTITATIVE = {"CT", "MR", "PT", "NM"}
_NO_INTENSITIES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose",
}
_PIXEL_DATA = 0x7FE00010
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")


def is_dicom(path: str) -> bool:
    """Whether the file has the name or the magic number of a DICOM file (a DICOMDIR index has neither)."""
    if Path(path).name.upper() == "DICOMDIR":
        return False
    if Path(path).suffix.lower() in (".dcm", ".dicom"):
        return True
    with open(path, "rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def read_header(path: str) -> Any:
    """Read everything before the pixels.

    Raises:
        InputError: no DICOM, a DICOM object without an image of intensities, or colour of more than 8 bits.
    """
    try:
        header, has_pixels = _read_until_pixels(path)
        missing = [name for name in _NEEDED if header.get(name) is None]
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError, AttributeError) as err:
        raise InputError(f"{path}: cannot be read as DICOM: {first_line(err)}") from err
    missing += [] if has_pixels else ["PixelData"]
    if missing:
        raise InputError(f"{path}: a DICOM object without an image ({', '.join(missing)} missing)")
    other = _NO_INTENSITIES.get(str(header.get("SOPClassUID")))
    if other is not None or int(header.BitsStored) == 1:
        raise InputError(f"{path}: {other or 'one bit per pixel'}, expected an image of intensities")
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
        part in the scaling, and no value of its own that would shine into the image.

    Raises:
        InputError: the pixels of a file cannot be decoded.
    """
    headers, stacks, masks = [], [], []
    for path in files:
        header = read_header(path)
        stack = read_frames(path)
        mask = padding_mask(header, stack)
        headers.append(header)
        stacks.append(stack)
        masks.append(np.zeros(stack.shape[:3], bool) if mask is None else mask)
    values, slope, intercept = _in_one_scale(headers, stacks)
    first = headers[0]
    inverted = first.PhotometricInterpretation == "MONOCHROME1"
    _darken(values, np.concatenate(masks), inverted)
    affine = affine_of(headers)
    gap = uneven(headers)
    if gap is not None:
        logger.warning("%s: %s; each is enhanced by itself and keeps its place", Path(files[0]).parent, gap)
    quantitative = first.get("Modality") in _QUANTITATIVE or getattr(rescale_of(first), "RescaleType", "") == "HU"
    bits = 8 if is_colour(first) else int(first.BitsStored)
    arbitrary = bits > 16 or values.dtype.kind == "f" or (quantitative and not is_colour(first))
    return Picture(
        from_frames(values, affine is not None),
        affine=affine,
        bits=None if arbitrary else bits,
        slope=slope,
        intercept=intercept,
        inverted=inverted,
        acquired_axis=None if affine is None else 2,
    )


def read_frames(path: str) -> NDArray:
    """Stored values [S, H, W, C] of a file, as :func:`decode_frames` gives them."""
    return decode_frames(pydicom.dcmread(path), path)


def decode_frames(dataset: Any, path: str) -> NDArray:
    """Stored values [S, H, W, C] of a dataset, colour as RGB of 8 bits; the dataset stays as it is.

    Args:
        dataset: as pydicom reads the whole file.
        path: of the file.

    Raises:
        InputError: they cannot be decoded.
    """
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    compressed = syntax is not None and syntax.is_compressed
    try:
        pixels = decode_pixels(dataset) if compressed else _decode_native(dataset)
    except (RuntimeError, NotImplementedError, ValueError, AttributeError, IndexError) as err:
        if not isinstance(err, RuntimeError | NotImplementedError) or syntax is None or not compressed:
            raise InputError(f"{path}: the pixels cannot be decoded: {first_line(err)}") from err
        pixels = _decode_by_itk(path, dataset, str(syntax.name))
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


def _read_until_pixels(path: str) -> tuple[Any, bool]:
    met = []

    def at_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag == _PIXEL_DATA:
            met.append(length)
        return tag >= _PIXEL_DATA

    with open(path, "rb") as file:
        header = read_partial(file, stop_when=at_pixels)
    return header, bool(met) and met[0] != 0


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
