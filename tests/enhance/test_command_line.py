"""The command in a process of its own: from any folder, killed, stopped, in a package."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.bundle.archive import unpack
from shared.enhance.__main__ import main
from shared.packaging.build import build
from tests.bundles.commands import ROOT, environment
from tests.enhance.conftest import noise, read_rows

COMMAND = [sys.executable, "-m", "shared.enhance", "--output", "clean", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a folder of images that keep the command busy for a while."""
    (tmp_path / "scans").mkdir()
    for number in range(12):
        Image.fromarray(noise(150, 150)).save(tmp_path / "scans" / f"{number:02}.png")
    return tmp_path


def start(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words], cwd=folder, env=environment(**variables), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def start_and_send(folder: Path, what: signal.Signals) -> tuple[int, str, str]:
    """Exit code and both outputs of a run that gets a signal after its second image."""
    process = start(folder, "--bundle", "gradprom_mni152", "--input", "scans", PYTHONPATH=str(ROOT))
    report = folder / "clean" / "report.csv"
    while process.poll() is None and not (report.is_file() and len(report.read_text().splitlines()) > 2):
        time.sleep(0.05)
    process.send_signal(what)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.slow
def test_killed_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code, _, _ = start_and_send(folder, signal.SIGKILL)
    assert code == -signal.SIGKILL
    done = [name for name, row in read_rows(folder / "clean" / "report.csv").items() if row["status"] == "ok"]
    assert 2 <= len(done) < 12
    monkeypatch.chdir(folder)
    assert main(["--bundle", "gradprom_mni152", "--input", "scans", "--output", "clean", "--device", "cpu"]) == 0
    rows = read_rows(folder / "clean" / "report.csv")
    assert len(rows) == 12
    assert [name for name, row in rows.items() if row["status"] == "skipped"] == done
    assert not list((folder / "clean").glob(".report*")), "the killed run's lock is gone"
    first, second = capsys.readouterr().out.splitlines()
    assert f", {len(done)} up to date, written to clean, report in clean{os.sep}report.csv" in first
    assert second.startswith("12 images changed more than noise removal explains"), "pure noise, of both runs"


@pytest.mark.slow
def test_terminated_run_ends_cleanly(folder: Path) -> None:
    code, out, err = start_and_send(folder, signal.SIGTERM)
    assert code == 130
    assert "the same command goes on from here" in out
    assert "Traceback" not in err
    rows = read_rows(folder / "clean" / "report.csv")
    found = sorted(path.name for path in (folder / "clean").iterdir())
    assert found == [*sorted(rows), "report.csv"], "what the report names and nothing else"


@pytest.mark.slow
def test_inside_a_package(folder: Path, tmp_path: Path) -> None:
    package = unpack(build("gradprom_mni152", tmp_path / "dist").path, tmp_path / "elsewhere")
    for path in sorted((folder / "scans").iterdir())[1:]:
        path.unlink()
    process = start(package, "--bundle", ".", "--input", str(folder / "scans"))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == f"1/1 {Path('clean') / '00.png'}\n"
    assert out.startswith("Enhanced 1 image (1 PNG)")
    assert (package / "clean" / "00.png").is_file()
    code = "from shared.bundle.opening import open_bundle\n"
    code += "with open_bundle('gradprom_mni152', '--bundle') as place: print(place)"
    found = subprocess.run([sys.executable, "-c", code], cwd=package, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == package.resolve(), "by its name, too"
