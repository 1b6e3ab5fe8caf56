"""Slices of any image file, and class indices of any mask, for training: the same reading and scaling as inference."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.data.shared_ranges import SharedRange, StoredRange, range_for
from shared.errors import InputError, first_line
from shared.images.formats import read_picture
from shared.images.layout import PLANES, slice_axis, to_slices
from shared.images.picture import Intensities, Picture
from shared.images.rasters import is_raster
from shared.images.scaling import IntensityScaling, by_parts, scaled
from shared.images.signatures import contents

CONTENT = 0.1
"""A slice has content where its standard deviation is at least this part of that of the volume's most varied slice."""


@dataclass(frozen=True)
class ImageContent:
    """What one image file holds.

    Attributes:
        shape: (H, W, S), S = 1 for a picture.
        colour: whether it has three channels that differ.
        slices: indices of the slices with content, all of them for a picture.
        stored: range of the stored values.
    """

    shape: tuple[int, ...]
    colour: bool
    slices: tuple[int, ...]
    stored: StoredRange


@dataclass(frozen=True)
class MaskContent:
    """What one mask file holds: its shape (H, W, S), its distinct values in ascending order, and their pixels."""

    shape: tuple[int, ...]
    values: tuple[int, ...]
    counts: tuple[int, ...]


def image_content(path: str, plane: str = "axial") -> ImageContent:
    """Read an image and say what it holds; a file that has not changed is read once per process.

    Raises:
        InputError: it cannot be read; names the file.
    """
    return _image_content(path, plane, _stamp(path))


def mask_content(path: str, plane: str = "axial") -> MaskContent:
    """Read a mask and say what it holds; a file that has not changed is read once per process.

    Raises:
        InputError: it cannot be read, is in colour, or holds values that are not whole; names the file.
    """
    return _mask_content(path, plane, _stamp(path))


class LoadSliced(MapTransform):
    """Replace the paths of an item by one slice of its image and, where there is one, of its mask.

    The image becomes float32 [C, H, W] in [0, 1], by the rule that inference follows, but that images of one kind
    share their range; what the rule leaves outside is clipped, since this is a clean image to learn from. Grey is
    repeated for 3 channels, colour is averaged for 1. The mask becomes float32 class indices [1, H, W]. The item's key
    ``slice`` names the slice. The last two files are kept decoded, so items in the order of a volume's slices read it
    once.

    Args:
        keys: key of the image's path.
        mask_key: key of the mask's path; items without it pass.
        channels: 1 or 3.
        scaling: rule that maps stored intensities to [0, 1]; None for the default rule.
        plane: "axial", "coronal" or "sagittal".
        mask_values: values of the masks, ascending; a value's place is its class index.
        ranges: what images of one kind share, as :func:`shared.data.folder.survey` finds it; any other image is scaled
            by itself.

    Raises:
        InputError: an argument outside these rules, a file that cannot be read, or a mask with another value.
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        mask_key: str = "mask",
        channels: int = 1,
        scaling: IntensityScaling | None = None,
        plane: str = "axial",
        mask_values: Sequence[int] = (),
        ranges: Mapping[str, SharedRange] | None = None,
    ) -> None:
        super().__init__(keys)
        if channels not in (1, 3):
            raise InputError(f"channels: expected one of 1, 3, found {channels!r}")
        check_plane(plane)
        self.mask_key = mask_key
        self.channels = channels
        self.scaling = scaling if scaling is not None else IntensityScaling()
        self.plane = plane
        self.mask_values = np.asarray(mask_values, dtype=np.int64)
        self.ranges = dict(ranges or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of the item with arrays in place of the paths."""
        item: dict[Hashable, Any] = dict(data)
        place = int(item["slice"])
        for key in self.key_iterator(item):
            item[key] = self._image(str(item[key]), place)
        if self.mask_key in item:
            item[self.mask_key] = self._mask(str(item[self.mask_key]), place)
        return item

    def _image(self, path: str, place: int) -> torch.Tensor:
        stamp = _stamp(path)
        picture, stack = _stack(path, self.plane, stamp)
        found = _intensities(path, self.plane, stamp, self.scaling, range_for(path, picture, self.ranges))
        if picture.parts:
            # Which scale a value has depends on its frame, so that the frames are scaled before they are cut.
            values = by_parts(picture.pixels, picture.parts, found, scaled)
            pixels = _slices(replace(picture, pixels=values), self.plane)[..., place]
        else:
            pixels = scaled(np.ascontiguousarray(stack[..., place]), found[0])
        pixels = np.ascontiguousarray(pixels).clip(0, 1)
        if pixels.shape[0] != self.channels:
            pixels = pixels.repeat(3, 0) if self.channels == 3 else pixels.mean(0, keepdims=True)
        return torch.from_numpy(pixels)

    def _mask(self, path: str, place: int) -> torch.Tensor:
        labels = np.ascontiguousarray(_labels(path, self.plane, _stamp(path))[..., place])
        unknown = np.setdiff1d(labels, self.mask_values)
        if unknown.size:
            known = ", ".join(map(str, self.mask_values)) or "none"
            raise InputError(f"{path}: found the mask value {unknown[0]}, expected one of {known}")
        return torch.from_numpy(np.searchsorted(self.mask_values, labels).astype(np.float32))[None]


