"""A phantom ISIC that is written once per test run, and a tiny real-layout set that tests may damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.data.phantoms import isic as phantom
from tests.data.covid_ct_folders import make_covid_ct, phantom_covid_ct  # noqa: F401
from tests.data.lizard_folders import make_lizard, phantom_lizard  # noqa: F401
from tests.data.own_folders import clean  # noqa: F401
from tests.once import made_once

CLASSES = "MEL,NV,BCC,AKIEC,BKL,DF,VASC"


@pytest.fixture(scope="session")
def phantom_isic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantom_isic", phantom.write)


def write_image(path: Path, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 128, np.uint8)).save(path)


def write_mask(path: Path, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), 255, np.uint8)).save(path)


@pytest.fixture
def make_isic(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny ISIC: 20 images per set, two per lesion in Task 3, flat or nested, with any line ending."""

    def make(nested: bool = False, newline: str = "\n", pad: str = "", bom: str = "") -> Path:
        root = tmp_path / "isic"

        def folder(name: str) -> Path:
            return root / name / name if nested else root / name

        def table(path: Path, header: str, rows: list[list[object]]) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [header.replace(",", f"{pad},{pad}")]
            lines += [f"{pad},{pad}".join(str(cell) for cell in row) for row in rows]
            path.write_text(bom + newline.join(lines), encoding="utf-8", newline="")

        ids = [f"ISIC_{number:07d}" for number in range(20)]
        for name in ids:
            write_image(folder("ISIC2018_Task1-2_Training_Input") / f"{name}.jpg")
            write_mask(folder("ISIC2018_Task1_Training_GroundTruth") / f"{name}_segmentation.png")
            write_image(folder("ISIC2018_Task3_Training_Input") / f"{name}.jpg")
            write_image(folder("ISIC-2017_Training_Data") / f"{name}.jpg")
            write_image(folder("ISIC-2017_Training_Data") / f"{name}_superpixels.png")
            write_mask(folder("ISIC-2017_Training_Part1_GroundTruth") / f"{name}_segmentation.png")
        for archive in root.iterdir():
            for note in ("ATTRIBUTION.txt", "LICENSE.txt", "._ISIC_0000000.jpg"):
                (folder(archive.name) / note).write_text("note")
        one_hot = [[float(k == n % 7) for k in range(7)] for n in range(20)]
        truth = folder("ISIC2018_Task3_Training_GroundTruth") / "ISIC2018_Task3_Training_GroundTruth.csv"
        table(truth, f"image,{CLASSES}", [[name, *row] for name, row in zip(ids, one_hot, strict=True)])
        groupings = root / "ISIC2018_Task3_Training_LesionGroupings.csv"
        rows = [[name, f"HAM_{n // 2:07d}", "follow_up"] for n, name in enumerate(ids)]
        table(groupings, "image,lesion_id,diagnosis_confirm_type", rows)
        both = [[name, float(n % 3 == 1), float(n % 3 == 2)] for n, name in enumerate(ids)]
        table(root / "ISIC-2017_Training_Part3_GroundTruth.csv", "image_id,melanoma,seborrheic_keratosis", both)
        return root

    return make
