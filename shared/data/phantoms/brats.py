"""Phantom BraTS: brains with a tumour each, in the layout of 2020.

In T1 with contrast agent the tumour has no grey value of its own: its rim is as bright as vessels, its core as dark as
the ventricles, the oedema like grey matter. What tells it is the ring around the core, and that it lies inside.
"""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, rfftn
from scipy.ndimage import fourier_gaussian, gaussian_filter

Array = NDArray[np.float64]

#: Numbers of the cases. The mask of case 355 has another name, as in the real data.
CASES = (*range(1, 12), 355)
SIZE, SLICES = 144, 16

_OUTSIDE, _GREY, _WHITE, _FLUID, _VESSEL, _CORE, _OEDEMA, _RIM = range(8)
_LABELS = np.array([0, 0, 0, 0, 0, 1, 2, 4], np.uint8)
#: Brightness of each tissue, in the order above.
_BRIGHTNESS = {
    "t1": (0, 0.50, 0.70, 0.18, 0.35, 0.25, 0.52, 0.55),
    "t1ce": (0, 0.50, 0.70, 0.18, 1.00, 0.22, 0.52, 1.00),
    "t2": (0, 0.60, 0.42, 1.00, 0.20, 0.85, 0.85, 0.65),
    "flair": (0, 0.60, 0.48, 0.12, 0.25, 0.45, 0.95, 0.70),
}
#: BraTS stores voxels of 1 mm from right to left and from anterior to posterior.
_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, SIZE - 1], [0, 0, 1, 0], [0, 0, 0, 1]])


def write(folder: Path) -> None:
    """Write ``MICCAI_BraTS2020_TrainingData`` into ``folder``: the same files whenever it is called.

    Each case has int16 volumes t1, t1ce, t2 and flair of 144×144×16 voxels, 0 outside the brain, and labels 0, 1, 2, 4
    as uint8. Every case has a brightness of its own, as every scanner has. Brains are flattened to 14 slices.
    """
    for number in CASES:
        rng = np.random.default_rng([2020, number])
        tissue = _draw(rng)
        case = folder / "MICCAI_BraTS2020_TrainingData" / f"BraTS20_Training_{number:03d}"
        case.mkdir(parents=True)
        for modality, brightness in _BRIGHTNESS.items():
            _save(case / f"{case.name}_{modality}.nii.gz", _scan(rng, tissue, np.array(brightness)))
        mask = "W39_1998.09.19_Segm.nii" if number == 355 else f"{case.name}_seg.nii.gz"
        _save(case / mask, _LABELS[tissue])


def _save(path: Path, volume: NDArray) -> None:
    """Write [X, Y, Z], from left to right, posterior to anterior, inferior to superior."""
    nibabel.save(nibabel.Nifti1Image(volume[::-1, ::-1], _AFFINE), path)  # type: ignore[attr-defined]


def _draw(rng: np.random.Generator) -> NDArray[np.int64]:
    """The tissue of each voxel [X, Y, Z]."""
    side = np.linspace(-1, 1, SIZE)
    x, y, z = np.meshgrid(side, side, np.linspace(-1.1, 1.1, SLICES), indexing="ij")
    shape = rng.uniform(0.95, 1.05, 2) * (0.70, 0.85)
    depth = 1 - np.sqrt((x / shape[0]) ** 2 + (y / shape[1]) ** 2 + z**2) * (1 + 0.02 * _smooth_noise(rng, 24))
    folds = _smooth_noise(rng, 7)
    tissue = np.where(depth > 0.16 + 0.07 * folds, _WHITE, _GREY)
    tissue[(depth < 0.10 + 0.08 * folds) & (folds > 0.9)] = _FLUID
    tissue[(np.abs(x) < 0.014) & (depth < 0.4)] = _FLUID
    for sign in (-1, 1):
        bend = sign * x - rng.uniform(0.11, 0.16) - 0.15 * y**2
        tissue[(bend / 0.06) ** 2 + ((y - 0.02) / 0.32) ** 2 + (z / 0.55) ** 2 < 1] = _FLUID
    for _ in range(14):
        place, slope, width = rng.uniform(-0.65, 0.65, 2), rng.uniform(-0.08, 0.08, 2), rng.uniform(0.02, 0.045)
        tissue[np.hypot(x - place[0] - slope[0] * z, y - place[1] - slope[1] * z) < width] = _VESSEL

    centre = (rng.choice([-1, 1]) * rng.uniform(0.22, 0.38), rng.uniform(-0.4, 0.4), rng.uniform(-0.3, 0.3))
    radius = rng.uniform(0.24, 0.34)
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (0.55 * (z - centre[2])) ** 2) / radius
    distance *= 1 + 0.12 * _smooth_noise(rng, 16)
    tissue[(distance < 1) & np.isin(tissue, (_WHITE, _GREY))] = _OEDEMA
    tissue[distance < 0.66] = _RIM
    tissue[distance < 0.66 - rng.uniform(0.14, 0.22)] = _CORE
    tissue[depth < 0] = _OUTSIDE
    return tissue


def _scan(rng: np.random.Generator, tissue: NDArray[np.int64], brightness: Array) -> NDArray[np.int16]:
    """One modality: tissues with blurred borders, texture, a slow change over the head, and a scanner's own units."""
    values = gaussian_filter(brightness[tissue], (0.7, 0.7, 0.2))
    values *= 1 + 0.05 * _smooth_noise(rng, 5) + 0.06 * _smooth_noise(rng, 60)
    values += rng.normal(0, 0.01, values.shape)
    units = 10 ** rng.uniform(2.4, 3.3)
    # No voxel of the brain is 0: that is what lies outside.
    return np.where(tissue == _OUTSIDE, 0, np.rint(values * units).clip(1, 32767)).astype(np.int16)


def _smooth_noise(rng: np.random.Generator, cell: float) -> Array:
    """Noise [X, Y, Z] of unit variance that changes over ``cell`` voxels in plane, and less over slices."""
    spectrum = rfftn(rng.normal(size=(SIZE, SIZE, SLICES)))
    noise = irfftn(fourier_gaussian(spectrum, (cell / 2, cell / 2, 1.5), SLICES), (SIZE, SIZE, SLICES))
    return np.asarray(noise / noise.std())
