"""A second run where something is missing from a result that is a folder, or something else lies in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Enhance = Callable[..., int]


@pytest.fixture(params=["dicom", "png"])
def case(request: pytest.FixtureRequest, tmp_path: Path, series: Path, scans: Path, enhance: Enhance) -> Any:
    """Something that runs the command and returns the status of its one image, and the folder of the result."""
    source, row = (series, "0.dcm") if request.param == "dicom" else (scans / "v.nii.gz", "v.nii.gz")
    rows_of: Callable[[Path], Any] = request.getfixturevalue("rows_of")

    def run() -> str:
        code = enhance(source, "--format", request.param)
        found = rows_of(tmp_path / "clean" / "report.csv")[row]
        assert (code, found["files"]) == ((1, "") if found["status"] == "failed" else (0, "3"))
        return str(found["status"])

    assert run() == "ok"
    (folder,) = (path for path in (tmp_path / "clean").iterdir() if path.is_dir())
    return run, folder


@pytest.mark.parametrize("missing", ["first", "last", "all", "folder"])
def test_missing_slices_are_noticed(case: tuple[Callable[[], str], Path], missing: str) -> None:
    run, folder = case
    names = sorted(path.name for path in folder.iterdir())
    (folder / ".DS_Store").write_bytes(b"of the system")
    (folder / "Thumbs.db").write_bytes(b"of the system")
    assert run() == "skipped"
    for name in {"first": names[:1], "last": names[-1:]}.get(missing, names):
        (folder / name).unlink()
    if missing == "folder":
        for stray in folder.iterdir():
            stray.unlink()
        folder.rmdir()
    assert run() == "ok"
    strays = [] if missing == "folder" else [".DS_Store", "Thumbs.db"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, *strays])
    assert run() == "skipped"


def test_another_image_in_the_folder(case: tuple[Callable[[], str], Path], capfd: Any) -> None:
    run, folder = case
    (folder / "screenshot.png").write_bytes(b"mine")
    assert run() == "skipped"
    for path in sorted(folder.iterdir())[:2]:
        path.unlink()
    assert run() == "failed"
    assert "holds screenshot.png, an image that is none of the new result's 3 files" in capfd.readouterr().err
    (folder / "screenshot.png").unlink()
    assert run() == "ok"
