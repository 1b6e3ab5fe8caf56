"""Tables that a program or a person saved in another way than with commas, and the one error that says how."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from shared.data.folders import read_table, table_columns
from shared.errors import InputError

ROWS = [{"image": "a.png", "class": "benign, rare"}, {"image": "b.png", "class": "mal;ign"}]


def write(path: Path, separator: str, first: str = "", encoding: str = "utf-8") -> Path:
    with open(path, "w", newline="", encoding=encoding) as file:
        file.write(first)
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["image", "note", "class"])
        writer.writerows([row["image"], "x; y", row["class"]] for row in ROWS)
    return path


@pytest.mark.parametrize(("separator", "words"), [
    (";", "';' (semicolon)"), ("\t", "'\\t' (tab)"), ("|", "'|' (vertical bar)"),
])
@pytest.mark.parametrize(("first", "encoding"), [("", "utf-8"), ("\r\n", "utf-8-sig")])
def test_another_separator_is_named(tmp_path: Path, separator: str, words: str, first: str, encoding: str) -> None:
    path = write(tmp_path / "classes.csv", separator, first, encoding)
    for read in (table_columns, lambda path: read_table(path, ("image", "class"))):
        with pytest.raises(InputError) as caught:
            read(path)
        expected = f"'{path}': its columns are separated by {words}, expected ',' (comma)"
        assert str(caught.value) == expected


def test_what_excel_says_about_the_separator(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"separated by ';' \(semicolon\), expected"):
        table_columns(write(tmp_path / "a.csv", ";", "sep=;\r\n"))
    assert read_table(write(tmp_path / "b.csv", ",", "sep=,\r\n"), ("image", "class")) == ROWS


def test_commas_stay_commas(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", ","), ("image", "class")) == ROWS
    one = tmp_path / "one.csv"
    one.write_text("image\na;b\n")
    assert read_table(one, ("image",)) == [{"image": "a;b"}]
    odd = tmp_path / "odd.csv"
    odd.write_text('"size; in mm",image\n1,a\n')
    assert read_table(odd, ("image",)) == [{"image": "a"}]
    with pytest.raises(InputError, match=r"odd.csv' has no column class; found: size; in mm, image"):
        read_table(odd, ("image", "class"))


@pytest.mark.parametrize("header", ['image,class,"notes; free; text; here"', "image,class;x;y;z", "image,class"])
def test_a_comma_beside_more_semicolons_is_the_separator(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\na,1,x\n")
    assert table_columns(tmp_path / "a.csv", ("image",))[0] == "image"
