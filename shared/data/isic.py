"""ISIC dermoscopy images: 2018 Task 1 (lesion masks), 2018 Task 3 (diagnoses), 2017 (both)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.data.folders import existing_dataset, files_by_stem, find_file, find_folder, read_table, require_all
from shared.data.locations import SOURCES
from shared.data.splits import check_choice, select_section
from shared.errors import InputError

#: Diagnoses of Task 3 in the order of its columns, and of the 2017 set (nevus: neither column is 1).
CLASSES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
CLASSES_2017 = ("nevus", "melanoma", "seborrheic_keratosis")
AUXILIARIES = ("diagnosis", "segmentation", "both")

_IMAGES = (".jpg", ".jpeg", ".png")
_SOURCE = SOURCES["isic"]


def class_names(auxiliary: str) -> tuple[str, ...]:
    """Names of the classes of ``class`` items, in the order of their indices; empty for segmentation.

    Raises:
        InputError: unknown auxiliary.
    """
    check_choice("auxiliary", auxiliary, AUXILIARIES)
    return {"diagnosis": CLASSES_2018, "segmentation": (), "both": CLASSES_2017}[auxiliary]


def num_classes(auxiliary: str) -> int:
    """Output channels of the diagnosis network: 7 for "diagnosis", 3 for "both", 0 for "segmentation"."""
    return len(class_names(auxiliary))


def num_mask_classes(auxiliary: str) -> int:
    """Output channels of the segmentation network, with background: 2, or 0 for "diagnosis"."""
    check_choice("auxiliary", auxiliary, AUXILIARIES)
    return 0 if auxiliary == "diagnosis" else 2


def datalist(
    dataset_dir: str | os.PathLike[str], section: str, auxiliary: str = "diagnosis", seed: int = 0
) -> list[dict[str, Any]]:
    """List the images of one section with what the auxiliary task needs; no image is opened.

    Task 1 and Task 3 share no image, so the auxiliary decides which set is read: "segmentation" reads 2018 Task 1,
    "diagnosis" 2018 Task 3, "both" the 2017 training set. 20 % of the groups are test, 10 % of the others
    validation. The group is the lesion in Task 3; the other sets do not tell lesions, there it is the image.

    Args:
        dataset_dir: the folder the archives were unpacked into; ``<name>/`` and ``<name>/<name>/`` both do.
        section: "training", "validation" or "test".
        auxiliary: "diagnosis", "segmentation" or "both".
        seed: of the split.

    Returns:
        Sorted by id; keys ``id``, ``group``, ``label`` (image path), ``mask`` (path) and ``class`` (index into
        :func:`class_names`) as far as the auxiliary has them.

    Raises:
        InputError: folder missing or empty, images without mask, class or lesion, a table without its columns,
            unknown section or auxiliary.
    """
    check_choice("auxiliary", auxiliary, AUXILIARIES)
    root = existing_dataset(dataset_dir, _SOURCE)
    items = {"diagnosis": _task3, "segmentation": _task1, "both": _both}[auxiliary](root)
    return select_section(items, section, seed=seed)


def _task1(root: Path) -> list[dict[str, Any]]:
    images = _images(root, "ISIC2018_Task1-2_Training_Input")
    masks = _masks(root, ["ISIC2018_Task1_Training_GroundTruth"], images)
    return [{"id": name, "group": name, "label": path, "mask": masks[name]} for name, path in images.items()]


def _task3(root: Path) -> list[dict[str, Any]]:
    truth = "ISIC2018_Task3_Training_GroundTruth"
    images = _images(root, "ISIC2018_Task3_Training_Input")
    table = find_file(root, f"{truth}.csv", [truth], _SOURCE)
    classes = {
        row["image"]: _one_hot(row, CLASSES_2018, row["image"], table)
        for row in read_table(table, ("image", *CLASSES_2018))
    }
    require_all(images, classes, "class", table)
    grouping = "ISIC2018_Task3_Training_LesionGroupings.csv"
    groupings = find_file(root, grouping, [truth, "ISIC2018_Task3_Training_Input"], _SOURCE)
    lesions = {row["image"]: row["lesion_id"] for row in read_table(groupings, ("image", "lesion_id"))}
    require_all(images, (name for name, lesion in lesions.items() if lesion), "lesion_id", groupings)
    return [
        {"id": name, "group": lesions[name], "label": path, "class": classes[name]} for name, path in images.items()
    ]


def _both(root: Path) -> list[dict[str, Any]]:
    truth = "ISIC-2017_Training_Part3_GroundTruth"
    images = _images(root, "ISIC-2017_Training_Data")
    masks = _masks(root, ["ISIC-2017_Training_Part1_GroundTruth"], images)
    table = find_file(root, f"{truth}.csv", [truth], _SOURCE)
    classes = {}
    for row in read_table(table, ("image_id", *CLASSES_2017[1:])):
        values = _numbers(row, CLASSES_2017[1:], row["image_id"], table)
        classes[row["image_id"]] = _position([1.0 - sum(values), *values], row["image_id"], table)
    require_all(images, classes, "class", table)
    return [
        {"id": name, "group": name, "label": path, "mask": masks[name], "class": classes[name]}
        for name, path in images.items()
    ]


def _images(root: Path, name: str) -> dict[str, str]:
    """Image id to path; the 2017 archive keeps superpixel drawings beside the images."""
    found = files_by_stem(find_folder(root, [name], _SOURCE), _IMAGES, _SOURCE)
    return {stem: path for stem, path in found.items() if not stem.endswith(("_superpixels", "_segmentation"))}


def _masks(root: Path, names: Sequence[str], images: Mapping[str, str]) -> dict[str, str]:
    folder = find_folder(root, names, _SOURCE)
    masks = files_by_stem(folder, (".png",), _SOURCE, suffix="_segmentation")
    require_all(images, masks, "mask '<id>_segmentation.png'", folder)
    return masks


def _one_hot(row: Mapping[str, str], columns: Sequence[str], name: str, table: Path) -> int:
    return _position(_numbers(row, columns, name, table), name, table)


def _numbers(row: Mapping[str, str], columns: Sequence[str], name: str, table: Path) -> list[float]:
    try:
        return [float(row[column]) for column in columns]
    except ValueError as err:
        raise InputError(f"'{table}': image '{name}': {err} in columns {', '.join(columns)}") from err


def _position(values: Sequence[float], name: str, table: Path) -> int:
    if sorted(values) != [0.0] * (len(values) - 1) + [1.0]:
        raise InputError(f"'{table}': image '{name}' must have one class, found {list(values)}")
    return list(values).index(1.0)
