"""Read the first sheet of an .xlsx workbook, by openpyxl."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openpyxl import load_workbook

from shared.data.folders import in_words, other_separator
from shared.errors import InputError


def read_sheet(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the named columns of a workbook's first sheet as stripped text; the first row with text holds their names.

    A cell that a row leaves out is "". Rows with none of the columns are left out. A number is written as Python writes
    it (12, 0.5), a date as its day and time.

    Raises:
        InputError: unreadable, a column is missing, or all columns lie in one.
    """
    try:
        rows = _rows(path)
    # By what is wrong with the archive or the XML, openpyxl lets through exceptions of many kinds.
    except Exception as err:
        raise InputError(f"'{path}' cannot be read as an .xlsx workbook: {err}") from err
    header = {name: place for place, name in enumerate(rows[0]) if name} if rows else {}
    missing = [column for column in columns if column not in header]
    for name in header if missing else ():
        found = "," if all(column in name for column in missing) and "," in name else other_separator(name, missing)
        if found is not None:
            raise InputError(
                f"'{path}': all columns lie in one cell, separated by {in_words(found)}, expected a cell for each"
            )
    if missing:
        raise InputError(f"'{path}' has no column {', '.join(missing)}; found: {', '.join(header) or 'nothing'}")
    table = [{name: _cell(row, header[name]) for name in columns} for row in rows[1:]]
    return [row for row in table if any(row.values())]


def _rows(path: Path) -> list[list[str]]:
    """The text of all cells, without rows that are empty."""
    with path.open("rb") as file, warnings.catch_warnings():
        # A workbook without styles, or with extensions, has its text all the same.
        warnings.filterwarnings("ignore", module="openpyxl")
        workbook = load_workbook(file, read_only=True, data_only=True)
        if not workbook.worksheets:
            raise LookupError("it has no sheet")
        sheet: Any = workbook.worksheets[0]
        # Programs leave a size in the file that does not hold; openpyxl would believe it.
        sheet.reset_dimensions()
        rows = [["" if value is None else str(value).strip() for value in row] for row in sheet.values]
        return [row for row in rows if any(row)]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""
