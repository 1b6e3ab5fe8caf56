"""Cells of CSV files that hold what came out of a file: no spreadsheet takes one for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What spreadsheets take for the beginning of a formula, in any script, or pass over before one.
_FORMULA = r"[=+\-@\t\r\n＝＋－＠]"
_DANGEROUS = re.compile(f"'*{_FORMULA}")
_ESCAPED = re.compile(f"'+{_FORMULA}")


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
