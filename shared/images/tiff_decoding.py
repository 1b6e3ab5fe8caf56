"""The stored samples of a TIFF image, whatever packs or compresses them."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from typing import Any

import numpy as np
import SimpleITK
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from shared.errors import InputError
from shared.images.decoder_output import decoder_lines
from shared.images.orientation import turned_back

_ORIENTATION = 274
_PLAIN = (
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
)
# What libtiff prints of an image that is damaged, and not of a tag that it does not understand.
_FAILED = re.compile(r"(\w+Decode|JPEGLib): ")
_UNASSOCIATED = int(tifffile.EXTRASAMPLE.UNASSALPHA)


def stored_samples(path: str, series: Any) -> NDArray:
    """All samples of a series as tifffile gives them, with the series' axes and shape.

    What tifffile leaves to the package imagecodecs, as LZW, JPEG, fax compression and packed integers, is read by other
    readers where they give exactly what is stored.

    Raises:
        InputError: no reader does; names the file and the package.
    """
    try:
        return series.asarray()
    except (ValueError, NotImplementedError) as err:
        if "imagecodecs" not in str(err):
            raise
    page = series.keyframe
    dtype = np.dtype(series.dtype).newbyteorder("=")
    readers = ((_is_packed, _read_packed), (_suits_pillow, _read_by_pillow), (_suits_itk, _read_by_itk))
    for suits, read in readers:
        if series.is_multifile or not suits(page):
            continue
        # Pillow knows no file of some layouts.
        with contextlib.suppress(UnidentifiedImageError):
            with decoder_lines(path) as lines:
                array = read(path, series)
            # What these could not decode they leave as it was, and go on.
            failed = next((line for line in lines if _FAILED.match(line)), None)
            if failed is not None:
                raise InputError(f"{path}: cannot be read as an image: {failed}")
            if array.dtype == dtype and array.size == np.prod(series.shape):
                return array.reshape(series.shape)
    raise InputError(
        f"{path}: {encoding(page)} in a layout that only the package imagecodecs decodes: pip install imagecodecs"
    )


def encoding(page: Any) -> str:
    """How the samples of a page are stored, in words."""
    packed = "" if is_whole_bytes(page) else f"packed in {page.bitspersample} bits"
    if page.compression == tifffile.COMPRESSION.NONE:
        return packed or "not compressed"
    return f"{packed} and compressed by {page.compression.name}" if packed else f"compressed by {page.compression.name}"


def is_whole_bytes(page: Any) -> bool:
    """Whether each sample fills bytes of its own."""
    return page.bitspersample in (8, 16, 32, 64)


def lacks_unpacking(page: Any) -> bool:
    """Whether the package imagecodecs is needed, and missing, to unpack the integers of a page."""
    return not is_whole_bytes(page) and page.bitspersample != 1 and importlib.util.find_spec("imagecodecs") is None


def _is_packed(page: Any) -> bool:
    """Whether the rows are integers of a few bits behind one another."""
    bits = page.bitspersample
    integers = isinstance(bits, int) and bits < 16 and not is_whole_bytes(page) and page.predictor == 1
    return integers and not page.is_tiled and page.planarconfig == 1 and page.compression in _PLAIN


def _read_packed(path: str, series: Any) -> NDArray:
    page: Any = series.keyframe
    bits, row, rows = page.bitspersample, page.imagewidth * page.samplesperpixel, page.imagelength
    # Each row begins at a byte.
    size = -(-row * bits // 8)
    decompress = tifffile.TIFF.DECOMPRESSORS[page.compression]
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint16)
    images = []
    for one in series.pages:
        handle = page.parent.filehandle
        segments = handle.read_segments(one.dataoffsets, one.databytecounts, flat=True)
        stored = b"".join(decompress(data) for data, _ in segments)
        lines = np.frombuffer(stored, np.uint8, rows * size).reshape(rows, size)
        ones = np.unpackbits(lines, axis=1, count=row * bits, bitorder="little" if page.fillorder == 2 else "big")
        images.append(ones.reshape(-1, bits) @ weights)
    return np.stack(images).astype(series.dtype)


def _suits_pillow(page: Any) -> bool:
    """Whether Pillow gives what is stored, but for MINISWHITE, few bits and orientation, which can be undone."""
    if page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression != tifffile.COMPRESSION.JPEG:
        return False
    if page.extrasamples not in ((), (_UNASSOCIATED,)):
        return False
    bits, kind = page.bitspersample, np.dtype(page.dtype).kind
    if page.samplesperpixel > 1:
        # Of several samples of 16 bits it gives the upper 8.
        return kind == "u" and bits == 8
    return bits in {"b": (1,), "u": (2, 4, 8, 12, 16), "i": (16,), "f": (32,)}.get(kind, ())


def _read_by_pillow(path: str, series: Any) -> NDArray:
    page: Any = series.keyframe
    brightest = 2**page.bitspersample - 1
    images = []
    with Image.open(path) as image:
        for one in series.pages:
            image.seek(one.index)
            array = turned_back(np.array(image), page.tags.valueof(_ORIENTATION, 1))
            if image.mode == "L":
                array = array // (255 // brightest)
            if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and image.mode in ("1", "L"):
                array = ~array if image.mode == "1" else brightest - array
            images.append(np.moveaxis(array, -1, 0) if page.planarconfig == 2 and array.ndim == 3 else array)
    stacked = np.stack(images)
    # Signed integers of 16 bits come in 32.
    native = np.dtype("int16") if stacked.dtype == np.int32 else stacked.dtype.newbyteorder("=")
    return stacked.astype(native, copy=False)


def _suits_itk(page: Any) -> bool:
    """Whether ITK gives what is stored: of other layouts it makes 8 bits of RGBA, upright, without an error."""
    upright = page.tags.valueof(_ORIENTATION, 1) == 1
    plain = page.photometric not in (tifffile.PHOTOMETRIC.PALETTE, tifffile.PHOTOMETRIC.SEPARATED)
    return upright and plain and is_whole_bytes(page) and not page.is_tiled and page.planarconfig == 1


def _read_by_itk(path: str, series: Any) -> NDArray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
