"""The dictionary transform that puts a degraded copy beside the clean image."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform, Randomizable
from monai.transforms.utils import scale_affine
from monai.utils import ensure_tuple

from shared.degradations.base import Degradation, whole_number
from shared.errors import InputError


class Degraded(Randomizable, MapTransform):
    """Write a degraded copy of each image under a second key; the clean image stays as it is.

    Without `seed` the noise comes from MONAI's `self.R`: new for every call, reproducible through
    `set_random_state`, different in each worker. With `seed` it is a function of (seed, image id) alone, whatever
    the order, the worker or the process: every method and every epoch sees the same degraded test image.

    Parameters that a degradation draws for each image are written as float entries beside the images (`sigma`; a
    second one of that name in the chain `sigma_2`), so that they can be logged; they collate to a [B] tensor. All
    `keys` of one item share the drawn parameters, each has its own noise.

    Args:
        keys: clean images, [C, H, W], floating point, intensities in [0, 1]. Not changed.
        output_keys: where the degraded copies go, as many as `keys`; float32, [C, H', W'] (H' < H only where the
            chain down-samples). A MetaTensor gives a MetaTensor with a copy of the metadata.
        degradations: applied in order; an empty sequence gives a plain copy.
        clip: whether to clip to [0, 1] after the whole chain, as a stored image is.
        seed: >= 0 to make the noise depend on (seed, id) alone.
        id_key: key of the image's identity, read only when `seed` is given.
        allow_missing_keys: skip images that an item lacks, instead of an error.

    Raises:
        InputError: on arguments outside these rules, on an item without id when `seed` is given, and on an image
            that is not floating point or not [C, H, W].
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_keys: KeysCollection,
        degradations: Sequence[Degradation],
        clip: bool = True,
        seed: int | None = None,
        id_key: str = "id",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.output_keys = ensure_tuple(output_keys)
        if len(self.output_keys) != len(self.keys):
            raise InputError(f"output_keys of Degraded must be as many as keys {self.keys}, found {self.output_keys}")
        if not isinstance(degradations, Sequence) or not all(isinstance(d, Degradation) for d in degradations):
            raise InputError(f"degradations of Degraded must be a list of Degradation, found {degradations!r}")
        if not isinstance(clip, bool):
            raise InputError(f"clip of Degraded must be true or false, found {clip!r}")
        if seed is not None and whole_number("seed of Degraded", seed) < 0:
            raise InputError(f"seed of Degraded must be >= 0, found {seed!r}")
        self.degradations = list(degradations)
        self.clip = clip
        self.seed = seed
        self.id_key = id_key

    def randomize(self, data: Any = None) -> None:
        """Do nothing: the generator of each item is made in the call, so that no state is left behind."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of the item with the degraded images and the drawn parameters added."""
        item = dict(data)
        random = self._generator(item)
        parameters = [degradation.draw(random) for degradation in self.degradations]
        for key, output_key in self.key_iterator(item, self.output_keys):
            item[output_key] = self._degrade(key, item[key], random, parameters)
        for drawn in parameters:
            for name, value in drawn.items():
                item[self._free_name(name, item, data)] = value
        return item

    def _generator(self, item: Mapping[Hashable, Any]) -> np.random.Generator:
        if self.seed is None:
            return np.random.default_rng(self.R.randint(0, 2**32, size=4, dtype=np.uint32))
        if self.id_key not in item:
            raise InputError(
                f"Degraded with a seed needs the key {self.id_key!r} in each item, found {sorted(map(str, item))}"
            )
        # Not hash(): Python salts it anew in every process.
        digest = hashlib.sha256(f"{self.seed}:{item[self.id_key]}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "little"))

    def _degrade(
        self, key: Hashable, clean: Any, random: np.random.Generator, parameters: Sequence[Mapping[str, float]]
    ) -> torch.Tensor:
        tensor = torch.as_tensor(clean)
        if tensor.ndim != 3 or not tensor.is_floating_point():
            raise InputError(
                f"the image under key {key!r} must be [C, H, W] and floating point in [0, 1], "
                f"found shape {tuple(tensor.shape)} and {tensor.dtype}"
            )
        # Plain tensors inside the chain: a MetaTensor pays for its metadata in every single operation.
        image = (tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor).detach()
        image = image.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        for degradation, drawn in zip(self.degradations, parameters, strict=True):
            image = degradation(image, random, drawn)
        if self.clip:
            image = image.clamp_(0.0, 1.0)
        return _with_meta(image, tensor) if isinstance(tensor, MetaTensor) else image

    @staticmethod
    def _free_name(name: str, item: Mapping[Hashable, Any], original: Mapping[Hashable, Any]) -> str:
        if name in original:
            raise InputError(f"the item already has a key {name!r}, which Degraded needs for a drawn parameter")
        number = 1
        while (candidate := name if number == 1 else f"{name}_{number}") in item:
            number += 1
        return candidate


def _with_meta(image: torch.Tensor, clean: MetaTensor) -> MetaTensor:
    """Give `image` a copy of the clean image's metadata, with the affine of its own grid."""
    result = MetaTensor(image)
    result.copy_meta_from(clean)
    if image.shape[1:] != clean.shape[1:]:
        scale = scale_affine(tuple(clean.shape[1:]), tuple(image.shape[1:]))
        dimensions = clean.affine.shape[-1] - 1
        result.affine = clean.affine @ torch.as_tensor(to_affine_nd(dimensions, scale), dtype=clean.affine.dtype)
    return result
