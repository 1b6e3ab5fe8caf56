"""Files and folders of results that take the place of earlier ones whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from shared.errors import InputError
from shared.files import hidden_name, whole_file, whole_folder
from shared.images.format_table import images_in


@contextlib.contextmanager
def result_file(path: str) -> Iterator[str]:
    """Give a path to write a file to, which becomes ``path`` when all went well; folders are made.

    Raises:
        InputError: there is a folder of that name.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{path}: is a folder, expected a file or nothing there")
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        yield str(partial)


@contextlib.contextmanager
def result_folder(path: str) -> Iterator[str]:
    """Give an empty folder to fill with files, which becomes ``path`` when all went well; parents are made.

    Of a folder that is there already, files of the same names are replaced, all at once. What else it holds is a
    person's or the system's (notes, ``.DS_Store``, ``Thumbs.db``, an editor's backup, folders) and is moved over, never
    deleted. An image of another name is refused: a reader of the folder would take it for a part of the result.

    Raises:
        InputError: there is a file of that name, or a folder that holds another image, or a folder in the place of one
            of the files.
    """
    # The folder that a link leads to is replaced, not the link.
    target = Path(path).resolve()
    if target.exists() and not target.is_dir():
        raise InputError(f"{path}: is a file, expected a folder or nothing there")
    target.parent.mkdir(parents=True, exist_ok=True)
    earlier = hidden_name(target, ".earlier")
    names: set[str] = set()
    try:
        with whole_folder(target) as partial:
            yield str(partial)
            names = {file.name for file in partial.iterdir()}
            if target.exists():
                _refuse_others(Path(path), names)
                os.replace(target, earlier)
    finally:
        if earlier.exists():
            # Where the second of the two renamings failed, the earlier result comes back.
            if not target.exists():
                os.replace(earlier, target)
            else:
                _move_strays(earlier, names, target)


def _refuse_others(folder: Path, names: set[str]) -> None:
    others = sorted(image.name for image in images_in(folder) if image.name not in names)
    if others:
        raise InputError(
            f"{folder}: holds {others[0]}, an image that is none of the new result's {len(names)} files; "
            "expected none: move it elsewhere or delete it"
        )
    for name in sorted(names):
        if (folder / name).is_dir():
            raise InputError(f"{folder / name}: is a folder, expected a file or nothing there: move it elsewhere")


def _move_strays(earlier: Path, names: set[str], target: Path) -> None:
    """Move all but the files of the given names, and remove the rest; a folder that is not empty then stays."""
    for entry in list(earlier.iterdir()):
        if entry.name in names:
            entry.unlink()
        else:
            os.replace(entry, target / entry.name)
    earlier.rmdir()
