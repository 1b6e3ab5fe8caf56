"""Read the first sheet of an .xlsx workbook, which is a zip of XML files, without a package for it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from shared.data.folders import in_words, other_separator
from shared.errors import InputError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_sheet(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the named columns of a workbook's first sheet as stripped text; its first row holds their names.

    Shared, inline and rich text are read; a cell that a row leaves out is "". Rows with none of the columns are
    left out. Dates and formats are not interpreted: a number is the text that the file stores.

    Raises:
        InputError: unreadable, a column is missing, or all columns lie in one.
    """
    try:
        with zipfile.ZipFile(path) as workbook:
            rows = _rows(workbook)
    # A broken archive or XML raises one of many kinds; a part that is missing is a KeyError.
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, ElementTree.ParseError, LookupError, ValueError) as err:
        raise InputError(f"'{path}' cannot be read as an .xlsx workbook: {err}") from err
    header = {name: column for column, name in rows[0].items()} if rows else {}
    missing = [column for column in columns if column not in header]
    for name in header if missing else ():
        found = "," if all(column in name for column in missing) and "," in name else other_separator(name, missing)
        if found is not None:
            raise InputError(
                f"'{path}': all columns lie in one cell, separated by {in_words(found)}, expected a cell for each"
            )
    if missing:
        raise InputError(f"'{path}' has no column {', '.join(missing)}; found: {', '.join(header) or 'nothing'}")
    table = [{name: row.get(header[name], "") for name in columns} for row in rows[1:]]
    return [row for row in table if any(row.values())]


def _rows(workbook: zipfile.ZipFile) -> list[dict[str, str]]:
    """Rows as column letters to text."""
    strings: list[str] = []
    if "xl/sharedStrings.xml" in workbook.namelist():
        strings = [_text(item) for item in _parse(workbook, "xl/sharedStrings.xml").iter(f"{_MAIN}si")]
    rows = []
    for row in _parse(workbook, _first_sheet(workbook)).iter(f"{_MAIN}row"):
        cells = {}
        for cell in row.iter(f"{_MAIN}c"):
            value = _text(cell) if cell.get("t") == "inlineStr" else cell.findtext(f"{_MAIN}v", "")
            text = strings[int(value)] if cell.get("t") == "s" else value
            if text.strip():
                cells[re.sub(r"\d", "", cell.attrib["r"])] = text.strip()
        rows.append(cells)
    return rows


def _first_sheet(workbook: zipfile.ZipFile) -> str:
    """Name of the archive's part that holds the first sheet."""
    sheet = next(_parse(workbook, "xl/workbook.xml").iter(f"{_MAIN}sheet"), None)
    for relation in _parse(workbook, "xl/_rels/workbook.xml.rels"):
        if sheet is not None and relation.get("Id") == sheet.get(_RELATION):
            target = relation.attrib["Target"]
            return target[1:] if target.startswith("/") else f"xl/{target}"
    raise LookupError("it has no sheet")


def _parse(workbook: zipfile.ZipFile, name: str) -> ElementTree.Element:
    return ElementTree.fromstring(workbook.read(name))


def _text(element: ElementTree.Element) -> str:
    """All text of an entry, whose runs may have fonts of their own; phonetic hints (rPh) are no text."""
    runs = [element, *element.findall(f"{_MAIN}is"), *element.findall(f".//{_MAIN}r")]
    return "".join(run.findtext(f"{_MAIN}t", "") for run in runs)
