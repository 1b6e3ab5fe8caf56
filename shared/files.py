"""Files that are there whole or not at all, and how messages call them."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from shared.errors import InputError


def make_folder(path: Path) -> None:
    """Make a folder and its parents, where they are missing.

    Raises:
        InputError: when that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError(f"folder {path} cannot be made: {err.strerror or err}") from err


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader never sees half of it, and a failure leaves the earlier one in place.

    Args:
        path: the file, in a folder that exists.
        content: what it will hold.

    Raises:
        InputError: when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as err:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path} cannot be written: {err.strerror or err}") from err


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Return the JSON object in a file that exists.

    Args:
        path: the file.
        expected: what it should hold, for the message.

    Raises:
        InputError: when the file cannot be read or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
    except ValueError as err:
        raise InputError(f"{path}: found no JSON, expected {expected}") from err
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {type(content).__name__}, expected a JSON object")
    return content


def short_path(path: str | Path) -> str:
    """Return a path for a message: relative to the working directory where it lies below it."""
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
