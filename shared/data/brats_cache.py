"""Slices of BraTS volumes, decoded once and kept as array files, so that an epoch decodes no volume.

A folder per case, which is there whole or not at all, holds ``image.npy``, the stored values in the type of their file;
``mask.npy``, class indices; and ``facts.json``. Both arrays are [Z, H, W], from inferior to superior, anterior at the
top, the patient's left on the left, and cut to the box outside of which both volumes are 0. Scaled values are not kept,
but beside the arrays what each rule of scaling found for the volume: so every rule gives exactly what inference sees.

A case of 240×240×155 voxels in 16 bits takes about 11 MB (the brain of a template on that grid; whole arrays 27 MB).
The folder's name depends on paths, sizes and times of change of the case's files: others are decoded anew. Nothing is
ever removed; a person may delete the cache at any time when no run uses it. In a cache that others filled and that is
read-only, what a new rule or crop finds is found anew by each process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from shared import distributed
from shared.console import Waiting, say
from shared.data.brats_files import Case
from shared.data.locations import cache_folder
from shared.errors import InputError
from shared.files import digest, make_folder, read_json, whole_folder, write_atomically
from shared.images.formats import read_picture
from shared.images.layout import PLANES, to_slices
from shared.images.picture import Intensities, Picture
from shared.images.scaling import IntensityScaling

logger = logging.getLogger("shared.data")

VERSION = 1
"""Of what the folder of a case holds, which is also what a rule of scaling finds; part of the cache's name."""

_IMAGE, _MASK, _FACTS = "image.npy", "mask.npy", "facts.json"


