"""Results of earlier runs are known by the report that names them, and sources never taken for results."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared import InputError
from shared.enhance.report import COLUMNS, OK, SKIPPED, Report, Row
from shared.images.earlier_results import fingerprint, is_report
from shared.inference import find_images


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5), len(str(path)), np.uint8)).save(path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/a.png"):
        image(tmp_path / "scans" / name)
    return tmp_path / "scans"


def run(scans: Path, output: Path, report: Path, names: tuple[str, ...] = ("a.png", "b.png", "sub/a.png")) -> None:
    """What a run leaves behind."""
    folder = Path(os.path.relpath(output, report.parent)).as_posix()
    rows = []
    for name in names:
        image(output / name)
        rows.append(Row(name, name, OK, 0.5, folder=folder, source=fingerprint([scans / name]), model="f00"))
    Report(report).start([*rows, Row("bad.png", "", "failed", message="damaged")])


def sources(folder: Path, tmp_path: Path) -> tuple[list[str], str]:
    items = find_images(str(folder), str(tmp_path / "new"))
    return [str(Path(item["image"]).relative_to(folder)) for item in items], str(items.left_out)


ALL = ["a.png", "b.png", "sub/a.png"]


@pytest.mark.parametrize(
    ("output", "report"),
    [
        ("scans/clean", "scans/clean/report.csv"),
        ("scans/clean", "scans/clean/other.CSV"),
        ("scans/clean", "scans/report.csv"),
        ("scans/sub/deep/clean", "scans/reports/r.csv"),
    ],
)
def test_not_enhanced_again(scans: Path, tmp_path: Path, output: str, report: str) -> None:
    run(scans, tmp_path / output, tmp_path / report)
    found, left_out = sources(scans, tmp_path)
    assert found == ALL
    assert left_out == f"left out: 3 results of earlier runs ({tmp_path / report})"


def test_report_of_the_version_before(scans: Path, tmp_path: Path) -> None:
    """Without a column that says where results lie; skipped rows are results, too."""
    clean = scans / "clean"
    run(scans, clean, clean / "report.csv")
    lines = (clean / "report.csv").read_text().splitlines()
    place, scaling = COLUMNS.index("folder"), COLUMNS.index("scaling")
    cells = [[cell for number, cell in enumerate(line.split(",")) if number not in (place, scaling)] for line in lines]
    cells[1][2] = SKIPPED
    (clean / "report.csv").write_text("\n".join(",".join(line) for line in cells) + "\n")
    found, left_out = sources(scans, tmp_path)
    assert found == ALL
    assert "3 results of earlier runs" in left_out


def test_folder_that_is_one_result(scans: Path, tmp_path: Path) -> None:
    clean = scans / "clean"
    for number in range(3):
        image(clean / "v.nii_slices" / f"{number}.png")
    image(clean / "own.png")
    Report(clean / "report.csv").start([Row("v.nii", "v.nii_slices", OK, files=3, folder=".", source="5ce")])
    found, left_out = sources(scans, tmp_path)
    assert found == ["a.png", "b.png", "clean/own.png", "sub/a.png"]
    assert "1 result of earlier runs" in left_out


def test_moved_and_linked_results(scans: Path, tmp_path: Path) -> None:
    run(scans, tmp_path / "clean", tmp_path / "clean" / "report.csv")
    (tmp_path / "clean").rename(scans / "moved")
    (scans / "zlink").symlink_to(tmp_path / "far")
    run(scans, tmp_path / "far", tmp_path / "far" / "report.csv")
    found, left_out = sources(scans, tmp_path)
    assert found == ALL
    assert "6 results of earlier runs" in left_out


def test_a_report_beside_the_sources_does_not_make_them_results(scans: Path, tmp_path: Path) -> None:
    """As where it was copied there, or is kept there by ``--report``."""
    run(scans, tmp_path / "clean", tmp_path / "clean" / "report.csv")
    (scans / "report.csv").write_bytes((tmp_path / "clean" / "report.csv").read_bytes())
    assert sources(scans, tmp_path)[0] == ALL
    run(scans, tmp_path / "clean", scans / "report.csv")
    assert sources(scans, tmp_path)[0] == ALL


def test_a_folder_of_results_that_is_named_is_meant(scans: Path, tmp_path: Path) -> None:
    """One network after another; nothing else lies there but notes."""
    clean = tmp_path / "clean"
    run(scans, clean, clean / "report.csv")
    (clean / "notes.txt").write_text("")
    assert sources(clean, tmp_path) == (ALL, "left out: 1 file of another kind (.txt 1)")
    assert sources(clean / "sub", tmp_path)[0] == ["a.png"]
    image(clean / "new.png")
    assert sources(clean, tmp_path)[0] == ["new.png"]


def test_results_alone_in_a_sub_folder(scans: Path, tmp_path: Path) -> None:
    run(scans, tmp_path / "in" / "clean", tmp_path / "in" / "clean" / "report.csv")
    with pytest.raises(InputError, match="no image found in the folder .*, expected PNG.*; left out: 3 results of ea"):
        find_images(str(tmp_path / "in"), str(tmp_path / "new"))


@pytest.mark.parametrize("content", [b"", b"name,age\n", b"file,output,status\n", b"\xff\xfe\x00", b'"' * 200_000])
def test_other_tables_say_nothing(scans: Path, tmp_path: Path, content: bytes) -> None:
    (scans / "table.csv").write_bytes(content)
    found, left_out = sources(scans, tmp_path)
    assert found == ALL
    assert left_out == "left out: 1 file of another kind (.csv 1)"


def test_names_that_are_escaped(scans: Path, tmp_path: Path) -> None:
    image(scans / "=1.png")
    run(scans, scans / "-clean", scans / "report.csv", ("=1.png",))
    assert "'=1.png" in (scans / "report.csv").read_text()
    assert sources(scans, tmp_path)[0] == ["=1.png", "a.png", "b.png", "sub/a.png"]


def test_what_a_report_is() -> None:
    assert is_report(COLUMNS)
    assert not is_report(COLUMNS[1:])
    assert not is_report(COLUMNS[:-1])


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"longer"), lambda path: os.utime(path, (1, 1))])
def test_fingerprint(tmp_path: Path, change: Callable[[Path], object]) -> None:
    files = [image(tmp_path / name) for name in ("a.png", "b.png")]
    before = fingerprint(files)
    assert fingerprint(reversed(files)) == before
    change(files[0])
    assert fingerprint(files) != before


def test_rows_that_are_cut(scans: Path, tmp_path: Path) -> None:
    run(scans, scans / "clean", scans / "clean" / "report.csv")
    report = scans / "clean" / "report.csv"
    report.write_bytes(report.read_bytes() + b"x.png,x")
    assert sources(scans, tmp_path)[0] == ALL
