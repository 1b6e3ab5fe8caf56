"""The command: what it does with good and bad files, and in a second run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.enhance.enhancer import Enhancer
from shared.inference import listing
from tests.enhance.conftest import noise

Enhance = Callable[..., int]
RowsOf = Callable[[Path], dict[str, dict[str, str]]]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "clean" / "report.csv"


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "report.csv"}


def test_terminal_is_clean(
    pngs: Path, enhance: Enhance, capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert enhance(pngs, output=Path("clean")) == 0
    out, err = capfd.readouterr()
    assert err.splitlines() == ["1/4 clean/0.png", "4/4 clean/3.png"]
    (line,) = out.splitlines()
    assert line.startswith("Enhanced 4 images (4 PNG) in ")
    assert line.endswith(" s, written to clean, report in clean/report.csv")


def test_bad_files_do_not_stop_the_rest(
    scans: Path, make_bad: Callable, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any, tmp_path: Path
) -> None:
    bad = make_bad(scans)
    assert enhance(scans) == 1
    rows = rows_of(report)
    assert sorted(name for name, row in rows.items() if row["status"] == "failed") == bad
    assert sum(row["status"] == "ok" for row in rows.values()) == 5
    out, err = capfd.readouterr()
    assert "Enhanced 5 images" in out
    assert "5 failed" in out
    assert "Traceback" not in err
    for name in bad:
        assert str(scans / name) in rows[name]["message"]
        assert rows[name]["output"] == ""
        assert f"failed: {rows[name]['message']}" in err
    written = [path for path in (tmp_path / "clean").rglob("*") if path.is_file()]
    assert len(written) == 6, "five results and the report, no part of a file"
    assert "infinite" in rows["infinite.nii"]["message"]


def test_file_that_cannot_be_opened(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a suffix its first bytes would tell whether it is DICOM."""
    (pngs / "IM0001").touch()
    known = listing.format_of

    def denied(path: str) -> Any:
        if path.endswith("IM0001"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return known(path)

    monkeypatch.setattr(listing, "format_of", denied)
    assert enhance(pngs) == 1
    rows = rows_of(report)
    assert "Permission denied" in rows["IM0001"]["message"]
    assert sum(row["status"] == "ok" for row in rows.values()) == 4


def test_only_bad_files(tmp_path: Path, enhance: Enhance, report: Path, rows_of: RowsOf) -> None:
    (tmp_path / "x.png").write_bytes(b"no")
    assert enhance(tmp_path / "x.png") == 1
    assert rows_of(report)["x.png"]["status"] == "failed"


def test_second_run_does_what_is_new(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, tmp_path: Path, capfd: Any
) -> None:
    enhance(pngs)
    before = times(tmp_path / "clean")
    Image.fromarray(noise(9, 9)).save(pngs / "new.png")
    Image.fromarray(255 - noise(12, 10)).save(pngs / "0.png")
    (tmp_path / "clean" / "1.png").unlink()
    assert enhance(pngs) == 0
    status = {name: row["status"] for name, row in rows_of(report).items()}
    assert status == {"0.png": "ok", "1.png": "ok", "2.png": "skipped", "3.png": "skipped", "new.png": "ok"}
    assert "3 images" in capfd.readouterr().out
    after = times(tmp_path / "clean")
    assert {Path(name).name for name in before if after[name] == before[name]} == {"2.png", "3.png"}
    assert enhance(pngs) == 0
    assert {row["status"] for row in rows_of(report).values()} == {"skipped"}
    assert rows_of(report)["3.png"]["width"] == "13"


def test_overwrite_and_another_model(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, weights_for: Callable[[str], str]
) -> None:
    def done() -> set[str]:
        return {row["status"] for row in rows_of(report).values()}

    enhance(pngs)
    enhance(pngs, "--overwrite")
    assert done() == {"ok"}
    enhance(pngs, "--ckpt", weights_for("gradprom_mni152"))
    assert done() == {"ok"}
    enhance(pngs, "--ckpt", weights_for("gradprom_mni152"), "--plane", "sagittal")
    assert done() == {"ok"}
    enhance(pngs, "--ckpt", weights_for("gradprom_mni152"), "--plane", "sagittal")
    assert done() == {"skipped"}, "the same content in another file is the same model"


def test_stopped_run_goes_on(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    whole = Enhancer.enhance
    calls = []

    def stop_at_third(self: Enhancer, data: Any) -> None:
        calls.append(data)
        if len(calls) == 3:
            raise KeyboardInterrupt
        whole(self, data)

    monkeypatch.setattr(Enhancer, "enhance", stop_at_third)
    assert enhance(pngs) == 130
    assert [row["status"] for row in rows_of(report).values()] == ["ok", "ok"]
    out, err = capfd.readouterr()
    assert "Enhanced 2 images" in out
    assert "goes on from here" in out
    assert "Traceback" not in err
    monkeypatch.setattr(Enhancer, "enhance", whole)
    assert enhance(pngs) == 0
    assert [row["status"] for row in rows_of(report).values()] == ["skipped", "skipped", "ok", "ok"]


def test_full_disk(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace = os.replace

    def no_space(source: Any, target: Any) -> None:
        if str(target).endswith("1.png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", no_space)
    assert enhance(pngs) == 1
    rows = rows_of(report)
    assert "No space left on device" in rows["1.png"]["message"]
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "ok", "ok"]
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["0.png", "2.png", "3.png", "report.csv"]


def test_report_cannot_be_written_any_more(
    pngs: Path, enhance: Enhance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any
) -> None:
    """Nobody would know what is done: the run ends."""
    whole = Enhancer.enhance
    folder = tmp_path / "reports"

    def lose_report(self: Enhancer, data: Any) -> None:
        whole(self, data)
        if (tmp_path / "clean" / "1.png").exists():
            (folder / "r.csv").unlink()
            (folder / "r.csv").mkdir()

    monkeypatch.setattr(Enhancer, "enhance", lose_report)
    assert enhance(pngs, "--report", folder / "r.csv") == 1
    assert f"{folder / 'r.csv'} cannot be written" in capfd.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["0.png", "1.png"]


def test_several_inputs(scans: Path, pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf) -> None:
    assert enhance([scans / "a.png", pngs, scans / "v.nii.gz", scans / "a.png"]) == 0
    assert sorted(rows_of(report)) == ["0.png", "1.png", "2.png", "3.png", "a.png", "v.nii.gz"]


def test_collision_across_inputs(pngs: Path, tmp_path: Path, enhance: Enhance, capfd: Any) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "1.png").write_bytes((pngs / "1.png").read_bytes())
    assert enhance([pngs, other]) == 2
    assert "would both be written to 1.png" in capfd.readouterr().err
    assert not (tmp_path / "clean").exists()


def test_output_inside_input(pngs: Path, enhance: Enhance, rows_of: RowsOf) -> None:
    for _ in range(2):
        assert enhance(pngs, output=pngs / "clean") == 0
        assert sorted(rows_of(pngs / "clean" / "report.csv")) == ["0.png", "1.png", "2.png", "3.png"]


def test_dry_run(pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    (pngs / "x.png").write_bytes(b"no")
    assert enhance(pngs, "--dry-run") == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"0.png -> {tmp_path / 'clean' / '0.png'}"
    assert lines[-1] == "4 to enhance, 1 failed"
    assert not (tmp_path / "clean").exists()


def test_phantom_weights_are_named(
    pngs: Path, enhance: Enhance, weights_for: Callable[[str], str], capfd: Any
) -> None:
    weights = Path(weights_for("gradprom_mni152"))
    weights.with_name("provenance.json").write_text('{"phantom": true}')
    assert enhance(pngs, "--ckpt", weights) == 0
    assert "phantom" in capfd.readouterr().err


def test_results_are_images(pngs: Path, enhance: Enhance, tmp_path: Path) -> None:
    enhance(pngs)
    with Image.open(pngs / "2.png") as source, Image.open(tmp_path / "clean" / "2.png") as result:
        assert result.size == source.size
        assert not np.array_equal(np.array(source), np.array(result))
