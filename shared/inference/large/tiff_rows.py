"""The rows of a large TIFF image, read from the tiles or strips that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from shared.errors import InputError, first_line
from shared.images.picture import Picture
from shared.images.tiff import as_picture, image_axes
from shared.images.tiff_decoding import encoding, lacks_unpacking
from shared.images.tiff_samples import form_of

_LARGEST_ROW_OF_SEGMENTS = 2**29
"""Bytes that the tiles side by side, or one strip, may take when decoded."""


class TiffRows:
    """One TIFF image, opened to be read row by row; use it as a context manager.

    Tiles and strips are decoded once each while rows are asked for in ascending order. Held are the rows of the last
    call and what the tiles at its end have beyond them: with w, the width, S, samples per pixel, b, bytes per sample,
    and t, rows of a tile or strip, at most 2 b S w (rows + t) bytes, the factor 2 while rows are moved on. What is read
    is what :class:`~shared.images.tiff_samples.SampleForm` makes of the samples (of a palette RGB), the rows as they
    are stored, whatever the tag Orientation says.

    Args:
        path: of the file. Of a pyramid, the image in full resolution is read.
        threads: decode tiles or strips; None: the calling thread does.

    Raises:
        InputError: no image of one page; neither grey nor a colour that can be turned into RGB; or tiles or strips that
            cannot be decoded one by one: a missing codec, or a single strip for all of a compressed image.
    """

    def __init__(self, path: str, threads: Executor | None = None) -> None:
        self.path = path
        self._threads = threads
        try:
            self._file = tifffile.TiffFile(path)
        except FileNotFoundError as err:
            raise InputError(f"{path}: no such file") from err
        except Exception as err:
            raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        axes, shape = image_axes(self.path, self._file)
        if set(axes) - set("YXS"):
            raise InputError(f"{self.path}: axes {axes} of shape {shape}, expected one image, no stack")
        self.series: Any = self._file.series[0]
        self.page: Any = self.series.keyframe
        page = self.page
        self.form = form_of(self.path, page)
        self.height: int = page.imagelength
        self.width: int = page.imagewidth
        self.channels = self.form.channels
        self.samples: int = self.channels + page.samplesperpixel - self.form.colours
        self.dtype = self.form.dtype
        self._direct = page.is_contiguous and page.predictor == 1 and page.fillorder == 1
        segment_rows = page.tilelength if page.is_tiled else page.rowsperstrip
        self._segment_rows: int = 1 if self._direct else min(segment_rows, self.height)
        self._first = 0
        self._rows = self._empty(0)
        if not self._direct:
            self._check_segments()

    def __enter__(self) -> TiffRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name

    @property
    def empty_picture(self) -> Picture:
        """The image without its pixels: what scaling needs to know of its type."""
        return as_picture(np.empty((self.channels, 0, 0), self.dtype), self.form)

    def parts(self, size: int = 2**22) -> Iterator[NDArray]:
        """All colour values from top to bottom, [rows, W, C], in parts of about ``size`` bytes or a row of tiles."""
        step = max(size // (self.width * self.samples * self.dtype.itemsize), self._segment_rows)
        step -= step % self._segment_rows
        for start in range(0, self.height, step):
            yield self.read(start, min(start + step, self.height))[..., : self.channels]

    def read(self, start: int, stop: int) -> NDArray:
        """The rows from ``start`` to ``stop``, [stop - start, W, S]; valid until the next call.

        Raises:
            InputError: damaged or truncated; names the file and the rows.
        """
        end = self._first + len(self._rows)
        if not self._first <= start <= end:
            self._first = end = start - start % self._segment_rows
            self._rows = self._empty(0)
        if end < stop:
            aligned = min(-(-stop // self._segment_rows) * self._segment_rows, self.height)
            kept = self._rows[min(start, end) - self._first :]
            rows = self._empty(len(kept) + aligned - end)
            rows[: len(kept)] = kept
            try:
                self._decode(end, rows[len(kept) :])
            except (InputError, MemoryError):
                raise
            # Readers of damaged files raise nearly anything: OSError, struct.error, zlib.error, ValueError, ...
            except Exception as err:
                found = f"rows {end} to {aligned - 1}"
                raise InputError(f"{self.path}: {found} cannot be read: {first_line(err)}") from err
            self._rows, self._first = rows, end - len(kept)
        return self.form.convert(self._rows[start - self._first : stop - self._first])

    def _decode(self, begin: int, target: NDArray) -> None:
        """Fill ``target``, [rows, W, S], with the rows from ``begin``; both ends are ends of tiles or strips."""
        if self._direct:
            self._copy(begin, target)
            return
        page = self.page
        across, down = self._grid()
        planes = 1 if page.planarconfig == 1 else page.samplesperpixel

        def place(segment: tuple[bytes | None, int]) -> None:
            pixels, (plane, _, top, left, _), shape = page.decode(
                *segment, jpegtables=page.jpegtables, jpegheader=page.jpegheader
            )
            bottom, right = min(top + shape[1], self.height), min(left + shape[2], self.width)
            channels = slice(None) if planes == 1 else slice(plane, plane + 1)
            part = page.nodata if pixels is None else pixels[0, : bottom - top, : right - left]
            target[top - begin : bottom - begin, left:right, channels] = part

        for line in range(begin // self._segment_rows, -(-(begin + len(target)) // self._segment_rows)):
            indices = [(plane * down + line) * across + column for plane in range(planes) for column in range(across)]
            segments: Any = self._file.filehandle.read_segments(
                [page.dataoffsets[index] for index in indices],
                [page.databytecounts[index] for index in indices],
                indices,
            )
            for _ in map(place, segments) if self._threads is None else self._threads.map(place, segments):
                pass

    def _copy(self, begin: int, target: NDArray) -> None:
        """Read values that lie uncompressed and in one piece."""
        page, handle = self.page, self._file.filehandle
        stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        planes, samples = (1, page.samplesperpixel) if page.planarconfig == 1 else (page.samplesperpixel, 1)
        row = self.width * samples
        for plane in range(planes):
            handle.seek(page.dataoffsets[0] + (plane * self.height + begin) * row * stored.itemsize)
            data = handle.read(len(target) * row * stored.itemsize)
            values = np.frombuffer(data, stored).reshape(len(target), self.width, samples)
            target[..., plane : plane + samples] = values

    def _grid(self) -> tuple[int, int]:
        """Number of tiles or strips side by side and one below the other."""
        across = -(-self.width // self.page.tilewidth) if self.page.is_tiled else 1
        return across, -(-self.height // self._segment_rows)

    def _check_segments(self) -> None:
        size = self._segment_rows * self.width * self.page.samplesperpixel * self.page.dtype.itemsize
        if size > _LARGEST_ROW_OF_SEGMENTS:
            kind = "tiles" if self.page.is_tiled else "strips"
            raise InputError(
                f"{self.path}: compressed in {kind} of {self._segment_rows} rows, {size // 2**20} MiB at once, "
                f"expected at most {_LARGEST_ROW_OF_SEGMENTS // 2**20} MiB: save the image in smaller tiles"
            )
        missing = lacks_unpacking(self.page)
        try:
            self.page.decode(None, 0)
        except (ValueError, NotImplementedError) as err:
            if "imagecodecs" not in str(err):
                raise InputError(f"{self.path}: cannot be read as an image: {first_line(err)}") from err
            missing = True
        if missing:
            raise InputError(
                f"{self.path}: {encoding(self.page)}, which an image of this size needs the package imagecodecs for: "
                "pip install imagecodecs"
            )

    def _empty(self, rows: int) -> NDArray:
        return np.empty((rows, self.width, self.page.samplesperpixel), self.page.dtype)
