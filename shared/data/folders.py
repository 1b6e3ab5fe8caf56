"""What readers share: folders that unzipping nested or not, files by extension, tables with clear errors."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from shared.errors import InputError

SEPARATORS = {";": "semicolon", "\t": "tab", "|": "vertical bar", ",": "comma"}
"""Characters that programs put between the columns of a table."""


def existing_dataset(dataset_dir: str | os.PathLike[str], source: str) -> Path:
    """Return the data set's folder, or raise InputError when it is missing or empty.

    Args:
        dataset_dir: folder named by the user.
        source: where the data can be had, for the message.
    """
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        raise InputError(f"dataset_dir '{root}' is not a folder; the data can be had from {source}")
    if not any(root.iterdir()):
        raise InputError(f"dataset_dir '{root}' is empty; the data can be had from {source}")
    return root


def find_folder(root: Path, names: Sequence[str], source: str) -> Path:
    """Return ``root/<name>/<name>`` or ``root/<name>`` for the first of ``names`` there is.

    Raises:
        InputError: there is none; the message names what was looked for, where, and the source of the data.
    """
    for name in names:
        for folder in (root / name / name, root / name):
            if folder.is_dir():
                return folder
    raise InputError(f"no folder '{' or '.join(names)}' in '{root}'; the data can be had from {source}")


def find_file(root: Path, name: str, folders: Sequence[str], source: str) -> Path:
    """Return the file ``name`` in ``root`` or in one of its ``folders`` (nested twice or not).

    Raises:
        InputError: there is none.
    """
    places = [root, *(root / folder for folder in folders), *(root / folder / folder for folder in folders)]
    for place in places:
        if (place / name).is_file():
            return place / name
    where = "', '".join(str(place) for place in places[: 1 + len(folders)])
    raise InputError(f"no file '{name}' in '{where}'; the data can be had from {source}")


def files_by_stem(folder: Path, extensions: Iterable[str], source: str, suffix: str = "") -> dict[str, str]:
    """Map file stem to path, sorted, for the files of one folder; hidden files are left out.

    Args:
        folder: searched without its subfolders. No file is opened.
        extensions: lower case with the dot; the files may have them in any case.
        source: where the data can be had, for the message.
        suffix: what the stem must end with; it is cut from the keys (``_segmentation``).

    Raises:
        InputError: two files have the same stem, or there is none.
    """
    allowed = tuple(extensions)
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)
            if extension.lower() not in allowed or not stem.endswith(suffix) or stem.startswith("."):
                continue
            key = stem[: len(stem) - len(suffix)]
            if key in found:
                raise InputError(f"'{entry.path}' and '{found[key]}' have the same name but for the extension")
            found[key] = entry.path
    if not found:
        raise InputError(
            f"no file '*{suffix}' with extension {', '.join(allowed)} in '{folder}'; the data can be had from {source}"
        )
    return dict(sorted(found.items()))


def read_lines(path: Path, source: str) -> list[str]:
    """Read a text file's lines, stripped, without empty ones; CRLF, a byte-order mark and a lacking end do not matter.

    Args:
        path: the file.
        source: where the data can be had, for the message.

    Raises:
        InputError: missing or unreadable.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise InputError(f"no file '{path}'; the data can be had from {source}") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"'{path}' cannot be read as text: {err}") from err
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the named columns of a comma-separated file; spaces, CRLF and a byte-order mark do not matter.

    Raises:
        InputError: unreadable, another separator than the comma, a column is missing, or a row is shorter than the
            header.
    """
    rows = _rows(path, columns)
    header = rows[0] if rows else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError(f"'{path}' has no column {', '.join(missing)}; found: {', '.join(header) or 'nothing'}")
    places = [header.index(column) for column in columns]
    for row in rows[1:]:
        if len(row) <= max(places):
            raise InputError(f"'{path}': row '{','.join(row)}' has {len(row)} values, expected {len(header)}")
    return [{column: row[place] for column, place in zip(columns, places, strict=True)} for row in rows[1:]]


def table_columns(path: Path, columns: Sequence[str] = ()) -> list[str]:
    """Return the names of the columns of a comma-separated file.

    Args:
        path: the file.
        columns: some that it should have; by them a comma is told from other separators.

    Raises:
        InputError: unreadable, or another separator than the comma.
    """
    return next(iter(_rows(path, columns)), [])


def other_separator(header: str, columns: Sequence[str]) -> str | None:
    """Return what separates the names in the first line of a table, where it is not the comma; None where it is.

    Args:
        header: the line.
        columns: names that are looked for; where there are none, the more frequent separator counts.
    """
    stated = header.strip().strip('"').lower()
    if stated.startswith("sep=") and len(stated) == len("sep=;"):  # a line of its own that Excel reads and writes
        return None if stated[-1] == "," else stated[-1]
    cells = {separator: [cell.strip().strip('"') for cell in header.split(separator)] for separator in SEPARATORS}
    held = {separator: sum(column in found for column in columns) for separator, found in cells.items()}
    best = max(SEPARATORS, key=lambda separator: (held[separator], len(cells[separator])))
    is_better = (held[best], len(cells[best])) > (held[","], len(cells[","]))
    return best if is_better and held[","] < max(len(columns), 1) else None


def in_words(separator: str) -> str:
    """Return a separator with its name: ``';' (semicolon)``."""
    return f"{separator!r} ({SEPARATORS[separator]})" if separator in SEPARATORS else repr(separator)


def _rows(path: Path, columns: Sequence[str] = ()) -> list[list[str]]:
    """All rows that are not empty, the header first."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise InputError(f"'{path}' cannot be read as a comma-separated table: {err}") from err
    separator = other_separator(next((line for line in text.splitlines() if line.strip()), ""), columns)
    if separator is not None:
        raise InputError(f"'{path}': its columns are separated by {in_words(separator)}, expected {in_words(',')}")
    filled = [row for row in rows if any(row)]
    return filled[1:] if filled and filled[0] == ["sep=", ""] else filled


def require_all(ids: Iterable[str], known: Iterable[str], missing: str, where: str | os.PathLike[str]) -> None:
    """Raise InputError when some ``ids`` are not ``known``: "3 images without mask (a, b, c) in '…'"."""
    lookup = set(known)
    absent = [name for name in ids if name not in lookup]
    if absent:
        names = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
        raise InputError(f"{len(absent)} image(s) without {missing} in '{where}': {names}")
