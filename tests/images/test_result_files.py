"""A folder of results that is replaced: whole or not at all, and nothing of a person's is ever deleted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shared import InputError
from shared.images.result_files import result_folder

DICOM = bytes(128) + b"DICM"
NAMES = ("IM0001", "IM0002")
STRAYS = (".DS_Store", "._IM0001", "Thumbs.db", "desktop.ini", "IM0001~", "notes.txt", "sub/inner.png")


def fill(folder: str | Path, content: bytes, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, content: bytes = DICOM + b"new", names: tuple[str, ...] = NAMES) -> None:
    with result_folder(str(folder)) as partial:
        fill(partial, content, names)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """What an earlier run wrote."""
    write(tmp_path / "out" / "series", DICOM + b"old")
    return tmp_path / "out" / "series"


def test_strays_stay(result: Path) -> None:
    fill(result, b"mine", STRAYS)
    (result / "broken_link").symlink_to("nowhere")
    for _ in range(2):
        write(result)
        assert files(result) == {name: DICOM + b"new" for name in NAMES} | {name: b"mine" for name in STRAYS}
        assert (result / "broken_link").readlink() == Path("nowhere")
        assert list(result.parent.iterdir()) == [result]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    write(tmp_path / "series")
    assert set(files(tmp_path / "series")) == set(NAMES)


def test_a_linked_folder_stays_linked(result: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(result)
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert files(result) == {name: DICOM + b"new" for name in NAMES}
    assert list(result.parent.iterdir()) == [result]


@pytest.mark.parametrize("stray", ["IM0003", "IM0003.dcm", "photograph.png"])
def test_another_image_is_refused(result: Path, stray: str) -> None:
    """It would be taken for a slice of the new series."""
    fill(result, DICOM + b"mine", (stray,))
    fill(result, b"mine", ("notes.txt",))
    before = files(result)
    with pytest.raises(InputError, match=rf"series: holds {stray}, an image .* 2 files; .* move it elsewhere"):
        write(result)
    assert files(result) == before
    assert list(result.parent.iterdir()) == [result]


def test_a_folder_with_the_name_of_a_slice_is_refused(result: Path) -> None:
    (result / "IM0002").unlink()
    fill(result, b"mine", ("IM0002/notes.txt",))
    before = files(result)
    with pytest.raises(InputError, match=r"series/IM0002: is a folder, expected a file"):
        write(result)
    assert files(result) == before
    assert list(result.parent.iterdir()) == [result]


@pytest.mark.parametrize("failing", [1, 2])
def test_the_earlier_result_comes_back(result: Path, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(result, b"mine", STRAYS)
    before = files(result)
    replace, calls = os.replace, []

    def fail_once(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == failing:
            raise OSError("I/O error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(OSError, match="I/O error"):
        write(result)
    assert files(result) == before
    assert list(result.parent.iterdir()) == [result]


def test_a_stray_that_cannot_be_moved_is_not_deleted(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(result, b"mine", ("notes.txt",))
    replace = os.replace

    def fail(source: Any, target: Any) -> None:
        if Path(source).name == "notes.txt":
            raise PermissionError(f"Permission denied: {source}")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match=r"\.earlier/notes\.txt"):
        write(result)
    assert files(result) == {name: DICOM + b"new" for name in NAMES}
    (notes,) = result.parent.glob(".*.earlier/notes.txt")
    assert notes.read_bytes() == b"mine"


def test_what_a_killed_run_left_hinders_nobody(result: Path) -> None:
    """Also not in a container, where every run has the same process number."""
    fill(result.with_name(f".{os.getpid()}.series"), b"half")
    fill(result.with_name(f".{os.getpid()}.series.earlier"), b"mine", ("notes.txt",))
    write(result)
    assert files(result) == {name: DICOM + b"new" for name in NAMES}
    assert (result.with_name(f".{os.getpid()}.series.earlier") / "notes.txt").is_file()
