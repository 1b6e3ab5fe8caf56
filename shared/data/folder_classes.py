"""The table of classes and groups of a person's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.data.folders import read_table, require_all, table_columns
from shared.data.slices import stem
from shared.errors import InputError


def read_classes(table: Path, images: Mapping[str, str], root: Path) -> dict[str, dict[str, str]]:
    """Map an image's id to its row, with ``class``, ``group`` or both.

    Args:
        table: comma-separated file with the column ``image``.
        images: id to path.
        root: folder of the images.

    Raises:
        InputError: unreadable, none of both columns, an unknown or ambiguous image, two rows that differ, or an image
            without one.
    """
    columns = [name for name in ("class", "group") if name in table_columns(table, ("image",))]
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


def class_names_of(rows: Mapping[str, Mapping[str, str]], table: Path | None) -> tuple[str, ...]:
    """Return the classes of the rows in their order: numbers by value, else by letter; () without.

    Raises:
        InputError: there is one alone.
    """
    found = {row["class"] for row in rows.values() if "class" in row}
    if len(found) == 1:
        raise InputError(f"classes: '{table}' has one class only ('{found.pop()}'), expected at least two")
    numbers = all(name.lstrip("-").isdigit() for name in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))
