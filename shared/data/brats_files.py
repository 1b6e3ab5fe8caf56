"""Which files of BraTS 2018 to 2021, or of Task01 of the Medical Segmentation Decathlon, belong to which case."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from shared.data.folders import existing_dataset
from shared.data.locations import SOURCES
from shared.data.medical import NIFTI
from shared.data.splits import check_choice
from shared.errors import InputError
from shared.files import read_json

logger = logging.getLogger("shared.data")

MODALITIES = ("t1", "t1ce", "t2", "flair")
CLASSES = ("background", "necrosis or non-enhancing tumour", "oedema", "enhancing tumour")
"""Names of the class indices of masks."""

BRATS_LABELS = (0, 1, 2, 4)
"""Stored label of each class in BraTS."""

_SOURCE = SOURCES["brats"]
_DEPTH = 4
"""Levels of folders in which cases are looked for, below the one given: the archive twice, HGG or LGG, the case."""

_YEAR = re.compile(r"(?i)brats\d*")
#: What the Decathlon's dataset.json says of Task01: its four volumes in their order, and the names of its labels.
_VOLUMES = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
_LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
_MODALITY_NAMES = {"t1": "t1w", "t1ce": "t1gd", "t2": "t2w", "flair": "flair"}


@dataclass(frozen=True)
class Case:
    """The files of one case.

    Attributes:
        name: of the case, unique in the data set.
        image: path of the volume.
        mask: path of the tumour labels; None where there are none.
        labels: stored label of each class of `CLASSES`.
        volume: which one of a 4-D image; None for an image of one volume.
    """

    name: str
    image: str
    mask: str | None
    labels: tuple[int, ...] = BRATS_LABELS
    volume: int | None = None


def find_cases(dataset_dir: str | os.PathLike[str], modality: str = "t1ce") -> list[Case]:
    """Find the cases of one data set; no image is opened, hidden files (``._*``) are left out.

    The layouts: a folder ``<case>`` with ``<case>_<modality>`` and ``<case>_seg`` (``.nii`` or ``.nii.gz``), in ``HGG``
    and ``LGG`` (2018, 2019) or not (2020, 2021); the mask of case 355 of 2020 is ``W39_1998.09.19_Segm``. And the
    Decathlon's ``imagesTr/BRATS_001.nii.gz`` with four volumes, and ``labelsTr``. Cases without tumour labels are left
    out where others have them: those of the challenge's validation often lie beside those of its training.

    Args:
        dataset_dir: the data set, or a folder at most four levels above its cases.
        modality: one of `MODALITIES`; "t1ce" is T1 with contrast agent, "t1gd" to the Decathlon.

    Returns:
        Sorted by name.

    Raises:
        InputError: folder missing or without cases, a case without the modality or twice, data of several years (they
            share patients under different names), a dataset.json that says something else, an unknown modality.
    """
    check_choice("modality", modality, MODALITIES)
    root = existing_dataset(dataset_dir, _SOURCE)
    cases = sorted(_find(root.resolve(), modality, _DEPTH), key=lambda case: case.name)
    if not cases:
        raise InputError(
            f"no '<case>/<case>_{modality}.nii.gz' (BraTS) and no 'imagesTr/BRATS_001.nii.gz' (Task01_BrainTumour) in "
            f"'{root}' or up to {_DEPTH} folders below; the data can be had from {_SOURCE}"
        )
    for case, following in zip(cases, cases[1:], strict=False):
        if case.name == following.name:
            raise InputError(f"case '{case.name}' is there twice: '{case.image}' and '{following.image}'")
    years = sorted({year.group() for case in cases if (year := _YEAR.match(case.name))})
    if len(years) > 1:
        raise InputError(
            f"'{root}' holds {' and '.join(years)}, expected one of them: they have patients in common under different "
            "names, which would be in training and test"
        )
    return _labelled(cases)


def _labelled(cases: Sequence[Case]) -> list[Case]:
    """The cases with tumour labels; all where none has them."""
    chosen = [case for case in cases if case.mask is not None]
    left_out = [case.name for case in cases if case.mask is None]
    if chosen and left_out:
        logger.warning(f"brats: {len(left_out)} case(s) without tumour labels left out, first '{left_out[0]}'")
    return chosen or list(cases)


def _find(folder: Path, modality: str, depth: int) -> Iterator[Case]:
    """The cases in a folder and in those below it."""
    names = {name for name in os.listdir(folder) if not name.startswith(".")}
    if any(name.startswith(f"{folder.name}_") and name.endswith(NIFTI) for name in names):
        yield _case(folder, names, modality)
    elif "imagesTr" in names:
        yield from _decathlon(folder, modality)
    elif depth > 0:
        for name in sorted(names):
            if (folder / name).is_dir():
                yield from _find(folder / name, modality, depth - 1)


def _case(folder: Path, names: Set[str], modality: str) -> Case:
    image = _volume(folder, names, f"{folder.name}_{modality}")
    if image is None:
        raise InputError(
            f"case '{folder.name}': no file '{folder.name}_{modality}.nii.gz' or '.nii' in '{folder}'; the data can be "
            f"had from {_SOURCE}"
        )
    # A mask that kept the name of its source, as that of case 355.
    others = [name.partition(".nii")[0] for name in names if re.search(r"_Segm\.nii(\.gz)?$", name)]
    masks = (_volume(folder, names, stem) for stem in (f"{folder.name}_seg", *others))
    return Case(folder.name, image, next((mask for mask in masks if mask is not None), None))


def _volume(folder: Path, names: Set[str], stem: str) -> str | None:
    """Path of the NIfTI file of that name; None where there is none."""
    found = [stem + suffix for suffix in NIFTI if stem + suffix in names]
    if len(found) > 1:
        raise InputError(f"'{folder / found[0]}' and '{found[1]}' have the same name but for the extension")
    return str(folder / found[0]) if found else None


def _decathlon(folder: Path, modality: str) -> Iterator[Case]:
    """The cases of Task01; none where the folder is another task."""
    names = sorted(
        name for name in os.listdir(folder / "imagesTr") if name.startswith("BRATS_") and name.endswith(NIFTI)
    )
    if not names:
        return
    volumes, labels = _description(folder / "dataset.json")
    volume = volumes.index(_MODALITY_NAMES[modality])
    for name in names:
        mask = folder / "labelsTr" / name
        path = str(folder / "imagesTr" / name)
        yield Case(name.partition(".nii")[0], path, str(mask) if mask.is_file() else None, labels, volume)


def _description(path: Path) -> tuple[list[str], tuple[int, ...]]:
    """Names of the volumes in their order, and the label of each class: what dataset.json says, where it is there."""
    facts = {"modality": _VOLUMES, "labels": _LABELS}
    if path.is_file():
        facts |= read_json(path, "the description of Task01_BrainTumour")
    named, labels = facts["modality"], facts["labels"]
    for key, found in (("modality", named), ("labels", labels)):
        if not isinstance(found, Mapping):
            raise InputError(f"'{path}': {key} is {found!r}, expected an object")
    volumes = [str(named[place]).lower() for place in sorted(named)]
    if sorted(volumes) != sorted(_MODALITY_NAMES.values()):
        raise InputError(f"'{path}': modality is {', '.join(volumes)}, expected {', '.join(_VOLUMES.values())}")
    by_class = {_class_of(str(name)): str(label) for label, name in labels.items()}
    if set(by_class) != set(range(len(CLASSES))) or not all(label.isdecimal() for label in by_class.values()):
        names = ", ".join(f"{label} {name}" for label, name in labels.items())
        raise InputError(f"'{path}': labels is {names}, expected {', '.join(_LABELS.values())}")
    return volumes, tuple(int(by_class[place]) for place in range(len(CLASSES)))


def _class_of(name: str) -> int | None:
    """Class index of a label by its name in British or American English; None where it is another thing."""
    # "non-enhancing" holds "enhancing", and "oedema" holds "edema".
    kinds = (("background", 0), ("non-enhancing", 1), ("edema", 2), ("enhancing", 3))
    return next((place for word, place in kinds if word in name.lower()), None)
