"""The report: one row per image, quoted, read back, robust against a kill."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared.enhance.report import COLUMNS, FAILED, OK, SKIPPED, Report, Row, read_report
from shared.errors import InputError

ROW = Row("a.png", "a.png", OK, 1.25, 10, 20, 1, 3, 2, "8 bits: 0 to 255", folder=".", source="5ce", model="f00")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    report = Report(tmp_path / "new" / "report.csv")
    odd = Row('x, "y"\nz.png', "ü, \udce9.png", OK, 0.5, message="a, b")
    report.start([ROW])
    report.add(odd)
    assert read_report(report.path) == {"a.png": ROW, odd.output: odd}


def test_columns(tmp_path: Path) -> None:
    Report(tmp_path / "report.csv").start([ROW])
    with open(tmp_path / "report.csv", newline="", encoding="utf-8") as file:
        header, first = csv.reader(file)
    assert header[:5] == ["file", "output", "status", "seconds", "width"]
    assert header[5:] == ["height", "slices", "channels", "files", "scaling", "message", "folder", "source", "model"]
    assert first[:10] == ["a.png", "a.png", "ok", "1.250", "10", "20", "1", "3", "2", "8 bits: 0 to 255"]


@pytest.mark.parametrize(
    "name", ["=1+1.png", "+a", "-a", "@a", "\ta", "\ra", "\na", "\uff1da", "'=a", "''=a", "'a", "'", "a\rb"]
)
def test_no_name_is_a_formula_and_all_come_back(tmp_path: Path, name: str) -> None:
    report = Report(tmp_path / "report.csv")
    whole = replace(ROW, file=name, output=name, message=name, folder=name)
    report.start([whole])
    report.add(replace(whole, output=f"{name}2"))
    with open(report.path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column in ("file", "output", "message", "folder"):
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert read_report(report.path) == {name: whole, f"{name}2": replace(whole, output=f"{name}2")}


OLD_COLUMNS = [name for name in COLUMNS if name not in ("scaling", "folder")]


def test_report_of_the_version_before(tmp_path: Path) -> None:
    """Written by version 0.3: without scaling and folder, names as they are."""
    cells = ["a.png", "a.png", "ok", "1.250", "10", "20", "1", "3", "2", "", "5ce", "f00"]
    (tmp_path / "report.csv").write_text(f"{','.join(OLD_COLUMNS)}\n{','.join(cells)}\nb.png,b.p")
    assert read_report(tmp_path / "report.csv") == {"a.png": replace(ROW, scaling="", folder="")}


def test_what_was_said_is_said_again(tmp_path: Path) -> None:
    said = replace(ROW, message="series of 3 files; its modality is CT")
    for _ in range(3):
        said = said.skipped()
    assert said.message == "up to date; series of 3 files; its modality is CT"
    assert ROW.skipped().skipped().message == "up to date"


def test_failed_rows_are_no_results(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.csv")
    report.start([Row("b.png", "", FAILED, message="damaged"), ROW.skipped()])
    found = read_report(report.path)
    assert list(found) == ["a.png"]
    assert found["a.png"].status == SKIPPED
    assert found["a.png"].fits(ROW)


@pytest.mark.parametrize("kept", range(1, 36, 7))
def test_half_a_row_is_passed_over(tmp_path: Path, kept: int) -> None:
    report = Report(tmp_path / "report.csv")
    report.start([ROW])
    whole = report.path.read_bytes()
    report.add(Row(**{**ROW.__dict__, "output": "b.png"}))
    report.path.write_bytes(report.path.read_bytes()[: len(whole) + kept])
    assert list(read_report(report.path)) == ["a.png"]


def test_no_report_and_an_empty_one(tmp_path: Path) -> None:
    assert read_report(tmp_path / "report.csv") == {}
    (tmp_path / "report.csv").touch()
    assert read_report(tmp_path / "report.csv") == {}


@pytest.mark.parametrize("content", [b"name,age\nx,3\n", b"\x00\x01\x02", (",".join(COLUMNS[:-1]) + "\n").encode()])
def test_another_file_is_not_taken_for_a_report(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "patients.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"patients.csv: .*report"):
        read_report(tmp_path / "patients.csv")


def test_a_folder_or_device_is_not_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="expected a file"):
            read_report(path)


def test_changes_that_make_a_result_old() -> None:
    for key, value in {"source": "5cf", "model": "ba4", "file": "b.png", "output": "b.png"}.items():
        assert not ROW.fits(Row(**{**ROW.__dict__, key: value})), key
    assert ROW.fits(Row(**{**ROW.__dict__, "seconds": 3.0, "status": SKIPPED}))


def test_unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        Report(tmp_path / "file" / "report.csv").start([])
    Report(tmp_path / "gone" / "report.csv").start([])
    (tmp_path / "gone" / "report.csv").unlink()
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        Report(tmp_path / "gone" / "report.csv").add(ROW)


def test_report_of_a_run(scans: Path, enhance: Callable[..., int], tmp_path: Path, rows_of: Callable) -> None:
    assert enhance(scans) == 0
    rows = rows_of(tmp_path / "clean" / "report.csv")
    sizes = {
        name: tuple(int(row[key]) for key in ("width", "height", "slices", "channels")) for name, row in rows.items()
    }
    assert sizes == {
        "a.png": (24, 20, 1, 1),
        "ct.dcm": (26, 30, 1, 1),
        "odd.png": (31, 37, 1, 1),
        "sub/colour.jpg": (12, 16, 1, 3),
        "v.nii.gz": (12, 14, 3, 1),
    }
    for row in rows.values():
        assert row["status"] == "ok"
        assert 0 < float(row["seconds"]) < 60
        assert (tmp_path / "clean" / row["output"]).exists()
