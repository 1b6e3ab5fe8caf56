"""A person's own folder of clean images, with masks, a table of classes and groups, or neither."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.data.folders import read_table, require_all, table_columns
from shared.data.slices import ImageContent, check_plane, image_content, mask_content, stem
from shared.data.splits import SECTIONS, check_choice, select_section
from shared.errors import InputError
from shared.inference.formats import SUPPORTED, format_of

logger = logging.getLogger("shared.data")

MIN_SIDE = 16
"""Smallest height and width of an image, in pixels: a window of SSIM has to fit."""

MAX_MASK_CLASSES = 64
"""With more distinct values a file is no mask, or one that JPEG compression or interpolation has spoilt."""

MIN_GROUPS = 3

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Reference:
    """One image file: its id (path below the folder, without suffix), group, mask, class index and content."""

    id: str
    path: str
    group: str
    mask: str | None
    label: int | None
    content: ImageContent


@dataclass(frozen=True)
class FolderContents:
    """All that a folder holds.

    Attributes:
        references: the images, sorted by id.
        class_names: classes of the table by index; empty without.
        mask_values: values of all masks by class index; empty without.
    """

    references: tuple[Reference, ...]
    class_names: tuple[str, ...]
    mask_values: tuple[int, ...]

    @property
    def channels(self) -> int:
        """1 when every image is grey (also grey stored as colour), else 3."""
        return 3 if any(reference.content.colour for reference in self.references) else 1


def survey(
    dataset_dir: PathLike, masks: PathLike | None = None, classes: PathLike | None = None, plane: str = "axial"
) -> FolderContents:
    """Read the whole folder once and check that its parts fit together, before anything long begins.

    Images are the files of ``<dataset_dir>/images`` where there is such a folder, else of ``<dataset_dir>``, with
    sub-folders; PNG, JPEG, BMP, TIFF, NIfTI and DICOM. What is not given is taken from ``<dataset_dir>/masks`` and
    ``<dataset_dir>/classes.csv`` where they exist, or from beside a folder that is itself called ``images``. A mask
    has its image's name and sub-folder, in any format. Its values need not be 0, 1, 2, …: the distinct values of all
    masks, in ascending order, are the classes (0 and 255 become 0 and 1).

    The table has a column ``image`` (name or path below the folder, with or without suffix) and ``class`` (name or
    number), ``group``, or both; classes are numbered in their sorted order.

    An image's group (patient, lesion) is the table's; without that column the first sub-folder it lies in; at the
    top of the folder each image is its own. All slices of a volume belong to one group.

    Args:
        dataset_dir: the folder.
        masks: folder of masks.
        classes: comma-separated file.
        plane: in which volumes are cut.

    Raises:
        InputError: a folder is missing, a file or has no image; two files with one name; a file that cannot be read;
            an image without mask, class or group or the other way round; a mask of another size; nothing to tell
            apart; fewer than three groups.
    """
    check_plane(plane)
    root, masks, table = _places(dataset_dir, masks, classes)
    images = _files(root, skip=masks, name="dataset_dir")
    labels = {} if masks is None else _files(masks, skip=None, name="masks")
    if masks is not None:
        require_all(images, labels, "mask", masks)
        stray = [path for name, path in labels.items() if name not in images]
        if stray:
            raise InputError(f"masks: {len(stray)} mask(s) without image in '{root}', first '{stray[0]}'")
    rows = {} if table is None else _read_classes(table, images, root)
    class_names = _class_names(rows, table)
    references = []
    for name, path in images.items():
        content = _checked_content(path, labels.get(name), plane)
        row = rows.get(name, {})
        group = row.get("group") or (name.split("/")[0] if "/" in name else name)
        label = class_names.index(row["class"]) if class_names else None
        references.append(Reference(name, path, group, labels.get(name), label, content))
    if len({reference.group for reference in references}) < MIN_GROUPS:
        raise InputError(_too_few_groups(root, references))
    return FolderContents(tuple(references), class_names, _mask_values(labels, plane))


def datalist(
    dataset_dir: PathLike,
    section: str,
    masks: PathLike | None = None,
    classes: PathLike | None = None,
    plane: str = "axial",
    limit: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """List the images of one section, one item per picture and per slice with content of a volume.

    20 % of the groups are test, 10 % of the others validation, at least one each.

    Args:
        dataset_dir: see :func:`survey`, as ``masks``, ``classes`` and ``plane``.
        section: "training", "validation" or "test".
        masks: folder of masks.
        classes: table of classes and groups.
        plane: in which volumes are cut.
        limit: largest number of items, taken evenly from all; None for all.
        seed: of the split.

    Returns:
        Sorted by file and slice; keys ``id`` (with ``:<slice>`` for a volume), ``group``, ``label`` (image path),
        ``slice``, and ``mask`` (path) and ``class`` (index) as far as the folder has them.

    Raises:
        InputError: as :func:`survey`; unknown section.
    """
    check_choice("section", section, SECTIONS)
    contents = survey(dataset_dir, masks, classes, plane)
    items = [item for reference in contents.references for item in _items(reference)]
    selected = select_section(items, section, seed=seed)
    if limit is not None and limit < len(selected):
        selected = [selected[place * len(selected) // limit] for place in range(limit)]
    groups = len({item["group"] for item in selected})
    logger.info(f"{section}: {len(selected)} images of {groups} groups")
    return selected


def _items(reference: Reference) -> Iterator[dict[str, Any]]:
    is_volume = reference.content.shape[-1] > 1
    for place in reference.content.slices:
        name = f"{reference.id}:{place:03d}" if is_volume else reference.id
        item: dict[str, Any] = {"id": name, "group": reference.group, "label": reference.path, "slice": place}
        if reference.mask is not None:
            item["mask"] = reference.mask
        if reference.label is not None:
            item["class"] = reference.label
        yield item


def _places(
    dataset_dir: PathLike, masks: PathLike | None, classes: PathLike | None
) -> tuple[Path, Path | None, Path | None]:
    """Folder of the images, folder of the masks and table, the last two None where there are none."""
    given = Path(dataset_dir).expanduser()
    _require_folder("dataset_dir", given)
    root = given / "images" if (given / "images").is_dir() else given
    if masks is not None:
        _require_folder("masks", Path(masks).expanduser())
    if classes is not None and not Path(classes).expanduser().is_file():
        raise InputError(f"classes: expected an existing file, found '{classes}'")
    beside = [given, given.resolve().parent] if given.resolve().name == "images" else [given]
    mask_folders = [place / "masks" for place in beside] if masks is None else [Path(masks).expanduser()]
    tables = [place / "classes.csv" for place in beside] if classes is None else [Path(classes).expanduser()]
    mask_folder = next((folder for folder in mask_folders if folder.is_dir()), None)
    if mask_folder is not None and mask_folder.resolve() == root.resolve():
        raise InputError(f"masks: found '{mask_folder}', the folder of the images, expected another one")
    return root, mask_folder, next((table for table in tables if table.is_file()), None)


def _require_folder(key: str, folder: Path) -> None:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(f"{key}: expected a folder of images, found {found} at '{folder}'")


def _files(root: Path, skip: Path | None, name: str) -> dict[str, str]:
    """Map id to path, sorted by id, for all images below a folder; hidden files and ``skip`` are left out."""
    found: dict[str, str] = {}
    excluded = None if skip is None else skip.resolve()
    for parent, folders, names in os.walk(root, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != excluded)
        for path in (here / file for file in sorted(names) if not file.startswith(".")):
            if not path.is_file() or format_of(str(path)) is None:
                continue
            key = (path.relative_to(root).parent / stem(path)).as_posix()
            if key in found:
                raise InputError(f"{name}: '{path}' and '{found[key]}' have the same name but for the suffix")
            found[key] = str(path)
    if not found:
        raise InputError(f"{name}: no image found in the folder '{root}', expected {SUPPORTED}")
    return dict(sorted(found.items()))


def _read_classes(table: Path, images: Mapping[str, str], root: Path) -> dict[str, dict[str, str]]:
    """Map an image's id to its row."""
    columns = [name for name in ("class", "group") if name in table_columns(table)]
    if not columns:
        raise InputError(f"classes: '{table}' has neither a column class nor a column group")
    aliases = _aliases(images, root)
    rows: dict[str, dict[str, str]] = {}
    for row in read_table(table, ("image", *columns)):
        names = aliases.get(row["image"].replace("\\", "/"), set())
        if len(names) != 1:
            found = f"{len(names)} images of that name" if names else "no such image"
            raise InputError(f"classes: '{table}' names '{row['image']}', found {found} in '{root}'")
        (name,) = names
        if rows.setdefault(name, row) != row:
            raise InputError(f"classes: '{table}' has two rows for the image '{name}' that differ")
    for column in columns:
        require_all(images, (name for name, row in rows.items() if row[column]), column, table)
    return rows


