from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.data import dataset_dir, is_phantom, locations
from shared.data.phantoms import PHANTOMS, Phantom
from shared.errors import InputError

REPOSITORY = Path(__file__).parents[2]


def write_tiny(folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(3):
        (folder / "images" / f"{number}.txt").write_text(str(number))


@pytest.fixture(autouse=True)
def tiny_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(PHANTOMS, "isic", Phantom(write_tiny, version=7))
    monkeypatch.setattr(locations, "_announced", set())


def test_real_data_are_used_when_the_variable_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "isic").mkdir()
    monkeypatch.setenv("MONAI_DATA_DIRECTORY", str(tmp_path))
    assert dataset_dir("isic") == str(tmp_path / "isic")
    assert not is_phantom(dataset_dir("isic"))


def test_missing_real_data_never_fall_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_DATA_DIRECTORY", str(tmp_path))
    with pytest.raises(InputError, match="MONAI_DATA_DIRECTORY=.*no folder '.*/isic'") as caught:
        dataset_dir("isic")
    assert "challenge.isic-archive.com" in str(caught.value)


def test_phantom_is_announced_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        folder = dataset_dir("isic")
        assert dataset_dir("isic") == folder
    assert is_phantom(folder)
    assert Path(folder).is_relative_to(tmp_path / "cache")
    assert "v7" in Path(folder).name
    (record,) = caplog.records
    assert record.name.startswith("shared.data")
    for word in ("PHANTOM", folder, "MONAI_DATA_DIRECTORY", "--dataset_dir"):
        assert word in record.getMessage()


def test_phantom_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset_dir("isic")
    monkeypatch.setitem(PHANTOMS, "isic", Phantom(lambda _: pytest.fail("written again"), version=7))
    assert dataset_dir("isic") == folder
    marker = json.loads((Path(folder) / "phantom.json").read_text())
    assert marker == {"name": "isic", "version": 7, "files": 3}


def test_another_version_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset_dir("isic")
    monkeypatch.setitem(PHANTOMS, "isic", Phantom(write_tiny, version=8))
    assert dataset_dir("isic") != folder


def test_a_failed_generation_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        write_tiny(folder)
        raise RuntimeError("interrupted")

    monkeypatch.setitem(PHANTOMS, "isic", Phantom(fail, version=7))
    with pytest.raises(RuntimeError, match="interrupted"):
        dataset_dir("isic")
    assert not list((Path(os.environ["XDG_CACHE_HOME"]) / locations.CACHE_FOLDER).iterdir())
    monkeypatch.setitem(PHANTOMS, "isic", Phantom(write_tiny, version=7))
    assert is_phantom(dataset_dir("isic"))


def test_a_writer_that_loses_the_race_takes_the_winners_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = threading.Barrier(4)

    def slow(folder: Path) -> None:
        barrier.wait(timeout=20)  # every thread has found no folder and writes its own
        write_tiny(folder)
        time.sleep(0.02)

    monkeypatch.setitem(PHANTOMS, "isic", Phantom(slow, version=7))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(dataset_dir("isic"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [path.name for path in Path(found[0]).parent.iterdir()] == [Path(found[0]).name]


def test_incomplete_phantom_is_an_error() -> None:
    folder = dataset_dir("isic")
    shutil.rmtree(Path(folder) / "images")
    with pytest.raises(InputError, match="incomplete.*delete the folder"):
        dataset_dir("isic")


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be written.*XDG_CACHE_HOME"):
        dataset_dir("isic")


def test_unknown_name_and_name_without_phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown data set 'isik'; the nearest known name is 'isic'"):
        dataset_dir("isik")
    monkeypatch.delitem(PHANTOMS, "isic")
    with pytest.raises(InputError, match="'isic'.*MONAI_DATA_DIRECTORY is not set.*--dataset_dir"):
        dataset_dir("isic")


def test_the_warning_is_seen_without_any_logging_set_up(tmp_path: Path) -> None:
    code = (
        "from shared.data import phantoms, dataset_dir\n"
        "phantoms.PHANTOMS['isic'] = phantoms.Phantom(lambda folder: (folder / 'x').touch(), 1)\n"
        "dataset_dir('isic')"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert "PHANTOM" in done.stderr
