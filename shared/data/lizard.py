"""Lizard: colon tissue at 20x with nuclei of six classes, as patches at native resolution."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.folders import existing_dataset, files_by_stem, read_table, require_all
from shared.data.image_sizes import image_size
from shared.data.label_maps import EXTENSION, read_nuclei
from shared.data.locations import SOURCES
from shared.data.splits import SECTIONS, SPLITS, check_choice, split_groups
from shared.errors import InputError

#: Classes 1 to 6 of the label files; ``class`` items are indices into it, masks hold the index + 1 (0: no nucleus).
CLASSES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
AUXILIARIES = ("diagnosis", "segmentation", "both")
#: The fold of info.csv that is the test set of the official split.
TEST_FOLD = "3"

_IMAGES = (("lizard_images1", "Lizard_Images1"), ("lizard_images2", "Lizard_Images2"))
_LABELS = ("lizard_labels", "Lizard_Labels", "Labels")
_SOURCE = SOURCES["lizard"]
_logger = logging.getLogger("shared.data")


def datalist(
    dataset_dir: str | os.PathLike[str],
    section: str,
    auxiliary: str = "diagnosis",
    patch_size: int = 256,
    split: str = "official",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """List the patches of one section; image headers and tables of nuclei are read, no pixels.

    Each image is cut into squares that do not overlap, from its top left corner; what is left at the right and at
    the bottom belongs to no patch. A patch's class is the class of most nuclei whose centroid lies in it, the lower
    one of two that tie. A patch without nuclei has none: only "segmentation" keeps it.

    The file names tell the collection that an image was taken from, not the patient, and there are only five of
    them, all in every official fold: the group is the image.

    Args:
        dataset_dir: the folder the archives were unpacked into; one level of nesting less is fine.
        section: "training", "validation" or "test".
        auxiliary: "diagnosis", "segmentation" or "both".
        patch_size: side of a patch, in pixels.
        split: "official" takes fold 3 of info.csv for the test; without that file, and for "paper", 58 of 238
            images are drawn, as many as in the paper. 10 % of the other images validate.
        seed: of what is drawn.

    Returns:
        Sorted by image, then from top left to bottom right; keys ``id`` ("<stem>_<top>_<left>"), ``group`` (the
        stem), ``label`` (image path), ``box`` (top, left, height, width) and as the auxiliary needs them ``mask``
        (path of the label file) and ``class`` (index into `CLASSES`).

    Raises:
        InputError: folder missing or empty, image without label or fold, an image smaller than a patch, unreadable
            labels, a class that is none of the six, unknown section, auxiliary or split.
    """
    check_choice("auxiliary", auxiliary, AUXILIARIES)
    check_choice("section", section, SECTIONS)
    check_choice("split", split, SPLITS)
    root = existing_dataset(dataset_dir, _SOURCE)
    images = _images(root)
    folder = _folder(root, _LABELS, EXTENSION)
    labels = files_by_stem(folder, (EXTENSION,), _SOURCE)
    require_all(images, labels, f"label '<image>{EXTENSION}'", folder)
    sections = _sections(root, list(images), split, seed)
    items: list[dict[str, Any]] = []
    for stem, path in images.items():
        if sections[stem] == section:
            items += _patches(stem, path, labels[stem], patch_size, auxiliary)
    return items


def _images(root: Path) -> dict[str, str]:
    """Stem to path over both folders of images, sorted."""
    found: dict[str, str] = {}
    for parts in _IMAGES:
        part = files_by_stem(_folder(root, parts, ".png"), (".png",), _SOURCE)
        for stem in part.keys() & found.keys():
            raise InputError(f"'{part[stem]}' and '{found[stem]}' have the same name")
        found |= part
    return dict(sorted(found.items()))


def _places(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    """The nested folder, then the ones with levels left out, the deepest first."""
    for count in range(len(parts), 0, -1):
        for chosen in combinations(parts, count):
            yield root.joinpath(*chosen)


def _folder(root: Path, parts: Sequence[str], extension: str) -> Path:
    for folder in _places(root, parts):
        if folder.is_dir() and any(file.suffix.lower() == extension for file in folder.iterdir()):
            return folder
    raise InputError(f"no folder '{'/'.join(parts)}' with {extension} files in '{root}'; the data: {_SOURCE}")


def _sections(root: Path, stems: Sequence[str], split: str, seed: int) -> dict[str, str]:
    """Section of each image."""
    table = next((place / "info.csv" for place in _places(root, _LABELS) if (place / "info.csv").is_file()), None)
    if split == "official" and table is not None:
        folds = {row["Filename"].removesuffix(".png"): row["Split"] for row in read_table(table, ("Filename", "Split"))}
        require_all(stems, folds, "row", table)
        unknown = sorted({folds[stem] for stem in stems} - {"1", "2", "3"})
        if unknown:
            raise InputError(f"'{table}': Split must be 1, 2 or 3, found '{unknown[0]}'")
        others = [stem for stem in stems if folds[stem] != TEST_FOLD]
        return dict.fromkeys(stems, "test") | split_groups(others, test=0, seed=seed)
    if split == "official":
        _logger.warning("no info.csv in '%s': its images are split at random, 58 of 238 for the test", root)
    return split_groups(stems, test=58 / 238, seed=seed)


def _patches(stem: str, path: str, label: str, size: int, auxiliary: str) -> Iterator[dict[str, Any]]:
    height, width = image_size(path)
    if min(height, width) < size:
        raise InputError(f"'{path}' is {width}x{height} pixels, smaller than patch_size {size}")
    counts = _counts(label, height // size, width // size, size)
    for row, column in np.ndindex(*counts.shape[:2]):
        nuclei = counts[row, column]
        item: dict[str, Any] = {"id": f"{stem}_{row * size}_{column * size}", "group": stem, "label": path}
        item["box"] = (row * size, column * size, size, size)
        if auxiliary != "diagnosis":
            item["mask"] = label
        if auxiliary != "segmentation":
            if not nuclei.any():
                continue
            item["class"] = int(nuclei.argmax())
        yield item


def _counts(label: str, rows: int, columns: int, size: int) -> NDArray[np.int64]:
    """Number of nuclei of each class in each patch, [rows, columns, classes]."""
    nuclei = read_nuclei(label)
    if (nuclei.classes > len(CLASSES)).any():
        raise InputError(f"'{label}': classes must be 1 to {len(CLASSES)}, found {nuclei.classes.max()}")
    places = np.floor(nuclei.centroids / size).astype(np.int64)
    counts = np.zeros((rows, columns, len(CLASSES)), np.int64)
    inside = (places >= 0).all(axis=1) & (places[:, 0] < columns) & (places[:, 1] < rows)
    np.add.at(counts, (places[inside, 1], places[inside, 0], nuclei.classes[inside] - 1), 1)
    return counts
