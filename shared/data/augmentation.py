"""Geometry that MONAI does not have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import CenterSpatialCrop, MapTransform, RandomizableTransform

from shared.errors import InputError


class RandCenterScaleCropd(RandomizableTransform, MapTransform):
    """Crop the centre of images [C, H, W], by one random fraction of both sides.

    MONAI's ``RandScaleCropd`` draws a fraction for each side. Then next to no crop comes near the whole image, which
    is what a recognition network is tested on.

    Args:
        keys: images that share the crop.
        scale: smallest and largest fraction of a side that is kept, drawn uniformly.
        allow_missing_keys: do not raise when a key is missing.

    Raises:
        InputError: when ``scale`` is not ``0 < smallest <= largest <= 1``.
    """

    def __init__(
        self, keys: KeysCollection, scale: tuple[float, float] = (0.5, 1.0), allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise InputError(f"scale: expected 0 < smallest <= largest <= 1, found {tuple(scale)}")
        self.scale = scale

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop all keys alike."""
        item = dict(data)
        fraction = self.R.uniform(*self.scale)
        for key in self.key_iterator(item):
            size = [max(1, round(fraction * side)) for side in item[key].shape[1:]]
            item[key] = CenterSpatialCrop(size)(item[key])
        return item


class CropToMultipled(MapTransform):
    """Crop images [C, H, W] to the largest sides that are multiples of a number, as clean images of super-resolution.

    A side of 233 pixels that shrinks to 58 has shrunk by 4.017, and a network that enlarges by 4 gives back 232. What
    is too much is cut at the bottom and on the right: the first pixel stays where it is, and so does the affine of a
    MetaTensor. MONAI pads to multiples (``DivisiblePad``) and does not crop to them.

    Args:
        keys: images to crop, of sizes of their own.
        multiple: of which sides become multiples, a whole number >= 1; the factor of super-resolution.
        allow_missing_keys: do not raise when a key is missing.

    Raises:
        InputError: when ``multiple`` is no such number, or an image is smaller than it.
    """

    def __init__(self, keys: KeysCollection, multiple: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if isinstance(multiple, bool) or not isinstance(multiple, int) or multiple < 1:
            raise InputError(f"multiple: expected a whole number >= 1, found {multiple!r}")
        self.multiple = multiple

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop each key to the multiples below its own size."""
        item = dict(data)
        for key in self.key_iterator(item):
            height, width = (side - side % self.multiple for side in item[key].shape[1:])
            if not (height and width):
                name = f" of image {item['id']!r}" if "id" in item else ""
                found, least = ("x".join(map(str, sides)) for sides in (item[key].shape[1:], 2 * [self.multiple]))
                raise InputError(f"{key}{name}: expected at least {least} pixels, found {found}")
            item[key] = item[key][:, :height, :width]
        return item
