"""Which images a run enhances, and where each result goes."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.dicom.series import group_slices
from shared.inference.format_table import SUPPORTED, format_of
from shared.inference.formats import check_output, check_picture, dicom_header, output_name, series_output_name
from shared.inference.large.images import is_large


def find_images(
    input: str | None,
    output_dir: str | None,
    output_format: str = "same",
    large_image_pixels: int | None = None,
    refuse: Callable[[str, InputError], None] | None = None,
) -> list[dict[str, Any]]:
    """Items of the inference data set: ``image`` is the source, ``output`` the path of its result, ``large`` whether it
    is one to enhance in bands (:class:`~shared.inference.LargeImages`).

    A folder is searched with all its sub-folders, in sorted order; hidden files, files of other kinds and what lies
    below ``output_dir`` are left out. The tree of outputs mirrors the tree of inputs. The header of every image is
    read here, so that most bad files are found before the first result is written.

    A source is a path, or the list of the DICOM files in one folder that are the slices of one volume
    (:func:`~shared.inference.dicom.series.group_slices`). The result of such a series is a folder, or one NIfTI file,
    named by the number and description of the series. All other images have results of their own
    (:func:`~shared.inference.formats.output_name`).

    Args:
        input: an image file or a folder. None gives an empty list, so that the workflow can be built and checked;
            :func:`require_input` stops a run then.
        output_dir: folder of the results; need not exist.
        output_format: "same", "dicom", "nifti" or "png"; what the results are written as.
        large_image_pixels: a TIFF image of more pixels than this is a large one; None for no limit.
        refuse: is told the path of each image that cannot be enhanced, and why; it is left out then. None stops at the
            first one.

    Raises:
        InputError: ``output_dir`` is missing, nothing is found, an image cannot be read or not be written in the
            format, two results would get the same name, or a result would replace a source.
    """
    if not input:
        return []
    require_input(input, output_dir)
    source, target = Path(str(input)).expanduser(), Path(str(output_dir)).expanduser()
    if target.exists() and not target.is_dir():
        raise InputError(f"output_dir: {target} is a file, expected a folder")
    if source.is_dir():
        images = list(_images_below(source, target, refuse))
        if not images:
            raise InputError(f"input: no image found in the folder {source}, expected {SUPPORTED}")
    elif source.exists():
        images = [source]
    else:
        raise InputError(f"input: {source} does not exist, expected an image file or a folder")
    root = source if source.is_dir() else source.parent
    items: list[dict[str, Any]] = []
    for folder, members in groupby(images, key=lambda path: path.parent):
        items += _items(list(members), target / folder.relative_to(root), output_format, large_image_pixels, refuse)
    _refuse_collisions(items)
    return items


def require_input(input: str | None, output_dir: str | None) -> None:
    """Say what to give when the input or the output folder is not set; the first item of a run.

    Raises:
        InputError: one of them is missing.
    """
    if not input:
        raise InputError("input: not set, expected an image file or a folder: give --input FILE_OR_FOLDER")
    if not output_dir:
        raise InputError("output_dir: not set, expected a folder: give --output_dir FOLDER")


def _images_below(
    folder: Path, excluded: Path, refuse: Callable[[str, InputError], None] | None
) -> Iterator[Path]:
    if folder.resolve() == excluded.resolve():
        raise InputError(
            f"output_dir: {excluded} is the input folder, expected another one: sources are not replaced"
        )
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != excluded.resolve()
        )
        for name in sorted(names):
            path = here / name
            if name.startswith(".") or not path.is_file():
                continue
            found = False
            with _refusing(str(path), refuse):
                found = _is_image(path)
            if found:
                yield path


def _is_image(path: Path) -> bool:
    try:
        return format_of(str(path)) is not None
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err}") from err


def _items(
    paths: list[Path],
    target: Path,
    output_format: str,
    limit: int | None,
    refuse: Callable[[str, InputError], None] | None,
) -> list[dict[str, Any]]:
    """The items of the images in one folder, in their order."""
    headers: dict[str, Any] = {}
    sources: dict[str, str | list[str]] = {}
    for path in map(str, paths):
        with _refusing(path, refuse):
            header = dicom_header(path)
            if header is not None:
                headers[path] = header
            else:
                check_picture(path)
                sources[path] = path
    for group in group_slices(headers):
        # In the place of its first file.
        sources[min(group)] = group if len(group) > 1 else group[0]
    items: list[dict[str, Any]] = []
    names: Counter[str] = Counter()
    for path, image in sorted(sources.items()):
        with _refusing(path, refuse):
            check_output(image, output_format)
            is_large_one = isinstance(image, str) and is_large(image, limit)
            if is_large_one and output_format != "same":
                raise InputError(
                    f"{path}: has more than {limit} pixels (large_image_pixels), so that it is enhanced in bands and "
                    f"written as TIFF; expected output_format same, found {output_format}"
                )
            if isinstance(image, str):
                name = output_name(image, output_format)
            else:
                name = series_output_name(headers[path], output_format)
                names[name] += 1
                name = _numbered(name, names[name])
            items.append({"image": image, "output": str(target / name), "large": is_large_one})
    return items


@contextlib.contextmanager
def _refusing(path: str, refuse: Callable[[str, InputError], None] | None) -> Iterator[None]:
    try:
        yield
    except InputError as err:
        if refuse is None:
            raise
        refuse(path, err)


def _numbered(name: str, number: int) -> str:
    """Several volumes of one series (echoes, phases) share a name."""
    if number == 1:
        return name
    stem = name.removesuffix(".nii.gz")
    return f"{stem}_{number}{name[len(stem) :]}"


def _refuse_collisions(items: list[dict[str, Any]]) -> None:
    sources = protected(file for item in items for file in source_files(item))
    for item in items:
        output = Path(item["output"])
        if output.resolve() in sources:
            raise InputError(f"output_dir: the result of {source_files(item)[0]} would replace the source {output}")
    twice = [output for output, count in Counter(item["output"] for item in items).items() if count > 1]
    if twice:
        rivals = " and ".join(str(source_files(item)[0]) for item in items if item["output"] == twice[0])
        raise InputError(f"input: {rivals} would both be written to {twice[0]}; rename one of them")


def protected(sources: Iterable[Path]) -> set[Path]:
    """Resolved paths that no result may take: sources, and their folders, as a series may bear its folder's name."""
    files = {path.resolve() for path in sources}
    return files | {path.parent for path in files}


def source_files(item: Mapping[str, Any]) -> list[Path]:
    """Return the files of an item: one, or those of a series."""
    image = item["image"]
    return [Path(file) for file in ([image] if isinstance(image, str) else image)]
