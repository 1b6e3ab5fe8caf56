"""Files that are there whole or not at all; cells that a spreadsheet does not take for formulas."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
from pathlib import Path

import pytest

from shared.files import csv_lines, digest, escape_cell, unescape_cell, whole_file, whole_folder, write_atomically

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


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Not even two containers on one folder, whose processes have the same number: here it is one process."""
    path = tmp_path / "image.png"
    with whole_file(path) as first:
        first.write_bytes(b"first")
        with whole_file(path) as second:
            assert (second.parent, second.suffix, second.name[0]) == (tmp_path, ".png", ".")
            second.write_bytes(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a" * 251 + ".mha", "ä" * 125 + "b.mha"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with whole_file(tmp_path / name) as partial, whole_file(partial, ".mha") as inner:
        assert inner.suffix == partial.suffix == ".mha"
        inner.write_bytes(b"whole")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"whole")]


def test_a_failure_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(b"earlier")

    def fail() -> None:
        with whole_file(path, ".mhd") as partial:
            assert partial.name.endswith("a.mha.mhd")
            partial.write_bytes(b"half")
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        fail()
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    """A temporary file is its owner's alone; a result has the permissions of any other new file."""
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "summary.json", b"{}")
        with whole_folder(tmp_path / "series") as partial:
            (partial / "IM0001").write_bytes(b"1")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("summary.json", "series", "series/IM0001")]
    assert modes == [0o644, 0o755, 0o644]


def test_the_first_of_two_folders_wins(tmp_path: Path) -> None:
    def lose() -> None:
        with whole_folder(tmp_path / "series") as second:
            (second / "b").write_bytes(b"second")
            with whole_folder(tmp_path / "series") as first:
                (first / "a").write_bytes(b"first")

    with pytest.raises(FileExistsError, match="series"):
        lose()
    assert [path.name for path in tmp_path.rglob("*")] == ["series", "a"]


def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "series").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="series"), whole_folder(tmp_path / "series"):
        pass
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("series", b"mine")]


def test_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 99)
    found = subprocess.run(["sha256sum", tmp_path / "a"], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest((tmp_path / "a").read_bytes()) == found
