"""What a NIfTI header says about space, and how far that can be true."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

_FLAT = 1e-3
"""Volume of the box that three unit vectors span, below which they are no axes of a volume."""
_ROUNDING = 1e-3


class _HalfTurns:
    """Takes a quaternion longer than 1 for the half turn about its axis, as the reference implementation of NIfTI does.

    Nibabel refuses to read such a file, be it longer by rounding alone.
    """

    def get_qform_quaternion(self: Any) -> NDArray[np.float64]:
        """The unit quaternion (w, x, y, z)."""
        vector = np.array([self[f"quatern_{axis}"] for axis in "bcd"], float)
        length = np.linalg.norm(vector)
        return np.array([0, *vector / length]) if length > 1 else super().get_qform_quaternion()  # type: ignore[misc]


class _Header1(_HalfTurns, nibabel.Nifti1Header):
    pass


class _Header2(_HalfTurns, nibabel.Nifti2Header):
    pass


class Nifti1(nibabel.Nifti1Image):
    """A NIfTI-1 file."""

    header_class = _Header1


class Nifti2(nibabel.Nifti2Image):
    """A NIfTI-2 file."""

    header_class = _Header2


def place_of(header: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The matrix from voxel indices to RAS+ millimetres that a header means, and what is wrong with it.

    NIfTI prefers the sform to the qform. One that is no space (zeros, not finite, axes in one plane) is left out; where
    none is left, the image has the axes of its array, in its own voxel sizes. The header itself stays as it is.

    Returns:
        A matrix that can be inverted, and notes for a person.
    """
    stated = {
        "sform": header.get_sform() if header["sform_code"] else None,
        "qform": header.get_qform() if header["qform_code"] else None,
    }
    faults = [f"the {name} of the header {_fault(matrix)}" for name, matrix in stated.items() if _fault(matrix)]
    usable = [(name, matrix) for name, matrix in stated.items() if matrix is not None and not _fault(matrix)]
    length = float(np.linalg.norm([header[f"quatern_{axis}"] for axis in "bcd"]))
    if usable:
        name, affine = usable[0]
        if name == "qform" and length > 1 + _ROUNDING:
            faults.append(f"the quaternion of the header has the length {length:.4g}, taken for a half turn")
        elif faults:
            faults.append(f"the {name} is used")
        return affine, _joined(faults)
    base = header.get_base_affine()
    if not faults and not _fault(base):
        return base, ()
    faults = faults or [f"the voxel size of the header {_fault(base)}"]
    zooms = np.ones(3)
    found = np.array(header.get_zooms()[:3], float)
    zooms[: len(found)] = np.where(np.isfinite(found) & (found > 0), found, 1.0)
    return np.diag([*zooms, 1.0]), _joined([*faults, "enhanced in the order in which it is stored, geometry kept"])


def enlarge_space(header: Any, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    """Let a header of a grid of shape ``old`` speak of one of shape ``new`` over the same space.

    Both matrices and the voxel sizes change. When which slice was acquired (``slice_start`` and its like) is taken out
    where there are more slices now along that axis: it says nothing about them.
    """
    sform, qform = header.get_sform(), header.get_qform()
    if np.isfinite(sform).all():
        for axis, values in zip("xyz", grown_affine(sform, old, new)[:3], strict=True):
            header[f"srow_{axis}"] = values
    if np.isfinite(qform).all():
        # The rotation stays: only the sizes and the first voxel's centre are others.
        for axis, value in zip("xyz", grown_affine(qform, old, new)[:3, 3], strict=True):
            header[f"qoffset_{axis}"] = value
    count, sizes = min(3, len(old)), header["pixdim"].copy()
    sizes[1 : count + 1] *= np.array(old[:count]) / np.array(new[:count])
    header["pixdim"] = sizes
    acquired = header.get_dim_info()[2]
    if acquired is not None and acquired < count and new[acquired] != old[acquired]:
        for name in ("slice_start", "slice_end", "slice_code", "slice_duration"):
            header[name] = 0


def grown_affine(affine: NDArray, old: tuple[int, ...], new: tuple[int, ...]) -> NDArray:
    """The matrix of a grid of shape ``new`` that covers the same space as the grid of shape ``old``."""
    factors = np.ones(3)
    count = min(3, len(old))
    factors[:count] = np.array(old[:count]) / np.array(new[:count])
    grown = affine @ np.diag([*factors, 1.0])
    # Voxel centres move: the corner of the first voxel stays where it was.
    grown[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((factors - 1) / 2)
    return grown


def _joined(notes: list[str]) -> tuple[str, ...]:
    return ("; ".join(notes),) if notes else ()


def _fault(matrix: NDArray | None) -> str:
    """Why a matrix spans no space, as a part of a sentence; empty where it does."""
    if matrix is None:
        return ""
    if not np.isfinite(matrix).all():
        return "holds values that are not finite"
    axes = matrix[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not lengths.any():
        return "is zero"
    if not lengths.all() or abs(np.linalg.det(axes / lengths)) < _FLAT:
        return "is singular"
    return ""
