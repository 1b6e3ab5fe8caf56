"""Tiny sets in the layouts of BraTS and of the Decathlon's Task01, with the same volumes in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.data.phantoms import brats as phantom
from tests.once import made_once

MODALITIES = ("t1", "t1ce", "t2", "flair")
#: Volumes of the Decathlon in their order, and its label of each of BraTS.
DECATHLON = ("flair", "t1", "t1ce", "t2")
DECATHLON_LABELS = {0: 0, 1: 2, 2: 1, 4: 3}
DESCRIPTION = {
    "name": "BRATS",
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}
SHAPE = (18, 22, 8)
#: As BraTS stores it: from right to left and from anterior to posterior.
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


def volume(number: int, modality: str, shape: tuple[int, ...] = SHAPE) -> NDArray[np.int16]:
    """A head [X, Y, Z], from left to right, posterior to anterior and inferior to superior; 0 outside."""
    rng = np.random.default_rng([number, MODALITIES.index(modality)])
    x, y, z = (np.linspace(-1.2, 1.2, side) for side in shape)
    inside = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z**2 < 1
    return np.where(inside, rng.integers(1, 900 + 40 * number, shape), 0).astype(np.int16)


def labels(number: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    """Labels 0, 1, 2, 4 in the middle."""
    rng = np.random.default_rng([number, 7])
    drawn = np.zeros(shape, np.uint8)
    middle = tuple(slice(side // 3, side - side // 3) for side in shape)
    drawn[middle] = rng.choice([0, 1, 2, 4], drawn[middle].shape)
    return drawn


def save(path: Path, values: NDArray[Any], affine: NDArray[Any] = AFFINE) -> None:
    """Write [X, Y, Z, ...], with the axes turned as the matrix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = values[tuple(slice(None, None, int(sign)) for sign in np.diag(affine)[:3])]
    nibabel.save(nibabel.Nifti1Image(turned, affine), path)


def write_case(folder: Path, number: int, suffix: str = ".nii.gz", mask: str | None = None) -> Path:
    """Write the case ``folder.name`` and the hidden files that some archives hold."""
    for modality in MODALITIES:
        save(folder / f"{folder.name}_{modality}{suffix}", volume(number, modality))
    save(folder / (mask or f"{folder.name}_seg{suffix}"), labels(number))
    (folder / f"._{folder.name}_t1ce{suffix}").write_bytes(b"hidden")
    return folder


def write_brats(root: Path, cases: int = 5, name: str = "BraTS20_Training_{:03d}", **form: Any) -> Path:
    """Write cases 1, 2, … in folders below ``root``."""
    for number in range(1, cases + 1):
        write_case(root / name.format(number), number, **form)
    (root / "survival_info.csv").write_text("Brats20ID,Age\n")
    (root / "._BraTS20_Training_001").write_bytes(b"hidden")
    return root


def write_decathlon(root: Path, cases: int = 5, description: dict[str, Any] | None = DESCRIPTION) -> Path:
    """Write Task01 with the same cases; the order of its volumes and its labels are the Decathlon's own."""
    for number in range(1, cases + 1):
        name = f"BRATS_{number:03d}.nii.gz"
        stacked = np.stack([volume(number, modality) for modality in DECATHLON], axis=-1)
        save(root / "imagesTr" / name, stacked.astype(np.float32), np.eye(4))
        drawn = labels(number)
        for label, other in DECATHLON_LABELS.items():
            drawn[labels(number) == label] = other
        save(root / "labelsTr" / name, drawn, np.eye(4))
        (root / "imagesTr" / f"._{name}").write_bytes(b"hidden")
    (root / "imagesTs").mkdir()
    if description is not None:
        (root / "dataset.json").write_text(json.dumps(description))
    return root


def write_both_grades(root: Path) -> Path:
    """Write cases of both grades, as in 2018 and 2019."""
    for number in range(1, 6):
        grade, site = ("HGG", "CBICA") if number < 4 else ("LGG", "TCIA10")
        write_case(root / grade / f"Brats18_{site}_{number:03d}_1", number)
    return root


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "2018": write_both_grades,
    "2018, nested": lambda root: write_both_grades(root / "MICCAI_BraTS_2018_Data_Training"),
    "2019, nested twice": lambda root: write_both_grades(root / "MICCAI_BraTS_2019" / "MICCAI_BraTS_2019"),
    "2020": write_brats,
    "2020, nested, not compressed": lambda root: write_brats(
        root / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData", suffix=".nii"
    ),
    "2020, mask of case 355": lambda root: write_brats(root, mask="W39_1998.09.19_Segm.nii"),
    "2021": lambda root: write_brats(root, name="BraTS2021_{:05d}"),
    "Decathlon": write_decathlon,
    "Decathlon beside another task": lambda root: (
        write_decathlon(root / "Task01_BrainTumour"),
        save(root / "Task04_Hippocampus" / "imagesTr" / "hippocampus_001.nii.gz", volume(1, "t1")),
    ),
    "Decathlon without description": lambda root: write_decathlon(root, description=None),
}


@pytest.fixture(scope="session")
def phantom_brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantom_brats", phantom.write)
