"""Which images a run enhances, and where each result goes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from shared.errors import InputError
from shared.inference.formats import SUPPORTED, check_picture, format_of, output_name


def find_images(input: str | None, output_dir: str | None) -> list[dict[str, str]]:
    """Items of the inference data set: ``image`` is the path of a source, ``output`` that of its result.

    A folder is searched with all its sub-folders, in sorted order; hidden files, files of other kinds and what lies
    below ``output_dir`` are left out. The tree of outputs mirrors the tree of inputs. The header of every image is
    read here, so that most bad files are found before the first result is written. One DICOM file is one image.

    Args:
        input: an image file or a folder. None gives an empty list, so that the workflow can be built and checked;
            :func:`require_input` stops a run then.
        output_dir: folder of the results; need not exist.

    Raises:
        InputError: ``output_dir`` is missing, nothing is found, an image cannot be read, two results would get the same
            name, or a result would replace a source.
    """
    if not input:
        return []
    require_input(input, output_dir)
    source, target = Path(str(input)).expanduser(), Path(str(output_dir)).expanduser()
    if target.exists() and not target.is_dir():
        raise InputError(f"output_dir: {target} is a file, expected a folder")
    if source.is_dir():
        items = [(path, target / path.relative_to(source).parent) for path in _images_below(source, target)]
        if not items:
            raise InputError(f"input: no image found in the folder {source}, expected {SUPPORTED}")
    elif source.exists():
        items = [(source, target)]
    else:
        raise InputError(f"input: {source} does not exist, expected an image file or a folder")
    pairs = []
    for path, folder in items:
        check_picture(str(path))
        pairs.append((path, folder / output_name(str(path))))
    _refuse_collisions(pairs)
    return [{"image": str(path), "output": str(output)} for path, output in pairs]


def require_input(input: str | None, output_dir: str | None) -> None:
    """Say what to give when the input or the output folder is not set; the first item of a run.

    Raises:
        InputError: one of them is missing.
    """
    if not input:
        raise InputError("input: not set, expected an image file or a folder: give --input FILE_OR_FOLDER")
    if not output_dir:
        raise InputError("output_dir: not set, expected a folder: give --output_dir FOLDER")


def _images_below(folder: Path, excluded: Path) -> Iterator[Path]:
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
            if not name.startswith(".") and path.is_file() and _is_image(path):
                yield path


def _is_image(path: Path) -> bool:
    try:
        return format_of(str(path)) is not None
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err}") from err


def _refuse_collisions(pairs: list[tuple[Path, Path]]) -> None:
    sources = {path.resolve() for path, _ in pairs}
    for path, output in pairs:
        if output.resolve() in sources:
            raise InputError(f"output_dir: the result of {path} would replace the source {output}")
    twice = [output for output, count in Counter(output for _, output in pairs).items() if count > 1]
    if twice:
        rivals = " and ".join(str(path) for path, output in pairs if output == twice[0])
        raise InputError(f"input: {rivals} would both be written to {twice[0]}; rename one of them")
