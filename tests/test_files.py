"""Cells that a spreadsheet does not take for formulas, and that come back as they were."""

from __future__ import annotations

import csv
import io

import pytest

from shared.files import csv_lines, escape_cell, unescape_cell

DANGEROUS = ["=1", "+1", "-1", "@f", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠f"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_formulas_begin_with_an_apostrophe(text: str) -> None:
    assert escape_cell(text) == f"'{text}"
    assert unescape_cell(f"'{text}") == text


@pytest.mark.parametrize("text", [*DANGEROUS, *(f"'{text}" for text in DANGEROUS), "''=", "", "'", "'a", "a=1", " -1"])
def test_round_trip(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(f"name,value\n{csv_lines(['name', 'value'], [{'name': text}], ['name'])}"))
    assert unescape_cell(row["name"]) == text
    assert row["value"] == ""


def test_numbers_keep_their_minus_and_names_their_ends_of_lines() -> None:
    text = csv_lines(["name", "value"], [{"name": "-1", "value": -1.5}, {"name": "a\rb", "value": 2}], ["name"])
    assert text == "'-1,-1.5\n\"a\rb\",2\n"