def cache_cases(cases: Sequence[Case], cache_dir: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Return the folder of each case in the cache, by its name; a case that is not there yet is decoded.

    A run that breaks off leaves whole cases behind, and the next one goes on. Processes that do this at once take one
    another's cases; those of a data-parallel run begin at different ones.

    Args:
        cases: with their files.
        cache_dir: where the cache's folder lies; None for the user's cache (`shared.data.locations.cache_folder`).

    Raises:
        InputError: a file that cannot be read, is no volume of several slices or another one than its mask; an unknown
            label; the cache cannot be written.
    """
    base = cache_folder() if cache_dir is None else Path(cache_dir).expanduser()
    root = base / f"brats-v{VERSION}"
    folders = {case.name: root / f"{case.name}-{_stamp(case)}" for case in cases}
    missing = [case for case in cases if not folders[case.name].is_dir()]
    if missing:
        logger.info(f"brats: decoding {len(missing)} case(s), once, into '{root}'")
        make_folder(root)
        _build_all(missing, folders)
    return {name: str(folder) for name, folder in folders.items()}


def _build_all(cases: Sequence[Case], folders: Mapping[str, Path]) -> None:
    begin = len(cases) * distributed.rank() // distributed.world_size()
    waiting = Waiting(len(cases), "case", "decoding BraTS")
    try:
        for number, case in enumerate((*cases[begin:], *cases[:begin]), start=1):
            if not folders[case.name].is_dir():
                _build(case, folders[case.name])
            waiting.advance()
            if waiting.is_due():
                say(f"brats: {number} of {len(cases)} cases decoded")
    finally:
        waiting.close()


def _stamp(case: Case) -> str:
    """What changes when a file of a case is written anew."""
    facts: list[Any] = [case.labels, case.volume]
    for path in (case.image, case.mask):
        if path is not None:
            status = os.stat(path)
            facts += [path, status.st_size, status.st_mtime_ns]
    return digest(json.dumps(facts).encode())[:16]


def _build(case: Case, folder: Path) -> None:
    picture, image = _read(case.image, case.volume)
    mask = None if case.mask is None else _classes(case, image.shape)
    filled = image != 0 if mask is None else (image != 0) | (mask != 0)
    box = next(iter(find_objects(filled.view(np.uint8))), None)
    if box is None:
        raise InputError(f"{case.image}: found nothing but 0, expected an image")
    facts = {
        "source": case.image, "shape": image.shape, "origin": [side.start for side in box],
        "slope": picture.slope, "intercept": picture.intercept,
    }
    try:
        # Of two processes at once, the first one wins.
        with contextlib.suppress(FileExistsError), whole_folder(folder) as partial:
            np.save(partial / _IMAGE, np.ascontiguousarray(image[box]))
            if mask is not None:
                np.save(partial / _MASK, np.ascontiguousarray(mask[box]))
            (partial / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    except OSError as err:
        needed = (image[box].nbytes + filled[box].nbytes) / 1e6
        raise InputError(
            f"cache_dir: case '{case.name}' cannot be written to '{folder.parent}': {err.strerror or err}; it takes "
            f"{needed:.0f} MB, and other cases about as much; free space, or name another folder"
        ) from err


def _read(path: str, volume: int | None = None, labels: bool = False) -> tuple[Picture, NDArray[Any]]:
    """A file, and its stored values as axial slices [Z, H, W]."""
    picture = read_picture(path, labels)
    pixels = picture.pixels
    shape = " x ".join(map(str, pixels.shape[1:]))
    if picture.missing is not None:
        raise InputError(f"{path}: found values that are NaN, expected a number for each voxel")
    if volume is not None:
        if pixels.ndim != 5 or pixels.shape[4] <= volume:
            raise InputError(f"{path}: found {shape} voxels, expected four volumes behind one another")
        pixels = pixels[..., volume]
    if pixels.ndim != 4 or len(pixels) != 1 or picture.affine is None or 1 in pixels.shape[1:]:
        raise InputError(f"{path}: found {shape} voxels, expected a grey volume of several slices")
    slices = to_slices(pixels, picture.affine, PLANES["axial"])[0]
    return picture, slices.transpose(2, 1, 0)[:, ::-1]


def _classes(case: Case, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Class indices [Z, H, W] of the tumour labels of a case."""
    path = str(case.mask)
    _, labels = _read(path, labels=True)
    if labels.shape != shape:
        found, expected = (" x ".join(map(str, size[::-1])) for size in (labels.shape, shape))
        raise InputError(f"{path}: found a mask of {found} voxels, but its image '{case.image}' has {expected}")
    unknown = np.setdiff1d(labels[labels != 0], case.labels)
    if unknown.size:
        known = ", ".join(map(str, sorted(case.labels)))
        raise InputError(f"{path}: found the label {unknown[0]:g}, expected one of {known}")
    table = np.zeros(max(case.labels) + 1, np.uint8)
    table[list(case.labels)] = range(len(case.labels))
    return table[labels.astype(np.uint8)]


class CachedCase:
    """The slices of one case, read from its folder in the cache.

    Attributes:
        source: path of the volume that they are from.
        shape: (Z, H, W).
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._facts = read_json(self._folder / _FACTS, "what belongs to the slices of a case")
        self.source: str = self._facts["source"]
        self.shape: tuple[int, ...] = tuple(self._facts["shape"])
        self._intensities: dict[IntensityScaling, Intensities] = {}

    def image(self, place: int, crop_size: int | None = None) -> NDArray[Any]:
        """Stored values [H, W] of a slice, or of the square in its centre."""
        return self._slice(_IMAGE, place, crop_size)

    def mask(self, place: int, crop_size: int | None = None) -> NDArray[Any]:
        """Class indices [H, W], as :meth:`image`."""
        return self._slice(_MASK, place, crop_size)

    def content(self, crop_size: int | None = None) -> list[float]:
        """Share of the pixels of each slice, or of the square in its centre, whose stored value is not 0."""

        def find() -> dict[str, Any]:
            planes = self._centre(self._whole(_IMAGE), crop_size)
            return {"content": (np.count_nonzero(planes, axis=(1, 2)) / planes[0].size).tolist()}

        return list(self._remembered(f"content-{crop_size or 'whole'}", find)["content"])

    def intensities(self, scaling: IntensityScaling) -> Intensities:
        """What inference finds for the whole volume.

        Raises:
            InputError: a value needs more bits than the rule's.
        """
        if scaling not in self._intensities:
            rule = digest(json.dumps(scaling.to_dict(), sort_keys=True).encode())[:16]
            found = self._remembered(f"intensities-{rule}", lambda: asdict(self._measured(scaling)))
            self._intensities[scaling] = Intensities(**found)
        return self._intensities[scaling]

    def _measured(self, scaling: IntensityScaling) -> Intensities:
        slope, intercept = self._facts["slope"], self._facts["intercept"]
        try:
            return scaling.measure(Picture(self._whole(_IMAGE)[None], slope=slope, intercept=intercept))
        except InputError as err:
            raise InputError(f"{self.source}: {err}") from err

    def _remembered(self, name: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is found once for a case and then read from a file in its folder."""
        path = self._folder / f"{name}.json"
        if path.is_file():
            return read_json(path, "what was found for a case")
        found = find()
        # Without it, a full disk or the folder of another person costs time and no run.
        with contextlib.suppress(InputError):
            write_atomically(path, json.dumps(found).encode())
        return found

    def _slice(self, name: str, place: int, crop_size: int | None) -> NDArray[Any]:
        if not 0 <= place < self.shape[0]:
            raise InputError(f"{self.source}: slice must lie in 0 … {self.shape[0] - 1}, found {place}")
        array = self._array(name)
        plane = np.zeros(self.shape[1:], array.dtype)
        first, *origin = self._facts["origin"]
        if first <= place < first + len(array):
            self._put(plane, origin, array[place - first])
        return self._centre(plane, crop_size)

    def _whole(self, name: str) -> NDArray[Any]:
        array = self._array(name)
        whole = np.zeros(self.shape, array.dtype)
        self._put(whole, self._facts["origin"], array)
        return whole

    @staticmethod
    def _put(whole: NDArray[Any], origin: Sequence[int], part: NDArray[Any]) -> None:
        whole[tuple(slice(start, start + side) for start, side in zip(origin, part.shape, strict=True))] = part

    def _array(self, name: str) -> NDArray[Any]:
        try:
            # Mapped anew each time: a map that is kept keeps its file open, and a data set has thousands.
            return np.asarray(np.load(self._folder / name, mmap_mode="r"))
        except (OSError, ValueError) as err:
            raise InputError(f"'{self._folder / name}' cannot be read ({err}): delete its folder, start again") from err

    def _centre(self, planes: NDArray[Any], crop_size: int | None) -> NDArray[Any]:
        """The square in the centre of [..., H, W], as MONAI's CenterSpatialCrop takes it; all of it for None."""
        if crop_size is None:
            return planes
        height, width = planes.shape[-2:]
        if not 0 < crop_size <= min(height, width):
            expected = f"a whole number from 1 to {min(height, width)}, as slices are {width}x{height} pixels"
            raise InputError(f"{self.source}: found the crop_size {crop_size}, expected {expected}")
        top, left = (side // 2 - crop_size // 2 for side in (height, width))
        return planes[..., top : top + crop_size, left : left + crop_size]


@lru_cache(maxsize=4096)
def cached_case(folder: str) -> CachedCase:
    """The case in a folder of the cache; its facts are read once per process."""
    return CachedCase(folder)
