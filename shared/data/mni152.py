"""The MNI152 T1 template that the package nilearn ships, as 2-D axial slices with grey and white matter.

One brain volume (the ICBM152 2009a non-linear symmetric average, skull-stripped, 197×233×189 voxels of 1 mm,
uint8) and its probability maps of grey and white matter. There is one subject and no more, so results say how a
network does on slices it has not seen of a brain it has seen.

Split by the voxel index z along the third axis. Two parts are at least `GAP` unused slices apart, since
neighbouring slices look alike. Coronal and sagittal slices would hold pixels of the test slices and are not used.
The template is mirror-symmetric, so each half of a slice repeats the other: a whole slice, never half of one,
belongs to a part. `group` is therefore the slice itself: grouping by subject would leave one group.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.transforms import MapTransform
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.picture import Intensities, Picture
from shared.images.scaling import IntensityScaling, scaled

T1, GREY, WHITE = (f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm"))
GAP = 3
SLICES: Mapping[str, tuple[int, ...]] = {
    "training": (*range(13, 85), *range(104, 115), *range(128, 149)),
    "validation": tuple(range(118, 125, 2)),
    "test": tuple(range(88, 101, 2)),
}
"""z of each part: training takes every slice with brain on at least 5 % of its pixels that keeps the gap."""

BRAIN_THRESHOLD = 0.2
"""A pixel is brain where T1 / maximum exceeds it, the rule of nilearn's `load_mni152_brain_mask`."""


def package_dir() -> str:
    """Return the folder inside the installed package nilearn that holds the three volumes, without importing nilearn.

    Raises:
        InputError: nilearn is not installed.
    """
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("mni152: the package nilearn, which ships the template, is not installed: pip install nilearn")
    return str(Path(spec.submodule_search_locations[0]) / "datasets" / "data")


def datalist(dataset_dir: str, section: str) -> list[dict[str, Any]]:
    """List the slices of one section ("training", "validation" or "test") in ascending z.

    Each item holds `id` ("axial_088"), `group` (the id: see the module), `label` (path of the T1 volume), `mask`
    (path of the grey matter volume), `mask_white` (path of the white matter volume), `plane` ("axial") and `slice`
    (z). `LoadMNI152Sliced` reads them.

    Raises:
        InputError: unknown section, or a volume missing from the folder.
    """
    if section not in SLICES:
        raise InputError(f"mni152: section must be one of {', '.join(SLICES)}, found {section!r}")
    paths = {}
    for key, name in {"label": T1, "mask": GREY, "mask_white": WHITE}.items():
        path = Path(dataset_dir) / name
        if not path.is_file():
            raise InputError(f"mni152: no {name} in {dataset_dir}, expected the folder nilearn/datasets/data")
        paths[key] = str(path)
    items = []
    for z in SLICES[section]:
        name = f"axial_{z:03d}"
        items.append({"id": name, "group": name, **paths, "plane": "axial", "slice": z})
    return items


class LoadMNI152Sliced(MapTransform):
    """Replace the paths of an item of `datalist` by the slice's arrays; volumes are read once per process.

    Sets float32 tensors [1, H, W] = [1, 233, 197], anterior at the top, the subject's left on the left:
    `label`, T1 as the rule scales the volume, clipped to [0, 1]; `mask`, class indices 0 background, 1 grey, 2 white
    matter (the more probable of the two where its probability is at least 0.5); `region`, 1 inside the brain
    (`BRAIN_THRESHOLD`), 0 outside. Removes `mask_white`; every other key stays.

    Args:
        keys: the key of the T1 path, as MONAI's dictionary transforms take it.
        scaling: rule that maps intensities to [0, 1], that of inference; None for minimum to 0 and maximum to 1.

    Raises:
        InputError: a volume is missing, unreadable or of another size than T1, or z lies outside it.
    """

    def __init__(self, keys: str = "label", scaling: IntensityScaling | None = None) -> None:
        super().__init__(keys)
        self.scaling = scaling if scaling is not None else IntensityScaling("minmax")

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the item with its paths replaced by arrays; the given item stays as it is."""
        item = dict(data)
        key = self.keys[0]
        t1 = _volume(str(item[key]))
        grey, white = (_volume(str(path)) for path in (item["mask"], item.pop("mask_white")))
        for path, volume in ((data["mask"], grey), (data["mask_white"], white)):
            if volume.shape != t1.shape:
                raise InputError(f"{path}: found size {volume.shape}, expected {t1.shape} as {item[key]}")
        z = int(item["slice"])
        if not 0 <= z < len(t1):
            raise InputError(f"mni152: slice must lie in 0 … {len(t1) - 1}, found {z}")
        image = scaled(t1[z], _intensities(str(item[key]), self.scaling)).clip(0, 1)
        item[key] = torch.from_numpy(image)[None]
        item["mask"] = torch.from_numpy(_tissue(grey[z], white[z]))[None]
        item["region"] = (item[key] > BRAIN_THRESHOLD).float()
        return item


def _tissue(grey: NDArray[np.uint8], white: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return class indices [H, W] from probabilities in steps of 1/255; they sum to at most 1, so 0.5 is a majority."""
    return np.where(grey >= 127.5, 1, np.where(white >= 127.5, 2, 0)).astype(np.float32)


@lru_cache(maxsize=3)
def _intensities(path: str, scaling: IntensityScaling) -> Intensities:
    """Return what inference finds for the whole volume; a file of arbitrary intensities, as every NIfTI file is."""
    return scaling.measure(Picture(_volume(path)[None]))


@lru_cache(maxsize=3)
def _volume(path: str) -> NDArray[np.uint8]:
    """Return a volume as uint8 [Z, H, W], rows from anterior to posterior, columns left to right."""
    if not Path(path).is_file():
        raise InputError(f"mni152: no file {path}, expected a volume of the MNI152 template in nilearn/datasets/data")
    try:
        image = nibabel.load(path)  # type: ignore[attr-defined]
        array = np.asarray(nibabel.as_closest_canonical(image).dataobj)  # type: ignore[attr-defined]
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as err:
        raise InputError(f"{path}: not readable as a NIfTI volume ({err})") from err
    if array.ndim != 3 or array.dtype != np.uint8 or not array.any():
        raise InputError(f"{path}: found {array.dtype} {array.shape}, expected a uint8 volume that is not empty")
    # The axes of the file run right, anterior, superior.
    return np.ascontiguousarray(array.transpose(2, 1, 0)[:, ::-1])
