"""A tiled TIFF file that is written tile by tile and can be continued at any tile."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

TILE = 256
"""Height and width of a tile, in pixels."""

_LARGEST_CLASSIC = 2**32 - 2**25
"""Bytes of pixels beyond which offsets of 32 bits do not suffice; tifffile's own limit."""


@dataclass(frozen=True)
class TileFile:
    """Form of a tiled TIFF file: a header, and behind it the tiles, row by row of tiles, without gaps.

    tifffile makes the header, for tiles that it never sees: room for it is kept at the file's beginning, and it is
    filled in at the end, when the size of every compressed tile is known. So the file is written once, and what is
    finished of it needs no copy.

    Attributes:
        shape: height, width and samples per pixel.
        dtype: of the samples.
        options: of tifffile's writer: photometric interpretation, compression ("zlib" or None), resolution, ...
        bigtiff: whether to write offsets of 64 bits even where 32 would do.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    options: dict[str, Any]
    bigtiff: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Number of tiles, rows and columns."""
        return -(-self.shape[0] // TILE), -(-self.shape[1] // TILE)

    @property
    def first_tile(self) -> int:
        """Position of the first tile in the file."""
        rows, columns = self.grid
        header = self._header([self._tile_bytes] * (rows * columns))
        # The tiles begin on a multiple of 16, as tifffile aligns them too.
        return -(-len(header) // 16) * 16

    @property
    def size(self) -> int:
        """Bytes of the whole file; of a compressed one, what it has where nothing can be gained."""
        rows, columns = self.grid
        # zlib's bound for data that do not compress.
        tile = self._tile_bytes + (self._tile_bytes >> 12) + 64 if self._compressed else self._tile_bytes
        return self.first_tile + rows * columns * tile

    def encode(self, tile: NDArray) -> bytes:
        """A tile's bytes in the file.

        Args:
            tile: [h, w, samples]; smaller tiles, at the right and lower border, are filled up with zeros.
        """
        if tile.shape[:2] != (TILE, TILE):
            tile = np.pad(tile, ((0, TILE - tile.shape[0]), (0, TILE - tile.shape[1]), (0, 0)))
        data = np.ascontiguousarray(tile, self.dtype.newbyteorder("<")).tobytes()
        return zlib.compress(data) if self._compressed else data

    def complete(self, path: Path, sizes: Sequence[int]) -> None:
        """Write the header of a file that has all tiles, from ``first_tile`` on.

        Args:
            path: of the file.
            sizes: bytes of every tile.
        """
        first = self.first_tile
        with path.open("r+b") as file:
            file.write(self._header(sizes))
        offsets = (first + np.concatenate([[0], np.cumsum(sizes)[:-1]])).tolist()
        with tifffile.TiffFile(path, mode="r+") as tiff:
            page: Any = tiff.pages.first
            page.tags["TileOffsets"].overwrite(offsets if len(offsets) > 1 else offsets[0])

    @property
    def _compressed(self) -> bool:
        return self.options.get("compression") is not None

    @property
    def _tile_bytes(self) -> int:
        return TILE * TILE * self.shape[2] * self.dtype.itemsize

    def _header(self, sizes: Sequence[int]) -> bytes:
        height, width, samples = self.shape
        rows, columns = self.grid
        buffer = io.BytesIO()
        bigtiff = self.bigtiff or rows * columns * self._tile_bytes > _LARGEST_CLASSIC
        with tifffile.TiffWriter(buffer, bigtiff=bigtiff, byteorder="<") as writer:
            writer.write(
                ((b"", size) for size in sizes),
                shape=(height, width) if samples == 1 else self.shape,
                dtype=self.dtype,
                tile=(TILE, TILE),
                metadata=None,
                **self.options,
            )
        return buffer.getvalue()
