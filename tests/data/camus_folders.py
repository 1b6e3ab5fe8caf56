"""A tiny CAMUS in the layout of either archive, that tests may damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from shared.data import camus

SIZE = (12, 9)
"""(H, W) of the written frames."""


def pixels(number: int, frame: int) -> np.ndarray:
    return np.random.default_rng([number, frame]).integers(0, 256, SIZE, dtype=np.uint8)


def labels(number: int, frame: int) -> np.ndarray:
    return np.random.default_rng([number, frame, 1]).integers(0, 4, SIZE, dtype=np.uint8)


def write_nifti(plane: np.ndarray, stem: Path, compressed: bool = True) -> None:
    nibabel.save(nibabel.Nifti1Image(plane.T, np.eye(4)), f"{stem}.nii{'.gz' if compressed else ''}")


def write_meta_image(plane: np.ndarray, stem: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(plane[None]), f"{stem}.mhd")


def quality(number: int, view: str) -> str:
    """The 2CH view of every third patient is poor, the 4CH view never; a fifth are good in both."""
    return "Poor" if view == "2CH" and number % 3 == 0 else "Good" if number % 5 == 0 else "Medium"


def write_camus(
    root: Path, write: Callable[[np.ndarray, Path], None] = write_nifti, patients: int = 40, newline: str = "\n",
    last: str = "\n", pixel_files: bool = True,
) -> Path:
    """Patients' folders as both archives have them, with a film (``_half_sequence``) and hidden files."""
    for number in range(1, patients + 1):
        folder = root / f"patient{number:04d}"
        folder.mkdir(parents=True)
        for frame, name in enumerate(f"{view}_{phase}" for view in camus.VIEWS for phase in camus.PHASES):
            stem = folder / f"{folder.name}_{name}"
            if pixel_files:
                write(pixels(number, frame), stem)
                write(labels(number, frame), Path(f"{stem}_gt"))
            else:  # empty: opening one would be an error
                Path(f"{stem}.nii.gz").touch()
                Path(f"{stem}_gt.nii.gz").touch()
        for view in camus.VIEWS:
            lines = ["ED: 1", "ES: 18", "NbFrame: 18", "Sex: F", f"ImageQuality: {quality(number, view)}", "EF: 57"]
            (folder / f"Info_{view}.cfg").write_bytes((newline.join(lines) + last).encode())
            for film in ("half_sequence", "half_sequence_gt"):
                (folder / f"{folder.name}_{view}_{film}.nii.gz").touch()
        (folder / f"._{folder.name}_2CH_ED.nii.gz").touch()
    return root


def write_split(folder: Path, patients: int = 40, newline: str = "\n") -> Path:
    folder.mkdir(parents=True)
    names = [f"patient{number:04d}" for number in range(1, patients + 1)]
    for name, part in {"training": names[8:], "validation": names[4:8], "testing": names[:4]}.items():
        (folder / f"subgroup_{name}.txt").write_bytes(newline.join(part).encode())
    return folder


@pytest.fixture
def make_camus(tmp_path: Path) -> Callable[[], Path]:
    """Write ten patients in the new layout, with the official split."""

    def make() -> Path:
        write_camus(tmp_path / "camus" / "database_nifti", patients=10)
        write_split(tmp_path / "camus" / "database_split", patients=10)
        return tmp_path / "camus"

    return make
