"""What the stored values of a DICOM image mean: kinds of frames, rescaling, window, padding, bits in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.multival import MultiValue

from shared.errors import InputError
from shared.images.dicom.geometry import frame_count, functional_groups
from shared.images.layout import repeated

_PALETTE = "PALETTE COLOR"


def is_colour(header: Any) -> bool:
    """Whether the image is shown in colour."""
    return int(getattr(header, "SamplesPerPixel", 1) or 1) > 1 or header.PhotometricInterpretation == _PALETTE


def rescale_of(header: Any, frame: int = 0) -> Any:
    """What holds RescaleSlope, RescaleIntercept and RescaleType of a frame: a functional group or the header itself."""
    for group in functional_groups(header, frame):
        if getattr(group, "PixelValueTransformationSequence", None):
            return group.PixelValueTransformationSequence[0]
    return header


def rescales(header: Any) -> NDArray[np.float64]:
    """Slope and intercept of each frame, [frames, 2]."""
    holders = [rescale_of(header, frame) for frame in range(frame_count(header))]
    # A slope of 0 is found in broken files; every reader takes it for 1.
    return np.array(
        [
            (
                float(getattr(holder, "RescaleSlope", None) or 1.0),
                float(getattr(holder, "RescaleIntercept", None) or 0.0),
            )
            for holder in holders
        ]
    )


def frame_kinds(header: Any) -> tuple[int, ...]:
    """For each frame of an enhanced object the number of its kind, from 0; empty where all frames are of one.

    Magnitude, phase, real part and field map of one acquisition may lie in one file. What they are say FrameType,
    ComplexImageComponent and RescaleType of the frame.
    """
    if not getattr(header, "PerFrameFunctionalGroupsSequence", None):
        return ()
    numbers: dict[tuple[str, ...], int] = {}
    kinds = tuple(numbers.setdefault(_kind(header, frame), len(numbers)) for frame in range(frame_count(header)))
    return kinds if len(numbers) > 1 else ()


def voi_window(headers: Sequence[Any], slope: float, intercept: float) -> tuple[float, float] | None:
    """Stored values at the ends of the window that the header asks for, the smaller one first (PS3.3 C.11.2.1.2).

    Args:
        headers: of the files of one image. Of several files or frames it is the median of their windows, as those of
            the first and last slices of a volume often see little but air.
        slope: of the stored values.
        intercept: of the stored values.

    Returns:
        None for colour, and without a window that is linear in the stored values.
    """
    if is_colour(headers[0]) or "ModalityLUTSequence" in headers[0]:
        return None
    found = [window for header in headers for window in _windows(header)]
    if not found:
        return None
    units = np.median(np.array(found), axis=0)
    black, white = sorted(float((unit - intercept) / slope) for unit in units)
    return (black, white) if black < white else None


def has_foreign_bits(header: Any) -> bool:
    """Whether native pixels share their words with something else, as in older files: overlays, or unused low bits."""
    stored = int(header.BitsStored)
    high = int(getattr(header, "HighBit", stored - 1))
    return stored < int(header.BitsAllocated) and (high != stored - 1 or bool(embedded_overlays(header)))


def cut_out_bits(words: NDArray, stored: int, high: int) -> NDArray:
    """Values of ``stored`` bits, the highest of them bit ``high`` of the words."""
    width = 8 * words.dtype.itemsize
    shifted = words.view(f"u{words.dtype.itemsize}") << (width - 1 - high)
    # The shift back to the right repeats the sign of a signed type.
    return shifted.view(words.dtype) >> (width - stored)


def embedded_overlays(header: Any) -> list[int]:
    """Groups of the overlays that lie in unused bits of the pixels."""
    groups = range(0x6000, 0x6020, 2)
    return [group for group in groups if (group, 0x0100) in header and (group, 0x3000) not in header]


def padding_mask(header: Any, values: NDArray) -> NDArray[np.bool_] | None:
    """Which pixels hold no image, as PixelPaddingValue says; None without any.

    Args:
        header: of the image.
        values: stored values [S, H, W, C].

    Returns:
        [S, H, W].
    """
    bounds = _padding_bounds(header, values.dtype)
    if bounds is None:
        return None
    mask = ((values >= bounds[0]) & (values <= bounds[1]))[..., 0]
    return mask if mask.any() else None


def restore_padding(enhanced: NDArray, header: Any, source: NDArray) -> NDArray:
    """Give padding its value back, and keep the image off that value.

    Args:
        enhanced: stored values [S, f H, f W, C], f a whole number.
        header: of the source.
        source: stored values of the source, [S, H, W, C].

    Raises:
        InputError: the enhanced size is no whole multiple of the source's.
    """
    if any(new % old for new, old in zip(enhanced.shape[1:3], source.shape[1:3], strict=True)):
        raise InputError(
            f"network_def: gives an image of {enhanced.shape[1]} x {enhanced.shape[2]} pixels for "
            f"{source.shape[1]} x {source.shape[2]}, expected a whole multiple"
        )
    mask, bounds = padding_mask(header, source), _padding_bounds(header, source.dtype)
    if bounds is None:
        return enhanced
    kept = enhanced.copy()
    taken = (kept >= bounds[0]) & (kept <= bounds[1])
    # Values next to the padding: the image may have none above it.
    kept[taken] = bounds[1] + 1 if bounds[1] < np.iinfo(source.dtype).max else bounds[0] - 1
    if mask is not None:
        grown = repeated(mask, kept.shape[:3])
        kept[grown] = repeated(source[..., 0], kept.shape[:3])[grown][:, None]
    return kept


def _padding_bounds(header: Any, dtype: np.dtype) -> tuple[int, int] | None:
    if is_colour(header) or dtype.kind not in "iu" or getattr(header, "PixelPaddingValue", None) is None:
        return None
    ends = [header.PixelPaddingValue, getattr(header, "PixelPaddingRangeLimit", None)]
    # Some scanners write -2000 as 63536 beside signed pixels: only the bits count.
    bits = 8 * dtype.itemsize
    wrapped = [int(np.array(int(end) % 2**bits, f"u{dtype.itemsize}").view(dtype)) for end in ends if end is not None]
    return min(wrapped), max(wrapped)


def _kind(header: Any, frame: int) -> tuple[str, ...]:
    types = (
        (str(item.FrameType), str(item.get("ComplexImageComponent", "")))
        for group in functional_groups(header, frame)
        for element in group
        for item in (element.value if element.VR == "SQ" else ())
        if item.get("FrameType")
    )
    return (*next(types, ("", "")), str(getattr(rescale_of(header, frame), "RescaleType", "")))


def _windows(header: Any) -> Iterator[tuple[float, float]]:
    """Ends of the first window of each frame, in the unit of the image."""
    for frame in range(frame_count(header) if "PerFrameFunctionalGroupsSequence" in header else 1):
        groups = [group for group in functional_groups(header, frame) if group.get("FrameVOILUTSequence")]
        for holder in (*(group.FrameVOILUTSequence[0] for group in groups), header):
            centre, width = (_first(holder.get(name)) for name in ("WindowCenter", "WindowWidth"))
            if centre is None or width is None:
                continue
            if np.isfinite(centre) and 0 < width < np.inf:
                is_exact = holder.get("VOILUTFunction") in ("LINEAR_EXACT", "SIGMOID")
                yield centre - width / 2, centre + width / 2 - (0 if is_exact else 1)
            break


def _first(value: Any) -> float | None:
    values = value if isinstance(value, list | tuple | MultiValue) else [value]
    try:
        return None if not values or values[0] in (None, "") else float(values[0])
    except ValueError:
        return None  # A window is a wish about the display: a malformed one is no reason to refuse the image.
