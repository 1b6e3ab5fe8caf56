"""Phantom of a person's own folder: grey images of spots with masks, classes and groups, in mixed formats."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from shared.data.phantoms.skin import STRUCTURES, draw, random_lesion

SUBJECTS = 40


def write(folder: Path) -> None:
    """Write ``images``, ``masks`` and ``classes.csv`` into ``folder``: the same files whenever it is called.

    Each subject has one or two images of about 96×80 to 128×108 pixels, 8-bit or (every fourth) 16-bit PNG; masks are
    PNG of 0 and 255. The class lies in the structure of the spot alone.
    """
    rng = np.random.default_rng(7)
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    rows: list[tuple[str, str, str]] = []
    for number in range(SUBJECTS):
        structure = STRUCTURES[number % len(STRUCTURES)]
        lesion = random_lesion(rng, structure)
        for view in range(1 + number % 2):
            name = f"subject{number:02d}_{view}"
            height = 8 * int(rng.integers(10, 14))
            pixels, mask = draw(lesion, rng, height, round(height * 1.2))
            _write_grey(images / f"{name}.png", pixels.mean(-1), deep=number % 4 == 3)
            Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{name}.png")
            rows.append((f"{name}.png", structure, f"subject{number:02d}"))
    with open(folder / "classes.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "class", "group"), *rows])


def _write_grey(path: Path, values: np.ndarray, deep: bool) -> None:
    kind = np.uint16 if deep else np.uint8
    Image.fromarray(np.rint(values * np.iinfo(kind).max).astype(kind)).save(path)
