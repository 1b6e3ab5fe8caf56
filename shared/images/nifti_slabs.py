"""NIfTI volumes in slabs, some neighbouring slices at a time: neither source nor result need fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from shared.errors import InputError, first_line
from shared.images.nifti import as_picture, as_pixels, enlarged, open_nifti
from shared.images.nifti_header import place_of
from shared.images.picture import Picture


class SlabReader:
    """A NIfTI volume, opened to be read a part at a time, with the stored values of ``read_nifti``.

    A compressed file is read on from where the last part ended, and from its beginning when a part lies before that.

    Args:
        path: of the file.

    Attributes:
        shape: [X, Y, Z] or [X, Y, Z, T].
        affine: matrix from voxel indices to RAS+ millimetres.
        empty_picture: the image without its values.

    Raises:
        NoIntensities, InputError: as :func:`~shared.images.nifti.check_nifti`, or a 2-D image.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        image = open_nifti(path)
        stored = image.dataobj
        self.shape: tuple[int, ...] = tuple(stored.shape)
        if len(self.shape) < 3:
            raise InputError(f"{path}: shape {self.shape}, expected a volume")
        # A slope of 1: what is read are stored values. Mapped pages would count as memory of this process.
        form = (self.shape, stored.dtype, stored.offset, 1.0, 0.0)
        self._stored = ArrayProxy(stored.file_like, form, mmap=False, order="F", keep_file_open=True)
        self.affine = place_of(image.header)[0]
        self.empty_picture: Picture = as_picture(image, np.empty((0,) * len(self.shape), stored.dtype))

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.empty_picture.pixels.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """Of a value, in the machine's byte order."""
        return self.empty_picture.pixels.dtype

    @property
    def volumes(self) -> int:
        """Number of volumes of a time series, T; 1 without an axis of time."""
        return int(np.prod(self.shape[3:], dtype=int))

    def slabs(self, volume: int, count: int, along: int = 2) -> Iterator[NDArray]:
        """A volume of the file in slabs of at most ``count`` slices, [C, X, Y, Z].

        Args:
            volume: its number, 0 where the file holds one.
            count: slices of a slab.
            along: axis along which the slices lie. Slabs along the last one are read one by one. Along another one each
                has a part of everything: then the whole volume is read, and held.

        Raises:
            InputError: the file is damaged.
        """
        if along == 2:
            for start in range(0, self.shape[2], count):
                yield self._read(volume, slice(start, min(start + count, self.shape[2])))
            return
        whole = self._read(volume, slice(None))
        for start in range(0, self.shape[along], count):
            yield whole[(slice(None),) * (along + 1) + (slice(start, start + count),)]

    def _read(self, volume: int, slices: slice) -> NDArray:
        part = (slice(None), slice(None), slices)
        try:
            return as_pixels(np.asarray(self._stored[part if len(self.shape) == 3 else (*part, volume)]))
        except MemoryError:
            raise
        # Readers of damaged files raise nearly anything: OSError, zlib.error, ValueError, ...
        except Exception as err:
            raise InputError(f"{self.path}: cannot be read as an image: {first_line(err)}") from err


class SlabWriter:
    """A NIfTI file that is written in order along its last axis; use it as a context manager.

    The file is the one that :func:`~shared.images.nifti.write_nifti` makes of the whole volume.

    Args:
        path: of the file, whose suffix decides about compression.
        source: path of the source, whose header it gets.
        shape: spatial shape of the result, which covers the space of the source.
    """

    def __init__(self, path: str, source: str, shape: tuple[int, ...]) -> None:
        like = open_nifti(source)
        image = enlarged(like, np.broadcast_to(np.zeros((), like.get_data_dtype()), shape))
        image.update_header()
        header = image.header
        self._dtype: np.dtype = header.get_data_dtype()
        self._file: Any = ImageOpener(path, "wb")
        header.write_to(self._file)
        self._file.seek(header.get_data_offset())

    def __enter__(self) -> SlabWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, stored: NDArray) -> None:
        """Add the next slices, [X, Y, n], as :func:`~shared.images.nifti.to_stored` makes them."""
        self._file.write(stored.astype(self._dtype, copy=False).tobytes(order="F"))
