"""The benchmark of large images: that it measures what it says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
import torch

from shared.benchmark import large_image
from shared.benchmark.large_image import LargeRun, LargeSettings, compare_runs, enhance_and_measure, write_phantom
from shared.errors import InputError
from tests.scripts.loading import load_script

RUNS = [LargeRun(100, 800, 2.0, 1.0, 500.0), LargeRun(800, 800, 10.0, 7.5, 600.0)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("benchmark")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("channels", [1, 3])
def test_phantom_is_a_tiled_compressed_image_that_says_something(tmp_path: Path, channels: int) -> None:
    write_phantom(tmp_path / "a.tif", 700, 900, channels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        pixels = file.asarray()
    assert pixels.shape == ((700, 900) if channels == 1 else (700, 900, 3))
    assert 20 < pixels.std() < 80
    # No tile repeats another: discs, waves and noise go on over the borders.
    assert np.abs(pixels[:188, :388].astype(int) - pixels[512:, 512:]).mean() > 10


def test_one_run_measures_time_network_and_memory(tmp_path: Path) -> None:
    write_phantom(tmp_path / "a.tif", 300, 400, 1)
    run = enhance_and_measure(tmp_path / "a.tif", LargeSettings(size=400, threads=1, features=4))
    assert (run.height, run.width) == (300, 400)
    assert 0 < run.network_seconds < run.seconds
    assert run.memory > 100
    assert run.speed == pytest.approx(0.12 / run.seconds)


def test_figures() -> None:
    found = {figure.name: figure.found for figure in compare_runs(*RUNS)}
    assert found == {
        "large_memory_over_small": 1.2,
        "large_network_share": 0.75,
        "large_megapixels_per_second": pytest.approx(0.064),
    }


def test_command_prints_tables_writes_json_and_checks(script, tmp_path, monkeypatch, capsys) -> None:
    asked: list[LargeSettings] = []
    monkeypatch.setattr(script, "measure_large_image", lambda settings, progress: (asked.append(settings), RUNS)[1])
    out = tmp_path / "large.json"
    words = ["--large-image", "800", "--rgb", "--threads", "2", "--out", str(out), "--check", "--markdown"]
    assert script.main(words) == 1
    assert asked == [LargeSettings(800, 3, "cpu", 2)]
    printed = capsys.readouterr()
    assert "| 800 x 800 | 10.0 | 0.06 | 600 | 75 % |" in printed.out
    assert printed.err == "bound missed: peak memory: 800 rows / 100 rows: found 1.200, expected at most 1.10\n"
    content = json.loads(out.read_text())
    assert content["figures"]["large_memory_over_small"]["kept"] is False
    assert content["runs"] == [asdict(run) for run in RUNS]
    assert content["machine"]["device"] == "cpu"


def test_default_size(script, monkeypatch) -> None:
    asked: list[LargeSettings] = []
    monkeypatch.setattr(script, "measure_large_image", lambda settings, progress: (asked.append(settings), RUNS)[1])
    assert script.main(["--large-image"]) == 0
    assert asked[0].size == 20_000


@pytest.mark.slow
def test_each_image_has_a_process_of_its_own() -> None:
    lines: list[str] = []
    small, large = large_image.measure_large_image(LargeSettings(size=900, threads=1, features=4), lines.append)
    assert (small.height, large.height, large.width) == (112, 900, 900)
    assert len(lines) == 4


def test_a_failed_process_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(large_image.sys, "executable", "false")
    with pytest.raises(InputError, match="large image: process ended with code 1, expected 0"):
        large_image.measure_large_image(LargeSettings(size=64), lambda line: None)


def test_wrong_size(script, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(["--large-image", "0"])
    assert "--large-image: found 0, expected at least 1" in capsys.readouterr().err
