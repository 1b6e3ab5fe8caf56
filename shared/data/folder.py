"""A person's own folder of clean images, with masks, a table of classes and groups, or neither."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shared.data.folder_classes import class_names_of, read_classes
from shared.data.folder_files import image_files
from shared.data.folders import require_all
from shared.data.image_sizes import exif_orientation, why_turned
from shared.data.mask_values import ValueUse, doubt_about, mask_values
from shared.data.shared_ranges import SharedRange, shared_ranges
from shared.data.slices import ImageContent, check_plane, image_content, mask_content
from shared.data.splits import SECTIONS, check_choice, select_section, taken_evenly
from shared.errors import InputError
from shared.images.left_out import LeftOut
from shared.images.scaling import IntensityScaling

logger = logging.getLogger("shared.data")

MIN_SIDE = 16
"""Smallest height and width of an image, in pixels: a window of SSIM has to fit."""

MIN_GROUPS = 3

PathLike = str | os.PathLike[str]
Masks = PathLike | Literal[False] | None


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
        ranges: what the images of each kind share that are scaled by a number of bits.
        left_out: what is not taken of the folders of images and masks, by the key that names the folder.
    """

    references: tuple[Reference, ...]
    class_names: tuple[str, ...]
    mask_values: tuple[int, ...]
    ranges: Mapping[str, SharedRange] = field(default_factory=dict)
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """1 when every image is grey (also grey stored as colour), else 3."""
        return 3 if any(reference.content.colour for reference in self.references) else 1

    @property
    def intensity_ranges(self) -> dict[str, str]:
        """Which stored values of the images of each kind go to 0 and 1, in words: ``12 bits: 0 to 4095``."""
        return {kind: shared.scale for kind, shared in self.ranges.items()}


def survey(
    dataset_dir: PathLike,
    masks: Masks = None,
    classes: PathLike | None = None,
    plane: str = "axial",
    scaling: IntensityScaling | None = None,
) -> FolderContents:
    """Read the whole folder once and check that its parts fit together, before anything long begins.

    The log says which range the images of one kind share and which classes the masks have, and warns of masks whose
    values are hardly classes.

    Images are the files of ``<dataset_dir>/images`` where there is such a folder, else of ``<dataset_dir>``, with
    sub-folders, of any format that inference reads. What is not given is taken from ``<dataset_dir>/masks`` and
    ``<dataset_dir>/classes.csv`` where they exist, or from beside a folder that is itself called ``images``. A mask
    has its image's name and sub-folder, in any format. Its values need not be 0, 1, 2, …: the distinct values of all
    masks, in ascending order, are the classes (0 and 255 become 0 and 1).

    The table has a column ``image`` (name or path below the folder, with or without suffix) and ``class`` (name or
    number), ``group``, or both; classes are numbered in their sorted order.

    An image's group (patient, lesion) is the table's; without that column the first sub-folder it lies in; at the
    top of the folder each image is its own. All slices of a volume belong to one group.

    Images of one kind (format, stored type, DICOM's modality, colour) that the rule scales by a number of bits share
    the smallest range that holds the values of all.

    Args:
        dataset_dir: the folder.
        masks: folder of masks; False passes over any that there is.
        classes: comma-separated file.
        plane: in which volumes are cut.
        scaling: rule that maps stored intensities to [0, 1]; None for the default rule.

    Raises:
        InputError: a folder is missing, a file or has no image; two files with one name; a file that cannot be read;
            an image without mask, class or group or the other way round; a mask of another size; nothing to tell
            apart; fewer than three groups; an image that needs more bits than the rule's.
    """
    contents, found = _survey(dataset_dir, masks, classes, plane, scaling)
    for key, left_out in contents.left_out.items():
        if left_out:
            logger.info(f"{key}: {left_out}")
    for kind, shared in contents.ranges.items():
        logger.info(f"{shared.bits} of {shared.stored_bits} bits: {kind}, {shared.files} file(s)")
    if found:
        numbers = ", ".join(map(str, range(len(found))))
        logger.info(f"masks: values {', '.join(map(str, found))} are classes {numbers}")
    with_mask = [reference for reference in contents.references if reference.mask is not None]
    doubt = doubt_about(found, len(with_mask))
    if doubt is not None:
        logger.warning(f"masks: {doubt}")
    turned = [one.path for one in with_mask if exif_orientation(one.path) != 1 == exif_orientation(str(one.mask))]
    if turned:
        logger.warning(
            f"masks: {len(turned)} image(s) are turned upright by their EXIF orientation, first '{turned[0]}'; "
            "their masks must be upright as they are stored"
        )
    return contents


