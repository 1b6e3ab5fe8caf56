"""COVID-CT: chest CT slices, cut out of papers, of patients with COVID-19 and of others."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.data.folders import existing_dataset, find_file, find_folder, read_lines
from shared.data.locations import SOURCES
from shared.data.splits import SECTIONS, SPLITS, check_choice, in_hash_order, split_groups
from shared.data.spreadsheet import read_sheet
from shared.errors import InputError

logger = logging.getLogger("shared.data")

#: Classes in the order of their indices.
CLASSES = ("NonCOVID", "COVID")
TABLE = "COVID-CT-MetaInfo.xlsx"

_EXTENSIONS = (".png", ".jpg", ".jpeg")
_LISTS = {"training": "train", "validation": "val", "test": "test"}
#: The GradProm paper tests on 146 of the 746 images.
_TEST_SHARE = 146 / 746
_SOURCE = SOURCES["covid_ct"]


def datalist(
    dataset_dir: str | os.PathLike[str], section: str, split: str = "official", seed: int = 0
) -> list[dict[str, Any]]:
    """List the images of one section; no image is opened.

    The group of a COVID image is its patient in ``COVID-CT-MetaInfo.xlsx``. Where the table is missing, or lacks an
    image of a source, it is the source that the file's name begins with (``2020.03.04.20031047`` of
    ``2020.03.04.20031047-p12-81%0.png``). The group of the other images, of which no table tells, is what stands
    before ``%`` (``91.jpg`` of ``91%0.jpg``). Names are compared as they are: ``%`` is no escape here.

    Args:
        dataset_dir: the repository's folder, with its two archives of images unpacked; with or without
            ``COVID-CT-master/`` and ``Images-processed/``, ``CT_COVID/`` and ``CT_COVID/CT_COVID/`` both do.
        section: "training", "validation" or "test".
        split: "official" takes the lists in ``Data-split/`` (425, 118 and 203 images; an image that is in none of
            them is left out) or, where that folder is missing, the other split, with a warning. "paper" takes the
            GradProm paper's 600 and 146 images, here with no patient on both sides; a tenth of the 600's groups
            validate.
        seed: of the split "paper".

    Returns:
        Sorted by id; keys ``id`` (``COVID/<file name>``), ``group``, ``label`` (image path) and ``class`` (index
        into :data:`CLASSES`).

    Raises:
        InputError: folder missing, empty or without images, images still packed, a list missing, empty, naming an
            image that is not there or one that another list names too, an unreadable table, unknown section or split.
    """
    check_choice("section", section, SECTIONS)
    check_choice("split", split, SPLITS)
    root = existing_dataset(dataset_dir, _SOURCE)
    root = root / "COVID-CT-master" if (root / "COVID-CT-master").is_dir() else root
    images = {name: _images(root, name) for name in CLASSES}
    items: list[dict[str, Any]] = [
        {"id": f"{name}/{file}", "group": group, "label": images[name][file], "class": number}
        for number, name in enumerate(CLASSES)
        for file, group in _groups(root, name, images[name]).items()
    ]
    lists = root / "Data-split"
    if split == "official" and lists.is_dir():
        sections = _official(lists, images)
    else:
        if split == "official":
            logger.warning(f"no folder 'Data-split' in '{root}': its images are split by patient instead")
        sections = _patient_wise(items, seed)
    chosen = [item for item in items if sections.get(item["id"]) == section]
    return sorted(chosen, key=lambda item: str(item["id"]))


def _images(root: Path, name: str) -> dict[str, str]:
    """File name to path for the images of one class; two may differ in their extension alone."""
    base = root / "Images-processed" if (root / "Images-processed").is_dir() else root
    archive = base / f"CT_{name}.zip"
    if archive.is_file() and not (base / f"CT_{name}").is_dir():
        raise InputError(f"'{archive}' is still packed: unpack it where it lies")
    folder = find_folder(base, [f"CT_{name}"], _SOURCE)
    with os.scandir(folder) as entries:
        found = {entry.name: entry.path for entry in entries if not entry.name.startswith(".")}
    found = {file: path for file, path in sorted(found.items()) if file.lower().endswith(_EXTENSIONS)}
    if not found:
        raise InputError(
            f"no file with extension {', '.join(_EXTENSIONS)} in '{folder}'; the data can be had from {_SOURCE}"
        )
    return found


def _groups(root: Path, name: str, files: Iterable[str]) -> dict[str, str]:
    """File name to group."""
    if name == "NonCOVID":
        return {file: f"{name}/{re.sub(r'%[0-9]+(?=[.][^.]+$)', '', file)}" for file in files}
    patients = _patients(root)
    # A source with one image outside the table could show a patient twice, so it is kept together.
    unknown = {_source(file) for file in files if file not in patients}
    return {
        file: f"{name}/{_source(file) if _source(file) in unknown else patients[file]}" for file in files
    }


def _patients(root: Path) -> dict[str, str]:
    """File name to patient, as far as there is a table; it names some of its files without ``.png``."""
    if not (root / TABLE).is_file():
        return {}
    patients = {}
    for row in read_sheet(root / TABLE, ("File name", "Patient ID")):
        file, patient = row["File name"], row["Patient ID"]
        if file and patient:
            patients[file if file.lower().endswith(_EXTENSIONS) else f"{file}.png"] = patient
    return patients


def _source(file: str) -> str:
    """The source a COVID file's name begins with: what stands before a page ``-p12-…`` or the number of a panel."""
    stem = re.sub(r"%[0-9]+$", "", os.path.splitext(file)[0])
    return re.sub(r"(-p[0-9]+-.*|_[0-9])$", "", stem)


def _official(lists: Path, images: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Image id to section, from the lists that the data come with."""
    sections: dict[str, str] = {}
    for name in CLASSES:
        for section, word in _LISTS.items():
            path = find_file(lists, f"{word}CT_{name}.txt", [name], _SOURCE)
            files = read_lines(path, _SOURCE)
            if not files:
                raise InputError(f"'{path}' is empty, expected one image name a line")
            absent = [file for file in files if file not in images[name]]
            if absent:
                names = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
                raise InputError(f"'{path}' names {len(absent)} image(s) that are not in 'CT_{name}': {names}")
            for file in files:
                if sections.setdefault(f"{name}/{file}", section) != section:
                    other = _LISTS[sections[f"{name}/{file}"]]
                    raise InputError(f"'{path}' names '{file}', which is in '{other}CT_{name}.txt' too")
    return sections


def _patient_wise(items: Sequence[Mapping[str, Any]], seed: int) -> dict[str, str]:
    """Image id to section, class by class: 146 of 746 images, whole groups of them, are test.

    Groups are taken in an order that depends on seed and name alone; one that would overshoot is passed over. A tenth
    of the other groups validates.
    """
    wanted = round(len(items) * _TEST_SHARE)
    sections: dict[str, str] = {}
    for number in range(len(CLASSES)):
        members = [item for item in items if item["class"] == number]
        sizes = Counter(str(item["group"]) for item in members)
        # What rounding leaves goes to the last class.
        share = wanted if number == len(CLASSES) - 1 else round(len(members) * _TEST_SHARE)
        for group in in_hash_order(sizes, seed):
            if sizes[group] <= share:
                sections[group] = "test"
                share, wanted = share - sizes[group], wanted - sizes[group]
        sections |= split_groups((group for group in sizes if group not in sections), 0, seed=seed)
    return {item["id"]: sections[item["group"]] for item in items}
