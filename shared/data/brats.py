"""BraTS: axial slices of brain MR volumes with tumour labels, of the challenges of 2018 to 2021 or Decathlon Task01."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from shared.data.brats_cache import cache_cases, cached_case
from shared.data.brats_files import CLASSES, MODALITIES, find_cases
from shared.data.splits import SECTIONS, check_choice, split_groups, taken_evenly
from shared.errors import InputError
from shared.images.scaling import IntensityScaling, scaled

__all__ = ["CLASSES", "MODALITIES", "LoadBraTSSliced", "datalist"]

logger = logging.getLogger("shared.data")

_TEST, _VALIDATION = 0.1, 1 / 9
"""A tenth of the cases each; validation is taken from what test leaves."""


def datalist(
    dataset_dir: str | os.PathLike[str],
    section: str,
    modality: str = "t1ce",
    crop_size: int | None = 96,
    minimum_content: float = 0.1,
    cache_dir: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """List the axial slices of one section that show enough of the head; its volumes are decoded if they never were.

    80 % of the cases train, 10 % validate, 10 % test. A case is taken for a patient: the challenges publish no
    patients' names, and whoever was scanned twice is out of reach. The layouts are those of
    :func:`shared.data.brats_files.find_cases`, the files that are kept those of :mod:`shared.data.brats_cache`.

    Args:
        dataset_dir: the data set, or a folder at most four levels above its cases.
        section: "training", "validation" or "test".
        modality: one of `MODALITIES`.
        crop_size: side of the square in a slice's centre that counts, 96 in the paper's training and 128 in its test;
            None for the whole slice.
        minimum_content: least share, in [0, 1], of that square whose stored values are not 0. Ours: the paper takes
            slices from the middle and does not say which.
        cache_dir: folder for the decoded slices; None for the user's cache.
        limit: largest number of slices, taken evenly from those of all cases; None for all.
        seed: of the split.

    Returns:
        Sorted by case and slice; keys ``id`` ("BraTS20_Training_001_z088"), ``group`` (the case), ``label`` (path of
        the volume), ``mask`` (path of the tumour labels, where there are any), ``slice`` (z, from inferior) and
        ``cached`` (folder of the decoded slices, for `LoadBraTSSliced`).

    Raises:
        InputError: what ``find_cases`` and ``cache_cases`` raise; too few cases to split; slices smaller than the
            crop; no slice with enough content; an argument outside these rules.
    """
    check_choice("section", section, SECTIONS)
    if not 0 <= minimum_content <= 1:
        raise InputError(f"minimum_content: expected a number in [0, 1], found {minimum_content!r}")
    cases = find_cases(dataset_dir, modality)
    sections = split_groups((case.name for case in cases), _TEST, _VALIDATION, seed)
    chosen = [case for case in cases if sections[case.name] == section]
    folders = cache_cases(chosen, cache_dir)
    items = []
    for case in chosen:
        files = {"label": case.image} if case.mask is None else {"label": case.image, "mask": case.mask}
        for place, content in enumerate(cached_case(folders[case.name]).content(crop_size)):
            if content >= minimum_content:
                name = f"{case.name}_z{place:03d}"
                item = {"id": name, "group": case.name, **files, "slice": place, "cached": folders[case.name]}
                items.append(item)
    if not items:
        raise InputError(
            f"brats: none of the slices of {len(chosen)} {section} case(s) in '{dataset_dir}' has the minimum_content "
            f"{minimum_content:g} in the crop_size {crop_size}"
        )
    items = taken_evenly(items, limit)
    logger.info(f"{section}: {len(items)} slices of {len({item['group'] for item in items})} cases")
    return items


class LoadBraTSSliced(MapTransform):
    """Replace the paths of an item of `datalist` by its slice, read from the cache: no volume is decoded.

    Sets float32 tensors [1, H, W], anterior at the top, the patient's left on the left: the image, as the rule scales
    the whole volume, clipped to [0, 1]; and ``mask``, indices of `CLASSES`, where there is one. Removes ``cached``.

    Args:
        keys: key of the volume's path.
        scaling: rule that maps stored intensities to [0, 1], that of inference; None for the default rule.
        crop_size: side of the square in the centre of the slice that is taken; None takes all of it.

    Raises:
        InputError: an item of another reader, a slice outside the volume, a crop larger than it, or a cache that was
            changed.
    """

    def __init__(
        self, keys: KeysCollection = "label", scaling: IntensityScaling | None = None, crop_size: int | None = None
    ) -> None:
        super().__init__(keys)
        self.scaling = scaling if scaling is not None else IntensityScaling()
        self.crop_size = crop_size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its paths replaced by arrays; the given item stays as it is."""
        item = dict(data)
        if "cached" not in item:
            raise InputError("LoadBraTSSliced: found an item without 'cached', expected one of shared.data.brats")
        case, place = cached_case(str(item.pop("cached"))), int(item["slice"])
        for key in self.key_iterator(item):
            image = scaled(case.image(place, self.crop_size), case.intensities(self.scaling))
            item[key] = torch.from_numpy(image.clip(0, 1))[None]
        if "mask" in item:
            item["mask"] = torch.from_numpy(case.mask(place, self.crop_size).astype(np.float32))[None]
        return item
