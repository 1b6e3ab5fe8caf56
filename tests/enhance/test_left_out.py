"""What the command does not enhance, and says so: other files, links, results of its earlier runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from tests.enhance.conftest import noise

Enhance = Callable[..., int]
RowsOf = Callable[[Path], dict[str, dict[str, str]]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_closing_line_with_counts_by_reason(pngs: Path, enhance: Enhance, capfd: Any) -> None:
    for name in ("a.txt", "b.txt", "c.json", ".DS_Store"):
        (pngs / name).touch()
    (pngs / "loop").symlink_to(".")
    label = nibabel.Nifti1Image(np.eye(8, dtype=np.uint8), np.eye(4))
    label.header["intent_code"] = 1002
    nibabel.save(label, pngs / "label.nii.gz")
    line = (
        "left out: 3 files of other kinds (.txt 2, .json 1), 1 label map, 1 hidden file, "
        "1 linked folder that leads back (pngs/loop)"
    )
    assert enhance(pngs, "--dry-run") == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["4 to enhance", line]
    assert enhance(pngs) == 0
    assert capfd.readouterr().out.splitlines()[-1] == line
    assert enhance(pngs) == 0
    assert capfd.readouterr().out.splitlines()[-1] == line


def test_counts_of_several_inputs(pngs: Path, tmp_path: Path, enhance: Enhance, capfd: Any) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()
        Image.fromarray(noise(9, 9)).save(tmp_path / name / f"{name}.png")
    assert enhance([tmp_path / "one", tmp_path / "two", pngs / "0.png"], "--dry-run") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "left out: 2 files of other kinds (.txt 2)"


def test_linked_folders_and_files(pngs: Path, tmp_path: Path, enhance: Enhance, rows_of: RowsOf) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(pngs)
    (tmp_path / "in" / "same.png").symlink_to(pngs / "0.png")
    (pngs / "up").symlink_to(tmp_path / "in")
    assert enhance(tmp_path / "in") == 0
    rows = rows_of(tmp_path / "clean" / "report.csv")
    assert sorted(rows) == [*(f"linked/{number}.png" for number in range(4)), "same.png"]
    assert enhance([tmp_path / "in", pngs, tmp_path / "in" / "linked" / "1.png"]) == 0
    assert {row["status"] for row in rows_of(tmp_path / "clean" / "report.csv").values()} == {"skipped"}
    assert len(rows_of(tmp_path / "clean" / "report.csv")) == 5, "what is given twice counts once"


@pytest.mark.parametrize("report", ["clean/report.csv", "first.csv", "reports/first.csv"])
def test_results_of_an_earlier_run(pngs: Path, enhance: Enhance, rows_of: RowsOf, capfd: Any, report: str) -> None:
    """Another output folder inside the input, also in a third run with yet another one."""
    assert enhance(pngs, "--report", pngs / report, output=pngs / "clean") == 0
    for number, name in enumerate(["clean2", "deep/clean3"], start=1):
        capfd.readouterr()
        assert enhance(pngs, output=pngs / name) == 0
        assert f"{4 * number} results of earlier runs" in capfd.readouterr().out
        assert sorted(rows_of(pngs / name / "report.csv")) == ["0.png", "1.png", "2.png", "3.png"]


def test_results_that_are_folders_or_large(
    series: Path, scans: Path, tmp_path: Path, enhance: Enhance, rows_of: RowsOf
) -> None:
    (tmp_path / "in").mkdir()
    series.rename(tmp_path / "in" / "series")
    (scans / "v.nii.gz").rename(tmp_path / "in" / "v.nii.gz")
    assert enhance(tmp_path / "in", "--format", "png", output=tmp_path / "in" / "clean") == 0
    assert sum(path.is_dir() for path in (tmp_path / "in" / "clean").rglob("*_slices")) == 1
    assert enhance(tmp_path / "in", output=tmp_path / "again") == 0
    assert sorted(rows_of(tmp_path / "again" / "report.csv")) == ["series/0.dcm", "v.nii.gz"]


def test_pixels_in_a_file_of_their_own_decide(tmp_path: Path, enhance: Enhance, rows_of: RowsOf) -> None:
    (tmp_path / "in").mkdir()

    def status(shift: int) -> str:
        volume = np.tile(np.arange(12, dtype=np.int16) * 10 + shift, (2, 9, 1))
        if shift >= 0:
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume), tmp_path / "in" / "v.mhd")
            os.utime(tmp_path / "in" / "v.mhd", (1, 1))
        assert enhance(tmp_path / "in") == 0
        return rows_of(tmp_path / "clean" / "report.csv")["v.mhd"]["status"]

    assert [status(0), status(-1), status(5)] == ["ok", "skipped", "ok"]
