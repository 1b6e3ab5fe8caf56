"""A phantom Lizard that is written once per test run, and tiny real-layout sets that tests may damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from shared.data.phantoms import lizard as phantom
from tests.once import made_once

STEMS = [f"{('consep', 'crag', 'dpath', 'glas')[n % 4]}_{n}" for n in range(24)]
SIZE = (40, 52)
"""Height and width of an image: 2 x 3 patches of 16 pixels, and a rest."""


def write_labels(path: Path, nuclei: Sequence[tuple[int, int, int, int]], size: tuple[int, int] = SIZE) -> None:
    """Write a label file with nuclei of 3 x 3 pixels, each (id, class, row, column); tables keep their order."""
    instances = np.zeros(size, np.int32)
    for number, _, row, column in nuclei:
        instances[row - 1 : row + 2, column - 1 : column + 2] = number
    tables = {
        "inst_map": instances,
        "id": np.array([[n[0]] for n in nuclei]),
        "class": np.array([[n[1]] for n in nuclei]),
        "bbox": np.array([[r - 1, r + 2, c - 1, c + 2] for _, _, r, c in nuclei]),
        "centroid": np.array([[float(c), float(r)] for _, _, r, c in nuclei]),
    }
    savemat(path, tables)


@pytest.fixture(scope="session")
def phantom_lizard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantom_lizard", phantom.write)


@pytest.fixture
def make_lizard(tmp_path: Path) -> Callable[..., Path]:
    """Write 24 images with three nuclei each; ``missing`` levels of nesting are left out."""

    def make(missing: Sequence[str] = (), newline: str = "\r\n") -> Path:
        root = tmp_path / "lizard"

        def folder(*parts: str) -> Path:
            path = root.joinpath(*(part for part in parts if part not in missing))
            path.mkdir(parents=True, exist_ok=True)
            return path

        labels = folder("lizard_labels", "Lizard_Labels", "Labels")
        for number, stem in enumerate(STEMS):
            part = 1 if stem.startswith("c") else 2
            images = folder(f"lizard_images{part}", f"Lizard_Images{part}")
            Image.fromarray(np.full((*SIZE, 3), 10 * number, np.uint8)).save(images / f"{stem}.png")
            first, second = 1 + number % 6, 1 + (number + 1) % 6
            # Rows by falling id, ids with gaps: position and id never agree.
            write_labels(labels / f"{stem}.mat", [(9, first, 5, 20), (7, first, 10, 24), (2, second, 8, 30)])
        rows = [["Filename", "Source", "Split"], *([s, s.split("_")[0], str(1 + n % 3)] for n, s in enumerate(STEMS))]
        table = folder("lizard_labels", "Lizard_Labels") / "info.csv"
        table.write_text(newline.join(map(",".join, rows)), newline="")
        return root

    return make
