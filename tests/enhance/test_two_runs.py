"""Two runs at the same time, and a run after one that was killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.enhance.enhancer import Enhancer
from shared.enhance.report import sole_writer
from shared.inference import find_images
from tests.bundles.commands import ROOT

Enhance = Callable[..., int]


def test_a_second_run_is_refused(
    pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Enhancer.enhance
    codes: list[int] = []

    def at_the_same_time(self: Enhancer, data: Any) -> None:
        if not codes:
            codes.append(-1)
            codes[0] = enhance(pngs)
        whole(self, data)

    monkeypatch.setattr(Enhancer, "enhance", at_the_same_time)
    assert enhance(pngs) == 0
    assert codes == [2]
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {tmp_path / 'clean'}: another run is at work in this folder and writes report.csv")
    assert len((tmp_path / "clean" / "report.csv").read_text().splitlines()) == 5
    names = sorted(path.name for path in (tmp_path / "clean").iterdir())
    assert names == ["0.png", "1.png", "2.png", "3.png", "report.csv"], "no lock is left"


def test_reports_of_their_own_go_together(pngs: Path, enhance: Enhance, tmp_path: Path) -> None:
    with sole_writer(tmp_path / "clean" / "report.csv"):
        assert enhance(pngs, "--report", tmp_path / "clean" / "other.csv") == 0
        assert enhance(pngs) == 2


def test_the_lock_is_no_image(pngs: Path) -> None:
    with sole_writer(pngs / "clean" / "report.csv"), sole_writer(pngs / "report.csv"):
        items = find_images(str(pngs), str(pngs.parent / "elsewhere"))
    assert len(items) == 4


def test_a_lock_does_not_outlive_its_process(pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    report = tmp_path / "clean" / "report.csv"
    program = """
        import sys, time
        from pathlib import Path
        from shared.enhance.report import sole_writer
        with sole_writer(Path(sys.argv[1])):
            print("locked", flush=True)
            time.sleep(60)
    """
    words = [sys.executable, "-c", textwrap.dedent(program), str(report)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert enhance(pngs) == 2
        other.kill()
    assert (report.parent / ".report.csv.lock").exists()
    assert "another run is at work" in capfd.readouterr().err
    assert enhance(pngs) == 0
    assert not list(report.parent.glob(".*"))
