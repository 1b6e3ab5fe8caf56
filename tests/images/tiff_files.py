"""TIFF files of kinds that tifffile does not write without further packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

RNG = np.random.default_rng(0)
SIZE = (37, 31)


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> NDArray:
    if np.dtype(dtype).kind == "f":
        return RNG.normal(300, 70, shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def write_packed(
    path: Path, values: NDArray, bits: int, extratags: Sequence[tuple[Any, ...]] = (), **tags: int
) -> Path:
    """Integers of a few bits, [H, W], [H, W, S] or, for pages, [S, H, W, 1], each row from a byte on.

    Args:
        path: of the file.
        values: below 2^bits.
        bits: per sample.
        extratags: as tifffile's writer takes them.
        tags: changed beside size and bits, by their name.
    """
    pages = values if values.ndim == 4 else values.reshape(1, *values.shape[:2], -1)
    samples = pages.shape[-1]
    ones = (pages.reshape(*pages.shape[:2], -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    lines = np.packbits(ones.reshape(*pages.shape[:2], -1).astype(np.uint8), axis=-1)
    with tifffile.TiffWriter(path) as file:
        for one in lines:
            file.write(one, photometric="minisblack", metadata=None, rowsperstrip=8, extratags=extratags)
    changed = {"ImageWidth": pages.shape[2], "SamplesPerPixel": samples, "BitsPerSample": bits, **tags}
    with tifffile.TiffFile(path, mode="r+") as written:
        for index in range(len(pages)):
            page: Any = written.pages[index]
            for name, value in changed.items():
                page.tags[name].overwrite([value] * samples if name == "BitsPerSample" and samples > 1 else value)
    return path
