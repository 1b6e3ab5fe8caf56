"""Nuclear instances from a MATLAB file: an instance map, and tables that are matched to it by id, not by position."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from shared.errors import InputError, first_line

PathLike = str | os.PathLike[str]
EXTENSION = ".mat"


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of one image, in the order of the file's tables, which is not that of the ids.

    Attributes:
        ids: [N], values of the instance map; there may be gaps.
        classes: [N], at least 1.
        centroids: [N, 2], (x, y) in pixels.
    """

    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    centroids: NDArray[np.float64]


def is_label_map(path: PathLike) -> bool:
    """Whether the file is a MATLAB file, by its name."""
    return os.fspath(path).lower().endswith(EXTENSION)


def map_size(path: PathLike) -> tuple[int, int]:
    """Return (H, W) of the instance map; its values are not read.

    Raises:
        InputError: missing or unreadable file, or no instance map of two dimensions.
    """
    shapes = _guard(path, lambda file: {name: shape for name, shape, _ in whosmat(file)})
    shape = shapes.get("inst_map", ())
    if len(shape) != 2:
        raise InputError(f"'{path}' holds no matrix inst_map; found: {', '.join(shapes) or 'nothing'}")
    return shape[0], shape[1]


def read_nuclei(path: PathLike) -> Nuclei:
    """Read ``id``, ``class`` and ``centroid``, tables (N, 1), (N, 1) and (N, 2); the instance map is skipped.

    A process reads each version of a file once.

    Raises:
        InputError: missing or unreadable file, missing tables or tables of different lengths, ids that repeat or are
            not positive, classes below 1.
    """
    return _cached_nuclei(os.fspath(path), _modified(path))


def read_class_map(path: PathLike) -> NDArray[np.int64]:
    """Read the class of each pixel [H, W], 0 between the nuclei.

    Raises:
        InputError: as :func:`read_nuclei`, or the instance map is no matrix of whole numbers, or holds an id that
            the tables lack.
    """
    nuclei = read_nuclei(path)
    instances = _read(path, ["inst_map"])["inst_map"]
    if instances.ndim != 2 or instances.size == 0 or (instances != np.floor(instances)).any() or instances.min() < 0:
        raise InputError(f"'{path}': inst_map must be a matrix of whole numbers >= 0, found shape {instances.shape}")
    instances = instances.astype(np.int64)
    classes = np.zeros(int(max(instances.max(), nuclei.ids.max(initial=0))) + 1, np.int64)
    classes[nuclei.ids] = nuclei.classes
    unknown = np.setdiff1d(instances, [0, *nuclei.ids])
    if unknown.size:
        raise InputError(f"'{path}': inst_map holds the id {unknown[0]}, which the table 'id' lacks")
    return classes[instances]


@lru_cache(maxsize=4096)
def _cached_nuclei(path: str, modified: int) -> Nuclei:
    tables = _read(path, ["id", "class", "centroid"])
    ids, classes = (_whole(tables[key], key, path) for key in ("id", "class"))
    centroids = np.asarray(tables["centroid"], np.float64).reshape(-1)
    if not len(ids) == len(classes) == len(centroids) / 2:
        raise InputError(
            f"'{path}': id, class and centroid must be tables (N, 1), (N, 1) and (N, 2), "
            f"found {', '.join(str(tables[key].shape) for key in ('id', 'class', 'centroid'))}"
        )
    if len(set(ids.tolist())) < len(ids) or (ids < 1).any() or (classes < 1).any():
        raise InputError(f"'{path}': ids must be positive and different, and classes at least 1")
    return Nuclei(ids, classes, centroids.reshape(-1, 2))


def _whole(table: NDArray[Any], key: str, path: PathLike) -> NDArray[np.int64]:
    values = table.reshape(-1)
    if values.dtype.kind not in "uif" or (values != np.floor(values)).any():
        raise InputError(f"'{path}': {key} must hold whole numbers")
    return values.astype(np.int64)


def _modified(path: PathLike) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError as err:
        raise InputError(f"label file '{path}' does not exist") from err


def _read(path: PathLike, keys: list[str]) -> dict[str, NDArray[Any]]:
    tables = _guard(path, lambda file: loadmat(file, variable_names=keys))
    missing = [key for key in keys if key not in tables]
    if missing:
        raise InputError(f"'{path}' holds no {', '.join(missing)}; expected inst_map, id, class and centroid")
    return tables


def _guard(path: PathLike, read: Callable[[IO[bytes]], dict[str, Any]]) -> dict[str, Any]:
    """Open a file and apply ``read``; whatever SciPy raises on bad bytes becomes one InputError."""
    try:
        with open(path, "rb") as file:
            return read(file)
    except FileNotFoundError as err:
        raise InputError(f"label file '{path}' does not exist") from err
    # SciPy raises nearly anything on damaged files: ValueError, TypeError, zlib.error, NotImplementedError, ...
    except Exception as err:
        raise InputError(f"'{path}' cannot be read as a MATLAB file: {first_line(err)}") from err
