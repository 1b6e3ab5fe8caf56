"""Slices of a volume along one axis, brought into the order of another by way of the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def along_last_axis(slabs: Iterable[NDArray], axis: int, folder: Path, count: int) -> Iterator[NDArray]:
    """Yield a volume [X, Y, Z] in slabs [X, Y, n] along its last axis, the order of a NIfTI file.

    It lies in a file without a name meanwhile, which the system removes whatever ends the process. In memory there are
    one slab that comes and one that goes.

    Args:
        slabs: the volume in slabs along another axis, in order: [n, Y, Z] or [X, n, Z].
        axis: that axis, 0 or 1.
        folder: that has room for the whole volume.
        count: n, at most.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        number, dtype, rest = 0, np.dtype(np.uint8), (0, 0)
        for slab in slabs:
            # Of a slab along the last axis, each of these slices will have a part in one piece.
            slices = np.moveaxis(slab, (axis, 2), (0, 1))
            file.write(slices.tobytes())
            number, dtype, rest = number + len(slices), slices.dtype, slices.shape[1:]
        row = rest[1] * dtype.itemsize
        for start in range(0, rest[0], count):
            slab = np.empty((number, min(count, rest[0] - start), rest[1]), dtype)
            # Read and not mapped: the system would map the neighbourhood of every piece, as memory of this process.
            for index, part in enumerate(slab):
                file.seek((index * rest[0] + start) * row)
                file.readinto(part)
            yield np.moveaxis(slab, (0, 1), (axis, 2))
