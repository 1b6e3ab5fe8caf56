"""What the samples of a TIFF page mean, and how they become grey or RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from shared.errors import InputError

PHOTOMETRIC = tifffile.PHOTOMETRIC
_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_JPEG = (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)
_APERIO_JPEG_2000 = tifffile.COMPRESSION.APERIO_JP2000_YCBC
_INK_SET, _CMYK = 332, 1

Conversion = Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class SampleForm:
    """Grey or RGB image that the samples of a page stand for.

    One bit per sample becomes eight, a palette and YCbCr become RGB, CMYK becomes RGB: what PNG and JPEG files of that
    kind give. All others stay as they are stored.

    Attributes:
        photometric: MINISBLACK, MINISWHITE or RGB.
        dtype: of a sample.
        bits: that the file has for a sample; None where the range says nothing (float, signed and wide integers).
        colours: samples of the page that hold its colour. Those behind them are extra, as transparency is.
        convert: stored samples [..., S] to those of the image, [..., C + extra].
    """

    photometric: Any
    dtype: np.dtype
    bits: int | None
    colours: int
    convert: Conversion

    @property
    def channels(self) -> int:
        """C, the number of grey or colour channels."""
        return 3 if self.photometric == PHOTOMETRIC.RGB else 1

    @property
    def inverted(self) -> bool:
        """Whether small values are shown bright."""
        return bool(self.photometric == PHOTOMETRIC.MINISWHITE)


def form_of(path: str, page: Any) -> SampleForm:
    """Find out what the samples of a page are.

    Raises:
        InputError: neither grey nor a colour that can be turned into RGB; names the file.
    """
    found, bits = _photometric(page), page.bitspersample
    dtype = np.dtype(page.dtype).newbyteorder("=")
    if found in _GREY or found == PHOTOMETRIC.RGB:
        if isinstance(bits, int) and bits < 8 and dtype.kind in "bu":
            inverted = found == PHOTOMETRIC.MINISWHITE
            shown = PHOTOMETRIC.RGB if found == PHOTOMETRIC.RGB else PHOTOMETRIC.MINISBLACK
            colours = 3 if found == PHOTOMETRIC.RGB else 1
            return SampleForm(shown, np.dtype("uint8"), 8, colours, partial(_few_bits, bits, inverted))
        # Four bits of a 16-bit file that says 12 are never used.
        depth = (bits if isinstance(bits, int) else dtype.itemsize * 8) if dtype in ("uint8", "uint16") else None
        return SampleForm(found, dtype, depth, 3 if found == PHOTOMETRIC.RGB else 1, lambda stored: stored)
    colours, conversion = _colour_conversion(path, page, found, dtype)
    # An index says nothing about the depth of the colours it stands for.
    made = np.dtype("uint8") if found == PHOTOMETRIC.PALETTE else dtype
    return SampleForm(PHOTOMETRIC.RGB, made, made.itemsize * 8, colours, conversion)


def _colour_conversion(path: str, page: Any, found: Any, dtype: np.dtype) -> tuple[int, Conversion]:
    """Number of samples that hold the colour, and what makes RGB of them."""
    samples = page.samplesperpixel
    if found == PHOTOMETRIC.PALETTE and dtype.kind in "bu" and dtype.itemsize <= 2:
        return 1, partial(_from_palette, _palette(path, page))
    if found == PHOTOMETRIC.SEPARATED and dtype in ("uint8", "uint16") and page.bitspersample == dtype.itemsize * 8:
        inks = page.tags.valueof(_INK_SET, _CMYK)
        if inks == _CMYK and samples >= 4:
            return 4, _from_cmyk
        raise InputError(f"{path}: separated into {samples} inks (InkSet {inks}), expected grey, RGB or CMYK")
    # No decoder turns the colours of Aperio's JPEG 2000.
    if found == PHOTOMETRIC.YCBCR and dtype == "uint8" and samples == 3 and page.compression != _APERIO_JPEG_2000:
        if page.is_subsampled:
            raise InputError(f"{path}: YCbCr with fewer samples of chroma than of luma, expected as many, or RGB")
        return 3, _from_ycbcr
    raise InputError(
        f"{path}: photometric interpretation {found.name} of {page.bitspersample} bits, expected grey, RGB, a palette "
        "or CMYK"
    )


def _photometric(page: Any) -> Any:
    """How the values of a page are meant once decoded; JPEG's colours become RGB."""
    # Aperio's tag says RGB here too.
    if page.compression == _APERIO_JPEG_2000:
        return PHOTOMETRIC.YCBCR
    found = page.photometric
    return PHOTOMETRIC.RGB if found == PHOTOMETRIC.YCBCR and page.compression in _JPEG else found


def _few_bits(bits: int, inverted: bool, stored: NDArray) -> NDArray:
    brightest = 2**bits - 1
    values = np.rint(np.arange(brightest + 1) * (255 / brightest)).astype(np.uint8)
    return (values[::-1] if inverted else values)[stored.astype(np.uint8)]


def _palette(path: str, page: Any) -> NDArray[np.uint8]:
    """Colours [2^bits, 3]."""
    colours = page.colormap
    if colours is None or colours.shape[0] != 3 or colours.shape[1] < 2**page.bitspersample:
        found = "none" if colours is None else f"{colours.shape[-1]}"
        raise InputError(f"{path}: a palette of {found} colours, expected {2**page.bitspersample}")
    # The tag has 16 bits for each; some programs use the lower 8 alone.
    return (colours.T >> 8 if colours.max() > 255 else colours.T).astype(np.uint8)


def _from_palette(colours: NDArray[np.uint8], stored: NDArray) -> NDArray:
    extra = stored[..., 1:]
    if extra.dtype.itemsize == 2:
        extra = extra >> 8
    # As uint8: the indices of one bit are truth values, which NumPy would take for a mask.
    index = stored[..., 0].astype(np.uint8) if stored.dtype == bool else stored[..., 0]
    return np.concatenate([colours[index], extra.astype(np.uint8)], axis=-1)


def _from_cmyk(stored: NDArray) -> NDArray:
    """RGB as Pillow makes it of CMYK in a JPEG file, here for 16 bits too."""
    full = np.iinfo(stored.dtype).max
    wide: Any = stored.astype(np.uint32 if stored.dtype == np.uint8 else np.uint64)
    white = full - wide[..., 3:4]
    # Rounded quotient; black takes its part of what the inks let through.
    colours = white - (2 * wide[..., :3] * white + full) // (2 * full)
    return np.concatenate([colours.astype(stored.dtype), stored[..., 4:]], axis=-1)


def _from_ycbcr(stored: NDArray) -> NDArray:
    lines = np.ascontiguousarray(stored).reshape(-1, stored.shape[-2], 3)
    image = Image.frombytes("YCbCr", (lines.shape[1], lines.shape[0]), lines.tobytes())
    return np.array(image.convert("RGB")).reshape(stored.shape)
