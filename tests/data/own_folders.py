"""A person's own folder, made on the spot."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(0)


def write_grey(path: Path, size: tuple[int, int] = (20, 24), kind: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, np.iinfo(kind).max, size).astype(kind)).save(path)


def write_mask(path: Path, values: tuple[int, ...] = (0, 255), size: tuple[int, int] = (20, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = np.resize(np.array(values, np.uint8), size[0] * size[1]).reshape(size)
    Image.fromarray(plane).save(path)


def write_table(path: Path, *rows: tuple[str, ...]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_volume(path: Path, shape: tuple[int, int, int] = (20, 22, 6), affine: np.ndarray | None = None) -> np.ndarray:
    """An int16 volume whose first and last axial slice are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = RNG.integers(-1000, 2000, shape).astype(np.int16)
    volume[..., [0, -1]] = -1000
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine), path)
    return volume


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Ten grey images with masks and a table of classes and groups, two images per group."""
    root = tmp_path / "clean"
    rows = [("image", "class", "group")]
    for number in range(10):
        write_grey(root / "images" / f"scan{number}.png", kind=np.uint16 if number % 2 else np.uint8)
        write_mask(root / "masks" / f"scan{number}.png")
        rows.append((f"scan{number}.png", ("benign", "malign")[number % 2], f"patient{number // 2}"))
    write_table(root / "classes.csv", *rows)
    (root / "README.txt").write_text("no image")
    (root / "images" / ".hidden.png").write_text("no image")
    return root
