"""NIfTI files for tests: noise in an oblique space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import nibabel.eulerangles
import numpy as np

RNG = np.random.default_rng(6)
TILTED = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.1, -0.2, 0.3) @ np.diag([-1.5, 2.0, 3.0]), [10, -20, 30]
)


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, 250 if dtype == "uint8" else 4000, shape).astype(dtype)


def nifti(path: str | Path) -> Any:
    return nibabel.Nifti1Image.from_filename(path)


def save_nifti(
    path: Path, values: np.ndarray, affine: np.ndarray = TILTED, scale: tuple[float, float] = (1, 0)
) -> Path:
    volume = nibabel.Nifti1Image(values, affine)
    volume.header.set_slope_inter(*scale)
    nibabel.save(volume, path)
    return path
