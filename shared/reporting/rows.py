"""What is measured on one test image, and how rows of several processes are brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch.distributed as dist

from shared.distributed import is_distributed
from shared.errors import InputError


@dataclass(frozen=True)
class Recognition:
    """The answers of one recognition task on the versions of one image.

    `confusion` holds a matrix [K, K] for each version (degraded, enhanced, and clean where there is one); `classes`
    holds the class index of the target and of each version for a diagnosis, and is empty for a segmentation.
    """

    kind: str
    confusion: dict[str, np.ndarray]
    classes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageRow:
    """Everything measured on one test image.

    `quality` maps a version (degraded, a baseline's name, enhanced) to its values by the name of the metric, with
    `_region` at the end of those of a region; NaN where the metric is not defined on the image. `recognition` maps a
    task's name to its answers.
    """

    id: str
    group: str
    quality: dict[str, dict[str, float]]
    recognition: dict[str, Recognition] = field(default_factory=dict)


def gather(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """Return the rows of all ranks in order of their id, each image once; every rank gets the same list.

    Raises:
        InputError: when two images of one process have the same id. Under distributed evaluation samplers repeat
            images to give each rank as many, and an id that comes twice is dropped instead.
    """
    if is_distributed():
        parts: list[Sequence[ImageRow]] = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(parts, list(rows))
        rows = list({row.id: row for part in parts for row in part}.values())
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise InputError(f"image id {row.id!r} occurs more than once in the test set; expected unique ids")
        seen.add(row.id)
    return sorted(rows, key=lambda row: row.id)
