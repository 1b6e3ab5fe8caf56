"""Phantom ISIC: 2018 Task 1, 2018 Task 3 and the 2017 training set, in the layout of the unpacked archives."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from shared.data.phantoms.skin import STRUCTURES, Lesion, draw, random_lesion

#: Structure to diagnosis: three of the seven columns of Task 3, and the three classes of 2017, have images.
DIAGNOSES_2018 = dict(zip(STRUCTURES, ("NV", "MEL", "BKL"), strict=True))
DIAGNOSES_2017 = dict(zip(STRUCTURES, ("nevus", "melanoma", "seborrheic_keratosis"), strict=True))
COLUMNS_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")

TASK1_IMAGES = 240
TASK3_LESIONS = 210
BOTH_IMAGES = 400

_NOTE = "Synthetic images drawn by a program, made to try the software. They show no patient and are no result.\n"


def write(folder: Path) -> None:
    """Write the three sets into ``folder``: the same files whenever it is called.

    Images are JPEG, about 120×96 to 160×128; masks are 8-bit PNG of 0 and 255; tables hold one-hot floats. Classes
    are about equally frequent, and a lesion of Task 3 has one to three images. The input folder of Task 1 is nested
    (``<name>/<name>/``) as some unpackers leave it.
    """
    _write_task1(folder, np.random.default_rng(20181))
    _write_task3(folder, np.random.default_rng(20183))
    _write_both(folder, np.random.default_rng(2017))


def _write_task1(folder: Path, rng: np.random.Generator) -> None:
    name = "ISIC2018_Task1-2_Training_Input"
    images = _archive(folder / name / name)
    masks = _archive(folder / "ISIC2018_Task1_Training_GroundTruth")
    for number in range(TASK1_IMAGES):
        lesion = random_lesion(rng, STRUCTURES[number % len(STRUCTURES)])
        _write_image(lesion, rng, f"ISIC_{2 * number:07d}", images, masks)


def _write_task3(folder: Path, rng: np.random.Generator) -> None:
    images = _archive(folder / "ISIC2018_Task3_Training_Input")
    truth = _archive(folder / "ISIC2018_Task3_Training_GroundTruth")
    classes: list[list[object]] = []
    lesions: list[list[object]] = []
    image_number = 24306
    for number in range(TASK3_LESIONS):
        structure = STRUCTURES[number % len(STRUCTURES)]
        lesion = random_lesion(rng, structure)
        for _ in range(1 + (number // len(STRUCTURES)) % 3):
            image_id = f"ISIC_{image_number:07d}"
            image_number += 1
            _write_image(lesion, rng, image_id, images)
            classes.append([image_id, *(float(column == DIAGNOSES_2018[structure]) for column in COLUMNS_2018)])
            lesions.append([image_id, f"HAM_{number:07d}", "histopathology"])
    _write_table(truth / "ISIC2018_Task3_Training_GroundTruth.csv", ["image", *COLUMNS_2018], classes)
    groupings = folder / "ISIC2018_Task3_Training_LesionGroupings.csv"
    _write_table(groupings, ["image", "lesion_id", "diagnosis_confirm_type"], lesions)


def _write_both(folder: Path, rng: np.random.Generator) -> None:
    images = _archive(folder / "ISIC-2017_Training_Data")
    masks = _archive(folder / "ISIC-2017_Training_Part1_GroundTruth")
    classes: list[list[object]] = []
    for number in range(BOTH_IMAGES):
        structure = STRUCTURES[number % len(STRUCTURES)]
        image_id = f"ISIC_{2 * number + 1:07d}"
        _write_image(random_lesion(rng, structure), rng, image_id, images, masks)
        diagnosis = DIAGNOSES_2017[structure]
        classes.append([image_id, float(diagnosis == "melanoma"), float(diagnosis == "seborrheic_keratosis")])
    header = ["image_id", "melanoma", "seborrheic_keratosis"]
    _write_table(folder / "ISIC-2017_Training_Part3_GroundTruth.csv", header, classes)


def _archive(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("ATTRIBUTION.txt", "LICENSE.txt"):
        (folder / name).write_text(_NOTE, encoding="utf-8")
    return folder


def _write_image(
    lesion: Lesion, rng: np.random.Generator, image_id: str, images: Path, masks: Path | None = None
) -> None:
    height = 8 * int(rng.integers(12, 17))
    pixels, mask = draw(lesion, rng, height, round(height * 1.25))
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(images / f"{image_id}.jpg", quality=92)
    if masks is not None:
        Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{image_id}_segmentation.png")


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
