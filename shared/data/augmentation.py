"""Random geometry that MONAI does not have."""

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