def check_plane(plane: str) -> None:
    """Raise an InputError unless ``plane`` is one that volumes can be cut along."""
    if plane not in PLANES:
        raise InputError(f"plane: expected one of {', '.join(PLANES)}, found {plane!r}")


def _stamp(path: str) -> tuple[int, int]:
    """What changes when a file is written anew, so that nothing remembered about it is out of date."""
    try:
        status = os.stat(path)
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror or err}") from err
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)
def _stack(path: str, plane: str, stamp: tuple[int, int]) -> tuple[Picture, NDArray[Any]]:
    """The image as it is stored, and its slices [C, H, W, S]."""
    picture = read_picture(path)
    return picture, _slices(picture, plane)


@lru_cache(maxsize=4096)
def _intensities(
    path: str, plane: str, stamp: tuple[int, int], scaling: IntensityScaling, shared: SharedRange | None
) -> tuple[Intensities, ...]:
    """Intensities of each kind of frames of an image, by the range that its kind shares, or else its own."""
    picture = _stack(path, plane, stamp)[0]
    try:
        return scaling.measure_parts(picture) if shared is None else (shared.measure(scaling, picture),)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err


@lru_cache(maxsize=2)
def _labels(path: str, plane: str, stamp: tuple[int, int]) -> NDArray[Any]:
    """Stored values of a mask, [H, W, S]; of a palette the indices."""
    indices = _palette_indices(path)
    if indices is not None:
        return indices[..., None]
    stack = _slices(read_picture(path, labels=True), plane)
    if any(not np.array_equal(stack[0], channel) for channel in stack[1:]):
        raise InputError(f"{path}: found a mask in colour, expected one value per pixel")
    labels = stack[0]
    if not np.issubdtype(labels.dtype, np.integer):
        whole = np.rint(labels)
        if not np.array_equal(whole, labels):
            raise InputError(f"{path}: found mask values that are not whole, expected class labels")
        return whole.astype(np.int64)
    return labels


def _palette_indices(path: str) -> NDArray[Any] | None:
    """Indices of an image with a palette, [H, W]; None for any other, and for a stack of them."""
    if not is_raster(path) and "TIFF" not in contents(path):
        return None
    try:
        with Image.open(path) as image:
            if image.mode != "P" or getattr(image, "n_frames", 1) > 1:
                return None
            return np.asarray(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as err:
        # Pillow is not the reader of TIFF, and cannot read all of it.
        if not is_raster(path):
            return None
        raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err


def _slices(picture: Picture, plane: str) -> NDArray[Any]:
    axis = slice_axis(picture.pixels.shape[1:], picture.affine, plane, picture.acquired_axis)
    slices = to_slices(picture.pixels, picture.affine, axis)
    return slices[..., None] if slices.ndim == 3 else slices


@cache
def _image_content(path: str, plane: str, stamp: tuple[int, int]) -> ImageContent:
    picture, stack = _stack(path, plane, stamp)
    colour = any(not np.array_equal(stack[0], channel) for channel in stack[1:])
    slices: tuple[int, ...] = (0,)
    if stack.shape[-1] > 1:
        spread = [float(np.std(stack[..., place])) for place in range(stack.shape[-1])]
        slices = tuple(place for place, width in enumerate(spread) if width > 0 and width >= CONTENT * max(spread))
    return ImageContent(stack.shape[1:], colour, slices, StoredRange.of(path, picture))


@cache
def _mask_content(path: str, plane: str, stamp: tuple[int, int]) -> MaskContent:
    labels = _labels(path, plane, stamp)
    values, counts = np.unique(labels, return_counts=True)
    return MaskContent(labels.shape, tuple(values.tolist()), tuple(counts.tolist()))


def stem(path: Path) -> str:
    """File name without the suffix of its format: ``scan`` for ``scan.nii.gz``, ``a.b`` for ``a.b.png``."""
    name = path.name
    suffix = ".nii.gz" if name.lower().endswith(".nii.gz") else path.suffix
    return name[: len(name) - len(suffix)] if suffix else name