def _aliases(images: Mapping[str, str], root: Path) -> dict[str, set[str]]:
    """What a table may call an image: its path or name, with or without suffix; to the ids that it may mean."""
    aliases: dict[str, set[str]] = {}
    for name, path in images.items():
        relative = Path(path).relative_to(root).as_posix()
        for alias in {name, relative, Path(path).name, stem(Path(path))}:
            aliases.setdefault(alias, set()).add(name)
    # A full path always means its own image, also where a sub-folder repeats the name.
    return aliases | {name: {name} for name in images} | {
        Path(path).relative_to(root).as_posix(): {name} for name, path in images.items()
    }


def _class_names(rows: Mapping[str, Mapping[str, str]], table: Path | None) -> tuple[str, ...]:
    found = {row["class"] for row in rows.values() if "class" in row}
    if len(found) == 1:
        raise InputError(f"classes: '{table}' has one class only ('{found.pop()}'), expected at least two")
    numbers = all(name.lstrip("-").isdigit() for name in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))


def _checked_content(path: str, mask: str | None, plane: str) -> ImageContent:
    content = image_content(path, plane)
    if not content.slices:
        raise InputError(f"{path}: found one intensity only, expected an image")
    height, width, _ = content.shape
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{path}: found {width}x{height} pixels, expected at least {MIN_SIDE}x{MIN_SIDE}")
    if mask is not None and (shape := mask_content(mask, plane).shape) != content.shape:
        raise InputError(f"{mask}: found a mask of {_size(shape)}, but its image '{path}' has {_size(content.shape)}")
    return content


def _size(shape: tuple[int, ...]) -> str:
    height, width, slices = shape
    return f"{width}x{height} pixels" + (f" and {slices} slices" if slices > 1 else "")


def _mask_values(masks: Mapping[str, str], plane: str) -> tuple[int, ...]:
    values: set[int] = set()
    for path in masks.values():
        values.update(mask_content(path, plane).values)
        if len(values) > MAX_MASK_CLASSES:
            raise InputError(
                f"masks: more than {MAX_MASK_CLASSES} different values, reached at '{path}', expected 0 and 255, or "
                "the index of a class; JPEG compression and smooth resizing spoil masks"
            )
    if len(values) == 1:
        raise InputError(f"masks: all masks hold the value {values.pop()} alone, expected at least two classes")
    return tuple(sorted(values))


def _too_few_groups(root: Path, references: list[Reference]) -> str:
    groups = sorted({reference.group for reference in references})
    return (
        f"dataset_dir: {len(references)} image file(s) of {len(groups)} group(s) ({', '.join(groups)}) in '{root}', "
        f"expected at least {MIN_GROUPS} groups, for training, validation and test; a group is what the column group "
        "of --classes says, else the sub-folder, else the file"
    )
