"""Results that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from shared.errors import InputError


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Give a path to write a file to, which becomes ``path`` when all went well; folders are made."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{path}: is a folder, expected a file or nothing there")
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield str(partial)
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def whole_folder(path: str) -> Iterator[str]:
    """Give an empty folder to fill, which becomes ``path`` when all went well; parents are made.

    A folder that is there already is replaced when it holds nothing but files of the same names, as an earlier run left
    them.

    Raises:
        InputError: there is a file of that name, or a folder that holds something else.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise InputError(f"{path}: is a file, expected a folder or nothing there")
    partial = _partial(target)
    earlier = partial.with_name(f"{partial.name}.earlier")
    try:
        partial.mkdir(parents=True)
        yield str(partial)
        if target.exists():
            strangers = {file.name for file in target.iterdir()} - {file.name for file in partial.iterdir()}
            if strangers:
                raise InputError(
                    f"{path}: holds {min(strangers)}, which is none of this image's files; "
                    "expected an empty folder, or what an earlier run wrote"
                )
            os.replace(target, earlier)
        os.replace(partial, target)
    finally:
        # Where the second of the two renamings failed, the earlier result comes back.
        if earlier.exists() and not target.exists():
            os.replace(earlier, target)
        for folder in (partial, earlier):
            shutil.rmtree(folder, ignore_errors=True)


def _partial(target: Path) -> Path:
    # A leading dot: a search for images does not see what a killed run may leave behind.
    return target.with_name(f".{os.getpid()}.{target.name}")
