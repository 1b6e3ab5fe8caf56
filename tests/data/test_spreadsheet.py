from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from shared.data.phantoms.covid_ct import write_workbook
from shared.data.spreadsheet import read_sheet
from shared.errors import InputError

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write_parts(path: Path, rows: str, strings: str | None = None, target: str = "worksheets/sheet1.xml") -> None:
    """A workbook whose second listed file is its first sheet, as spreadsheet programs may leave it."""
    with zipfile.ZipFile(path, "w") as workbook:
        sheets = '<sheet name="b" sheetId="7" r:id="rId3"/><sheet name="a" sheetId="1" r:id="rId1"/>'
        namespaces = f'{MAIN} xmlns:r="{RELATIONS}"'
        workbook.writestr("xl/workbook.xml", f"<workbook {namespaces}><sheets>{sheets}</sheets></workbook>")
        relations = f'<Relationship Id="rId1" Target="worksheets/no.xml"/><Relationship Id="rId3" Target="{target}"/>'
        workbook.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{relations}</Relationships>")
        workbook.writestr("xl/worksheets/sheet1.xml", f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>")
        if strings is not None:
            workbook.writestr("xl/sharedStrings.xml", f"<sst {MAIN}>{strings}</sst>")


def test_written_cells_come_back(tmp_path: Path) -> None:
    rows = [("a", "b", "c"), ("1 < 2 & 3", "", " x "), ("", "", ""), ("a", "ä", "%20"), ("", "", "only c")]
    write_workbook(tmp_path / "t.xlsx", rows)
    assert read_sheet(tmp_path / "t.xlsx", ("c", "a")) == [
        {"c": "x", "a": "1 < 2 & 3"}, {"c": "%20", "a": "a"}, {"c": "only c", "a": ""},
    ]


@pytest.mark.parametrize("target", ["worksheets/sheet1.xml", "/xl/worksheets/sheet1.xml"])
def test_numbers_inline_and_rich_text_and_cells_left_out(tmp_path: Path, target: str) -> None:
    strings = "<si><t>name</t></si><si><r><t>rich </t></r><r><rPr><b/></rPr><t>text</t></r><rPh><t>no</t></rPh></si>"
    rows = (
        '<row r="1"><c r="B1" t="s"><v>0</v></c><c r="AA1" t="inlineStr"><is><t>value</t></is></c></row>'
        '<row r="2"><c r="AA2"><v>41</v></c></row>'
        '<row r="3"><c r="A3"><v>9</v></c><c r="B3" t="s"><v>1</v></c><c r="C3" s="1"/></row>'
    )
    write_parts(tmp_path / "t.xlsx", rows, strings, target)
    assert read_sheet(tmp_path / "t.xlsx", ("name", "value")) == [
        {"name": "", "value": "41"}, {"name": "rich text", "value": ""},
    ]


FAULTS = {
    "text": (lambda path: path.write_text("a,b"), "cannot be read as an .xlsx workbook: File is not a zip"),
    "missing": (lambda path: None, "cannot be read as an .xlsx workbook: .*No such file"),
    "another archive": (lambda path: zipfile.ZipFile(path, "w").close(), "xl/workbook.xml"),
    "no such text": (
        lambda path: write_parts(path, '<row r="1"><c r="A1" t="s"><v>5</v></c></row>', "<si/>"),
        "cannot be read as an .xlsx workbook",
    ),
    "broken XML": (lambda path: write_parts(path, "<row>"), "cannot be read as an .xlsx workbook: mismatched tag"),
    "semicolons in one cell": (
        lambda path: write_workbook(path, [("id;name",), ("1;a",)]),
        r"all columns lie in one cell, separated by ';' \(semicolon\), expected a cell for each",
    ),
    "commas in one cell": (lambda path: write_workbook(path, [("id,name",), ("1,a",)]), r"separated by ',' \(comma\)"),
    "empty": (lambda path: write_parts(path, ""), "has no column name; found: nothing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_workbooks_are_named(tmp_path: Path, fault: str) -> None:
    write, message = FAULTS[fault]
    write(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(tmp_path / "t.xlsx", ("name",))
    assert "t.xlsx'" in str(caught.value)
    assert "\n" not in str(caught.value)