def _survey(
    dataset_dir: PathLike,
    masks: Masks,
    classes: PathLike | None,
    plane: str,
    scaling: IntensityScaling | None = None,
) -> tuple[FolderContents, dict[int, ValueUse]]:
    """What :func:`survey` returns, and where the values of the masks occur; nothing is logged."""
    check_plane(plane)
    root, mask_folder, table = _places(dataset_dir, None if masks is False else masks, classes)
    left_out = {"dataset_dir": LeftOut(), "masks": LeftOut()}
    used = {path for path in (mask_folder, table) if path is not None}
    images = image_files(root, used, "dataset_dir", left_out["dataset_dir"])
    labels = {}
    if mask_folder is not None and masks is not False:
        labels = image_files(mask_folder, set(), "masks", left_out["masks"])
        require_all(images, labels, "mask", mask_folder)
        stray = [path for name, path in labels.items() if name not in images]
        if stray:
            raise InputError(f"masks: {len(stray)} mask(s) without image in '{root}', first '{stray[0]}'")
    rows = {} if table is None else read_classes(table, images, root)
    class_names = class_names_of(rows, table)
    references = []
    for name, path in images.items():
        content = _checked_content(path, labels.get(name), plane)
        row = rows.get(name, {})
        group = row.get("group") or (name.split("/")[0] if "/" in name else name)
        label = class_names.index(row["class"]) if class_names else None
        references.append(Reference(name, path, group, labels.get(name), label, content))
    if len({reference.group for reference in references}) < MIN_GROUPS:
        raise InputError(_too_few_groups(root, references))
    values = mask_values(labels, plane)
    stored = ((reference.path, reference.content.stored) for reference in references)
    ranges = shared_ranges(stored, scaling if scaling is not None else IntensityScaling())
    return FolderContents(tuple(references), class_names, tuple(values), ranges, left_out), values


def datalist(
    dataset_dir: PathLike,
    section: str,
    masks: Masks = None,
    classes: PathLike | None = None,
    plane: str = "axial",
    limit: int | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
) -> list[dict[str, Any]]:
    """List the images of one section, one item per picture and per slice with content of a volume.

    ``test_fraction`` of the groups is test, 10 % of the others validation, at least one each.

    Args:
        dataset_dir: see :func:`survey`, as ``masks``, ``classes`` and ``plane``.
        section: "training", "validation" or "test".
        masks: folder of masks, or False for none.
        classes: table of classes and groups.
        plane: in which volumes are cut.
        limit: largest number of items, taken evenly from all; None for all.
        seed: of the split.
        test_fraction: between 0 and 1.

    Returns:
        Sorted by file and slice; keys ``id`` (with ``:<slice>`` for a volume), ``group``, ``label`` (image path),
        ``slice``, and ``mask`` (path) and ``class`` (index) as far as the folder has them.

    Raises:
        InputError: as :func:`survey`; unknown section.
    """
    check_choice("section", section, SECTIONS)
    contents, _ = _survey(dataset_dir, masks, classes, plane)
    items = [item for reference in contents.references for item in _items(reference)]
    selected = select_section(items, section, test_fraction, seed=seed)
    selected = taken_evenly(selected, limit)
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


def _checked_content(path: str, mask: str | None, plane: str) -> ImageContent:
    content = image_content(path, plane)
    if not content.slices:
        raise InputError(f"{path}: found one intensity only, expected an image")
    height, width, _ = content.shape
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{path}: found {width}x{height} pixels, expected at least {MIN_SIDE}x{MIN_SIDE}")
    if mask is not None and (shape := mask_content(mask, plane).shape) != content.shape:
        found, expected = _size(shape), _size(content.shape)
        turned = why_turned(path, shape, content.shape)
        raise InputError(f"{mask}: found a mask of {found}, but its image '{path}' has {expected}{turned}")
    return content


def _size(shape: tuple[int, ...]) -> str:
    height, width, slices = shape
    return f"{width}x{height} pixels" + (f" and {slices} slices" if slices > 1 else "")


def _too_few_groups(root: Path, references: list[Reference]) -> str:
    groups = sorted({reference.group for reference in references})
    return (
        f"dataset_dir: {len(references)} image file(s) of {len(groups)} group(s) ({', '.join(groups)}) in '{root}', "
        f"expected at least {MIN_GROUPS} groups, for training, validation and test; a group is what the column group "
        "of --classes says, else the sub-folder, else the file"
    )
