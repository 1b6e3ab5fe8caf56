"""Workbooks as spreadsheet programs leave them, written by openpyxl or part by part."""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from shared.data.phantoms.covid_ct import write_workbook
from shared.data.spreadsheet import read_sheet
from shared.errors import InputError


def write_rows(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    workbook = Workbook()
    for row in rows:
        workbook.worksheets[0].append(row)
    workbook.save(path)


def write_changed(path: Path, part: str, pattern: str, text: str, shared: bool = False) -> None:
    """A workbook with the columns name and value, in one part of which what the pattern finds is replaced.

    Its texts lie in the cells, or all in one part that the cells share.
    """
    if shared:
        write_workbook(path, [("name", "value"), ("a", "1.25"), ("b", "")])
    else:
        write_rows(path, [("name", "value"), ("a", 1.25), ("b", None)])
    with zipfile.ZipFile(path) as workbook:
        parts = {name: workbook.read(name).decode() for name in workbook.namelist()}
    changed = re.sub(pattern, text, parts[part], flags=re.DOTALL)
    assert changed != parts[part]
    with zipfile.ZipFile(path, "w") as workbook:
        for name, content in (parts | {part: changed}).items():
            workbook.writestr(name, content)


def test_written_cells_come_back(tmp_path: Path) -> None:
    rows = [("a", "b", "c"), ("1 < 2 & 3", "", " x "), ("", "", ""), ("a", "ä", "%20"), ("", "", "only c")]
    write_workbook(tmp_path / "t.xlsx", rows)
    assert read_sheet(tmp_path / "t.xlsx", ("c", "a")) == [
        {"c": "x", "a": "1 < 2 & 3"}, {"c": "%20", "a": "a"}, {"c": "only c", "a": ""},
    ]


def test_numbers_dates_rich_text_and_cells_left_out(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet["B1"], sheet["AA1"] = "name", "value"
    sheet["AA2"] = 41
    sheet["A3"], sheet["C3"] = 9, 7
    sheet["B3"] = CellRichText("rich ", TextBlock(InlineFont(b=True), "text"))
    sheet["B7"], sheet["AA7"] = 0.1, datetime.date(2020, 3, 1)
    workbook.create_sheet("second").append(["other"])
    workbook.move_sheet("second", 1)
    workbook.save(tmp_path / "t.xlsx")
    assert read_sheet(tmp_path / "t.xlsx", ("name", "value")) == [
        {"name": "", "value": "41"},
        {"name": "rich text", "value": ""},
        {"name": "0.1", "value": "2020-03-01 00:00:00"},
    ]


def test_the_header_may_stand_below_empty_rows(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet["B2"] = " "
    sheet["B4"], sheet["C4"], sheet["B6"], sheet["C6"] = "name", "value", "a", 1
    workbook.save(tmp_path / "t.xlsx")
    assert read_sheet(tmp_path / "t.xlsx", ("name", "value")) == [{"name": "a", "value": "1"}]


def test_the_first_sheet_is_the_first_one_listed(tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.worksheets[0].append(["written first"])
    workbook.create_sheet("listed first", 0).append(["name"])
    workbook.worksheets[0].append(["a"])
    workbook.save(tmp_path / "t.xlsx")
    assert read_sheet(tmp_path / "t.xlsx", ("name",)) == [{"name": "a"}]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ('<dimension ref="[^"]*"', '<dimension ref="A1"'),  # a size that does not hold
        ("<v>1.25</v>", "<f>5/4</f><v>1.25</v>"),
    ],
)
def test_wrong_sizes_and_formulas(tmp_path: Path, pattern: str, text: str) -> None:
    write_changed(tmp_path / "t.xlsx", "xl/worksheets/sheet1.xml", pattern, text)
    rows = read_sheet(tmp_path / "t.xlsx", ("name", "value"))
    assert rows == [{"name": "a", "value": "1.25"}, {"name": "b", "value": ""}]


def test_a_workbook_without_named_styles_is_read_without_a_warning(tmp_path: Path) -> None:
    write_changed(tmp_path / "t.xlsx", "xl/styles.xml", "<cellStyles.*</cellStyles>", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = read_sheet(tmp_path / "t.xlsx", ("name",))
    assert [row["name"] for row in rows] == ["a", "b"]


def test_phonetic_hints_are_no_text(tmp_path: Path) -> None:
    hinted = "<si><r><t>a</t></r><rPh sb='0' eb='1'><t>no</t></rPh></si>"
    write_changed(tmp_path / "t.xlsx", "xl/sharedStrings.xml", "<si><t[^>]*>a</t></si>", hinted, shared=True)
    assert [row["name"] for row in read_sheet(tmp_path / "t.xlsx", ("name",))] == ["a", "b"]


FAULTS = {
    "text": (lambda path: path.write_text("a,b"), "cannot be read as an .xlsx workbook: File is not a zip"),
    "missing": (lambda path: None, "cannot be read as an .xlsx workbook: .*No such file"),
    "another archive": (lambda path: zipfile.ZipFile(path, "w").close(), "cannot be read as an .xlsx workbook"),
    "no such text": (
        lambda path: write_changed(path, "xl/worksheets/sheet1.xml", "<v>3</v>", "<v>9</v>", shared=True),
        "cannot be read as an .xlsx workbook",
    ),
    "broken XML": (
        lambda path: write_changed(path, "xl/worksheets/sheet1.xml", "</row>", ""),
        "cannot be read as an .xlsx workbook: .*mismatch",
    ),
    "semicolons in one cell": (
        lambda path: write_rows(path, [("id;name",), ("1;a",)]),
        r"all columns lie in one cell, separated by ';' \(semicolon\), expected a cell for each",
    ),
    "commas in one cell": (lambda path: write_rows(path, [("id,name",), ("1,a",)]), r"separated by ',' \(comma\)"),
    "empty": (lambda path: write_rows(path, []), "has no column name; found: nothing"),
    "another column": (lambda path: write_rows(path, [("id", None, "b")]), "has no column name; found: id, b$"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_workbooks_are_named(tmp_path: Path, fault: str) -> None:
    write, message = FAULTS[fault]
    write(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(tmp_path / "t.xlsx", ("name",))
    assert "t.xlsx'" in str(caught.value)
    assert "\n" not in str(caught.value)
