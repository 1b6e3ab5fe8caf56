"""From the layout of a file to the slices that a 2-D network sees, and back."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}


def slice_axis(shape: tuple[int, ...], affine: NDArray | None, plane: str) -> int | None:
    """Axis of the canonical (RAS+) volume along which it is cut into slices.

    Args:
        shape: spatial shape, without channels.
        affine: matrix of the volume, None for a raster.
        plane: "sagittal", "coronal" or "axial".

    Returns:
        None for a raster and for a 2-D NIfTI image. A volume that is one voxel thin is cut along its thin axis,
        whatever ``plane`` says: it is one image, and no row of voxels.
    """
    if affine is None or len(shape) < 3:
        return None
    canonical = [0, 0, 0]
    for axis, (target, _) in enumerate(_orientation(affine)):
        canonical[int(target)] = shape[axis]
    if 1 in canonical and canonical[PLANES[plane]] != 1:
        return 2 - canonical[::-1].index(1)
    return PLANES[plane]


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


def _orientation(affine: NDArray) -> NDArray:
    orientation = io_orientation(np.asarray(affine, dtype=float))
    # A degenerate matrix leaves axes without a direction: keep the stored order then.
    return orientation if np.isfinite(orientation).all() else np.array([[0, 1], [1, 1], [2, 1]], float)


def _reorient(pixels: NDArray, orientation: NDArray) -> NDArray:
    """Apply a NIfTI orientation to axes 1 to 3."""
    spatial_first = np.moveaxis(pixels, 0, -1)
    return np.moveaxis(apply_orientation(spatial_first, orientation), -1, 0)
