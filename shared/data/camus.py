"""CAMUS: 2-D echocardiography, apical two- and four-chamber views at end diastole and end systole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.data.folders import existing_dataset, read_lines, require_all
from shared.data.locations import SOURCES
from shared.data.medical import META_IMAGE, NIFTI
from shared.data.splits import SECTIONS, check_choice, in_hash_order, split_groups
from shared.errors import InputError

VIEWS = ("2CH", "4CH")
PHASES = ("ED", "ES")
#: Values of ImageQuality, from best to worst.
QUALITIES = ("Good", "Medium", "Poor")
#: Values of the label maps.
LABELS = ("background", "endocardium", "myocardium", "left atrium")

_SOURCE = SOURCES["camus"]
#: The folder of the patients in the new and in the old archive.
_FOLDERS = ("database_nifti", "training")
_SPLIT = "database_split"
_TEST_FRACTION, _POOR_OF_TEST = 0.1, 0.2


def datalist(dataset_dir: str | os.PathLike[str], section: str, seed: int = 0) -> list[dict[str, Any]]:
    """List the frames of one section; no image is opened.

    The official split (``database_split/subgroup_*.txt``, 400/50/50 patients) is used when it lies there. Otherwise
    a tenth of the patients are test, one in five of them with poor image quality (as far as there are such), and a
    tenth of the others validation. A patient's quality is the worst of its views. ``_half_sequence`` files and the
    old archive's ``testing`` folder, which came without label maps, are left out.

    Args:
        dataset_dir: the folder that holds ``database_nifti`` (new archive) or ``training`` (old archive, MetaImage),
            one level deeper or not, or the patients' folders themselves.
        section: "training", "validation" or "test".
        seed: of the split, where there is no official one.

    Returns:
        Sorted by id; keys ``id`` ("patient0001_2CH_ED"), ``group`` ("patient0001"), ``label`` (image path), ``mask``
        (path of the label map, whose values index `LABELS`) and ``quality`` (one of `QUALITIES`, of the view).

    Raises:
        InputError: folder missing or empty, an image without label map or a label map without image, a cfg file
            missing or without a known ImageQuality, split files that do not fit the patients, unknown section.
    """
    check_choice("section", section, SECTIONS)
    root = existing_dataset(dataset_dir, _SOURCE)
    folder = _patients_folder(root)
    items = [item for patient in _patients(folder) for item in _frames(folder / patient)]
    official = _split_folder(root, folder)
    if official is not None:
        sections = _official_split(official, {item["group"] for item in items}, folder)
    else:
        sections = _balanced_split(items, seed)
    return [item for item in items if sections[item["group"]] == section]


def _patients_folder(root: Path) -> Path:
    """The folder that holds the patients' folders: of the archive's name at most two levels down, or the root."""
    for name in _FOLDERS:
        for place in (root / name / name, root / name, *sorted(root.glob(f"*/{name}"))):
            if place.is_dir() and _patients(place):
                return place
    if _patients(root):
        return root
    raise InputError(
        f"no folder 'patient0001', … in '{root}' or its '{_FOLDERS[0]}' (new archive) or '{_FOLDERS[1]}' (old "
        f"archive); the data can be had from {_SOURCE}"
    )


def _patients(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if re.fullmatch(r"patient\d+", entry.name) and entry.is_dir())


def _frames(folder: Path) -> list[dict[str, Any]]:
    """The items of one patient."""
    patient, names = folder.name, set(os.listdir(folder))
    frames = [f"{patient}_{view}_{phase}" for view in VIEWS for phase in PHASES]
    images, masks = (_existing(folder, names, frames, suffix) for suffix in ("", "_gt"))
    require_all(images, masks, f"label map '<image>_gt{NIFTI[1]}' or '<image>_gt{META_IMAGE[0]}'", folder)
    lost = sorted(masks.keys() - images.keys())
    if lost or not images:
        raise InputError(f"no image '{(lost or frames)[0]}' ({', '.join((*NIFTI, *META_IMAGE))}) in '{folder}'")
    qualities = {view: _quality(folder / f"Info_{view}.cfg") for view in sorted({_view(name) for name in images})}
    return [
        {"id": name, "group": patient, "label": path, "mask": masks[name], "quality": qualities[_view(name)]}
        for name, path in images.items()
    ]


def _view(frame: str) -> str:
    return frame.split("_")[1]


def _existing(folder: Path, names: set[str], frames: Iterable[str], suffix: str) -> dict[str, str]:
    """Frame to path of the file there is; one frame in two formats is an error."""
    found = {}
    for frame in frames:
        files = [f"{frame}{suffix}{end}" for end in (*NIFTI, *META_IMAGE) if f"{frame}{suffix}{end}" in names]
        if len(files) > 1:
            raise InputError(f"'{folder / files[0]}' and '{files[1]}' have the same name but for the extension")
        if files:
            found[frame] = str(folder / files[0])
    return found


def _quality(path: Path) -> str:
    """ImageQuality of a cfg file of ``Key: value`` lines; line ends and letter case do not matter."""
    for line in read_lines(path, _SOURCE):
        key, _, value = line.partition(":")
        if key.strip().lower() == "imagequality":
            if value.strip().capitalize() not in QUALITIES:
                raise InputError(f"'{path}': ImageQuality '{value.strip()}', expected one of {', '.join(QUALITIES)}")
            return value.strip().capitalize()
    raise InputError(f"'{path}' has no line 'ImageQuality: …', expected one of {', '.join(QUALITIES)}")


def _split_folder(root: Path, patients: Path) -> Path | None:
    """The folder of the official split, in the root, nested, or beside the patients' folder; None without one."""
    for base in (root, patients.parent):
        for place in (base / _SPLIT / _SPLIT, base / _SPLIT, base):
            if any(place.glob("subgroup_*.txt")):
                return place
    return None


def _official_split(folder: Path, patients: set[str], where: Path) -> dict[str, str]:
    """Patient to section, from the three files ``subgroup_{training,validation,testing}.txt``."""
    sections: dict[str, str] = {}
    for section in SECTIONS:
        path = folder / f"subgroup_{'testing' if section == 'test' else section}.txt"
        for patient in read_lines(path, _SOURCE):
            if patient not in patients:
                raise InputError(f"'{path}' names '{patient}', which has no folder in '{where}'")
            if sections.setdefault(patient, section) != section:
                raise InputError(f"'{path}' names '{patient}', which is in the {sections[patient]} part already")
    unnamed = sorted(patients - sections.keys())
    if unnamed:
        raise InputError(f"{len(unnamed)} patient(s) of '{where}' are in no file of '{folder}': {unnamed[0]}, …")
    return sections


def _balanced_split(items: Iterable[Mapping[str, Any]], seed: int) -> dict[str, str]:
    """Patient to section: one test patient in five is poor, in each part ordered by the hash of `split_groups`."""
    worst: dict[str, str] = {}
    for item in items:
        worst[item["group"]] = max(item["quality"], worst.get(item["group"], QUALITIES[0]), key=QUALITIES.index)
    counts = Counter(quality == "Poor" for quality in worst.values())
    tests = max(1, round(_TEST_FRACTION * len(worst)))
    poor = min(max(round(_POOR_OF_TEST * tests), tests - counts[False]), counts[True])
    sections: dict[str, str] = {}
    for is_poor, count in ((True, poor), (False, tests - poor)):
        part = in_hash_order((name for name, quality in worst.items() if (quality == "Poor") == is_poor), seed)
        sections.update(dict.fromkeys(part[:count], "test"))
    rest = worst.keys() - sections.keys()
    return sections | split_groups(rest, test=0.0, validation=0.1, seed=seed)
