"""From the layout of a file to the slices that a 2-D network sees, and back."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}


def slice_axis(
    shape: tuple[int, ...], affine: NDArray | None, plane: str, acquired_axis: int | None = None
) -> int | None:
    """Axis of the canonical (RAS+) volume along which it is cut into slices.

    Args:
        shape: spatial shape, without channels.
        affine: matrix of the volume, None for a raster.
        plane: "sagittal", "coronal" or "axial".
        acquired_axis: axis of the stored volume along which it was acquired, which counts more than ``plane``. A DICOM
            series is enhanced in the plane in which it was acquired: its slices may be thick, and each of its files
            has its own enhanced image, which a cut across them could not give.

    Returns:
        None for a raster and for a 2-D NIfTI image. A volume that is one voxel thin is cut along its thin axis,
        whatever ``plane`` says: it is one image, and no row of voxels.
    """
    if affine is None or len(shape) < 3:
        return None
    return volume_axis(shape, affine, plane, acquired_axis)


def volume_axis(shape: tuple[int, ...], affine: NDArray, plane: str, acquired_axis: int | None = None) -> int:
    """What :func:`slice_axis` gives for a volume, of three axes or more."""
    if acquired_axis is not None:
        return int(_orientation(affine)[acquired_axis, 0])
    canonical = [0, 0, 0]
    for axis, (target, _) in enumerate(_orientation(affine)):
        canonical[int(target)] = shape[axis]
    if 1 in canonical and canonical[PLANES[plane]] != 1:
        return 2 - canonical[::-1].index(1)
    return PLANES[plane]


def stored_axis(affine: NDArray, axis: int) -> int:
    """The axis of a stored volume that becomes ``axis`` of the canonical one."""
    return int(np.flatnonzero(_orientation(affine)[:, 0] == axis)[0])


def to_slices(pixels: NDArray, affine: NDArray | None, axis: int | None) -> NDArray:
    """Turn stored pixels into [C, H, W] or [C, H, W, S], the slices last.

    A volume is reoriented to RAS+ first (flips and permutations only), so that the network sees the same
    anatomy the same way round, however it was stored. [C, X, Y, Z, T] gives Z * T slices.
    """
    if axis is None or affine is None:
        return pixels
    canonical = _reorient(pixels, _orientation(affine))
    slices = np.moveaxis(canonical, axis + 1, 3)
    return slices.reshape(*slices.shape[:3], -1)


def from_slices(slices: NDArray, shape: tuple[int, ...], affine: NDArray | None, axis: int | None) -> NDArray:
    """Invert :func:`to_slices`; height and width may have grown by super-resolution.

    Args:
        slices: [C, H, W] or [C, H, W, S].
        shape: spatial shape of the source.
        affine: as given to :func:`to_slices`.
        axis: as given to :func:`to_slices`.
    """
    if axis is None or affine is None:
        return slices
    orientation = _orientation(affine)
    times = shape[3:]
    thickness = slices.shape[3] // int(np.prod(times, dtype=int))
    stacked = slices.reshape(*slices.shape[:3], thickness, *times)
    canonical = np.moveaxis(stacked, 3, axis + 1)
    inverse = np.empty_like(orientation)
    for stored, (target, flip) in enumerate(orientation):
        inverse[int(target)] = (stored, flip)
    return _reorient(canonical, inverse)


def repeated(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Repeat the values of an image to a finer grid over the same space.

    Args:
        values: as many axes as ``shape``.
        shape: each side a whole multiple of that of ``values``.

    Raises:
        ValueError: a side is no whole multiple.
    """
    for axis, (new, old) in enumerate(zip(shape, values.shape, strict=True)):
        if new % old:
            raise ValueError(f"shape: expected whole multiples of {values.shape}, found {shape}")
        if new != old:
            values = np.repeat(values, new // old, axis=axis)
    return values


def _orientation(affine: NDArray) -> NDArray:
    orientation = io_orientation(np.asarray(affine, dtype=float))
    # A degenerate matrix leaves axes without a direction: keep the stored order then.
    return orientation if np.isfinite(orientation).all() else np.array([[0, 1], [1, 1], [2, 1]], float)


def _reorient(pixels: NDArray, orientation: NDArray) -> NDArray:
    """Apply a NIfTI orientation to axes 1 to 3."""
    spatial_first = np.moveaxis(pixels, 0, -1)
    return np.moveaxis(apply_orientation(spatial_first, orientation), -1, 0)


def shown_slices(pixels: NDArray, affine: NDArray, axis: int | None) -> tuple[NDArray, NDArray[np.float64]]:
    """The slices of a volume as radiologists look at them, and where they lie.

    The patient's right is at the left of axial and coronal slices, anterior at the top or at the left, superior at the
    top.

    Args:
        pixels: [C, X, Y], [C, X, Y, Z] or [C, X, Y, Z, T].
        affine: matrix from stored indices to RAS+ millimetres.
        axis: axis of the canonical volume along which it is cut; None for a 2-D image.

    Returns:
        [S, H, W, C], the T times of a slice behind one another, and the matrix from (column, row, slice) to RAS+.
    """
    volume = pixels[..., None] if pixels.ndim == 3 else pixels
    orientation = _orientation(affine)
    axis = int(orientation[2, 0]) if axis is None else axis
    canonical = affine @ inv_ornt_aff(orientation, volume.shape[1:4])
    columns, rows = (other for other in range(3) if other != axis)
    slices = to_slices(volume, affine, axis)
    order = np.zeros((4, 4))
    order[columns, 0] = order[rows, 1] = -1
    order[axis, 2] = order[3, 3] = 1
    order[columns, 3], order[rows, 3] = slices.shape[1] - 1, slices.shape[2] - 1
    return slices[:, ::-1, ::-1].transpose(3, 2, 1, 0), canonical @ order
