"""Files that are there whole or not at all, how messages call them, and cells of CSV that no spreadsheet runs."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.errors import InputError

# Of a file, in bytes, in the file systems in use.
_LONGEST_NAME = 255
# What spreadsheets take for the beginning of a formula, in any script, or pass over before one.
_FORMULA = r"[=+\-@\t\r\n＝＋－＠]"
_DANGEROUS = re.compile(f"'*{_FORMULA}")
_ESCAPED = re.compile(f"'+{_FORMULA}")


def make_folder(path: Path) -> None:
    """Make a folder and its parents, where they are missing.

    Raises:
        InputError: when that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError(f"folder {path} cannot be made: {err.strerror or err}") from err


@contextlib.contextmanager
def whole_file(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Give a hidden path in the same folder to write a file to; it becomes ``path`` when all went well.

    So a reader never sees half of the file. Whatever goes wrong, an earlier file stays and the new one is removed; what
    a killed process leaves behind is hidden from a search for images by its leading dot.

    Args:
        path: the file, in a folder that exists.
        suffix: end of the hidden name, for writers that choose a format by it.

    Raises:
        OSError: the file cannot take its place.
    """
    partial = hidden_name(Path(path), suffix)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Give a new hidden folder beside ``path`` to fill; it becomes ``path`` when all went well, and is removed if not.

    Of two processes that make the same folder, the first one wins.

    Args:
        path: the folder; there is nothing yet, or an empty folder, in a folder that exists.

    Raises:
        FileExistsError: there is something else of this name.
        OSError: the folder cannot be made or take its place.
    """
    partial = hidden_name(Path(path))
    partial.mkdir()
    try:
        yield partial
        try:
            os.replace(partial, path)
        except OSError as err:
            if err.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from err
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def hidden_name(path: Path, suffix: str = "") -> Path:
    """Return a name of nothing yet beside a path: a leading dot, some random letters, the path's own name.

    Of a name too long for that, as much of its end as a file system takes.
    """
    # Random, for the number of the process is the same in every container.
    begin = f".{uuid.uuid4().hex[:8]}."
    name = f"{path.name}{suffix}"
    room = _LONGEST_NAME - len(begin)
    if len(os.fsencode(name)) > room:
        name = os.fsencode(name)[-room:].decode(errors="ignore")
    return path.with_name(begin + name)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader never sees half of it, and a failure leaves the earlier one in place.

    Args:
        path: the file, in a folder that exists.
        content: what it will hold.

    Raises:
        InputError: when the file cannot be written.
    """
    try:
        with whole_file(path) as partial:
            partial.write_bytes(content)
    except OSError as err:
        raise InputError(f"{path} cannot be written: {err.strerror or err}") from err


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


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


def escape_cell(text: str) -> str:
    """Return a text as a cell that a spreadsheet shows as it is: with an apostrophe before what may be a formula.

    Meant for names and messages, not for numbers, whose minus is theirs.
    """
    return f"'{text}" if _DANGEROUS.match(text) else text


def unescape_cell(cell: str) -> str:
    """Return the text that :func:`escape_cell` made a cell of."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], texts: Iterable[str]) -> str:
    """Return rows as lines of CSV, quoted where needed; what a row lacks stays empty.

    Args:
        columns: names of all columns.
        rows: values by column.
        texts: columns of names and messages, whose cells are escaped.
    """
    written = io.StringIO()
    escaped = set(texts)
    lines = []
    # A writer whose lines end with a carriage return quotes one within a name.
    writer = csv.DictWriter(written, columns, restval="", lineterminator="\r\n")
    for row in rows:
        writer.writerow({key: escape_cell(value) if key in escaped else value for key, value in row.items()})
        lines.append(written.getvalue().removesuffix("\r\n") + "\n")
        written.seek(0)
        written.truncate()
    return "".join(lines)
