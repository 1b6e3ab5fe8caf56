"""Phantom Lizard: stained tissue with six kinds of nuclei, in the layout of the unpacked archives."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import center_of_mass, find_objects

from shared.data.phantoms.tissue import KINDS, ZONE, Tissue, draw

#: Collections that real images come from, by the folder that holds them; names of images begin with them.
COLLECTIONS = {1: ("consep", "crag"), 2: ("dpath", "glas", "pannuke")}
IMAGES = 48
#: Zones along a side of an image; patches of `ZONE` pixels meet one zone each.
SIDES = (4, 5)


def write(folder: Path) -> None:
    """Write images, label files and info.csv into ``folder``: the same files whenever it is called.

    Images are 8-bit PNG of 256 to 320 pixels a side. In the label files, as in the real ones, tables are matched
    to the instance map by id: ids have gaps, and rows come in another order than ids. Every kind of nucleus
    dominates about as many zones as any other, in each fold.
    """
    rng = np.random.default_rng(2021)
    labels = folder / "lizard_labels" / "Lizard_Labels" / "Labels"
    labels.mkdir(parents=True)
    rows = [["Filename", "Source", "Split"]]
    for number in range(IMAGES):
        part = 1 + number % 2
        names = COLLECTIONS[part]
        source = names[(number // 2) % len(names)]
        stem = f"{source}_{number + 1}"
        images = folder / f"lizard_images{part}" / f"Lizard_Images{part}"
        images.mkdir(parents=True, exist_ok=True)
        tissue, size = _random_tissue(rng)
        Image.fromarray(np.rint(tissue.image[: size[0], : size[1]] * 255).astype(np.uint8)).save(images / f"{stem}.png")
        _write_labels(labels / f"{stem}.mat", tissue.instances[: size[0], : size[1]], tissue.kinds, rng)
        rows.append([stem, source, str(1 + number % 3)])
    with open(labels.parent / "info.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def _random_tissue(rng: np.random.Generator) -> tuple[Tissue, tuple[int, int]]:
    """Tissue of whole zones, and the size to cut it to: no less than four zones, which is one patch of real data."""
    height, width = (int(rng.integers(SIDES[0], SIDES[1] + 1)) for _ in range(2))
    zones = np.arange(height * width) % len(KINDS)
    tissue = draw(rng, rng.permutation(zones).reshape(height, width))
    cut = rng.integers(0, 30, 2) * (np.array([height, width]) > SIDES[0])
    return tissue, (height * ZONE - int(cut[0]), width * ZONE - int(cut[1]))


def _write_labels(path: Path, instances: NDArray[np.int32], kinds: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Write the tables of the nuclei that are visible in ``instances``."""
    visible = np.unique(instances)[1:]
    ids = np.zeros(len(kinds) + 1, np.int32)
    ids[visible] = 1 + np.sort(rng.choice(2 * len(visible), len(visible), replace=False))
    order = rng.permutation(visible)
    slices = find_objects(instances)
    boxes = [[slices[n - 1][axis].start, slices[n - 1][axis].stop] for n in order for axis in (0, 1)]
    centroids = np.array(center_of_mass(instances > 0, instances, order))
    tables = {
        "inst_map": ids[instances],
        "id": ids[order][:, None],
        "class": (kinds[order - 1] + 1)[:, None].astype(np.int32),
        "bbox": np.array(boxes, np.int32).reshape(-1, 4),
        "centroid": centroids[:, ::-1],
    }
    savemat(path, tables, do_compression=True)
