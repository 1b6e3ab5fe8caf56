"""Which folder is a packaged bundle's own, as far as one process can tell without running one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import shared
from shared import InputError, bundle_root
from shared.bundle.location import check_version, find_package
from shared.bundle.manifest import Manifest


def place(folder: Path, name: str = "enhance", version: str = "1") -> Path:
    folder.mkdir(parents=True)
    (folder / "package.json").write_bytes(Manifest(name, "0.1.0", version, {}).to_bytes())
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Start in an empty folder, with no package in sight."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(sys, "path", [*sys.path])


def find(home: Path, **options) -> Path:
    return find_package("enhance", home, **options)


def test_the_folder_that_is_known_wins(tmp_path):
    first, second = place(tmp_path / "first"), place(tmp_path / "second")
    sys.path.insert(0, str(second))
    assert find(second, folder=str(first)) == first


def test_a_folder_of_another_package_is_passed_over(tmp_path):
    """The workflow on the call stack may be that of another bundle, which opens this one by a bare parser."""
    other, wanted = place(tmp_path / "other", "denoise"), place(tmp_path / "wanted")
    sys.path.insert(0, str(wanted))
    assert find(other, folder=other) == wanted


def test_working_directory_and_path_are_searched(tmp_path, monkeypatch):
    package = place(tmp_path / "package")
    monkeypatch.chdir(package)
    sys.path.insert(0, "")
    assert find(tmp_path) == package
    monkeypatch.chdir(tmp_path)
    sys.path[0] = "package"
    assert find(tmp_path) == package


def test_package_that_shared_came_from_is_the_last_resort(tmp_path):
    home, copy = place(tmp_path / "home"), place(tmp_path / "copy")
    assert find(home) == home
    sys.path.insert(0, str(copy))
    assert find(home) == copy


def test_two_copies_and_nothing_that_decides(tmp_path):
    first, second = place(tmp_path / "first"), place(tmp_path / "second")
    sys.path[:0] = [str(first), str(second), str(first)]
    with pytest.raises(InputError, match=f"found packages in {first} and in {second}, expected one"):
        find(tmp_path)


def test_no_package(tmp_path):
    (tmp_path / "cwd" / "package.json").write_text('{"name": "enhance", "version": "1.0.0"}')  # of the Node world
    with pytest.raises(InputError, match="bundle 'enhance': found no package of this name"):
        find(tmp_path)
    (tmp_path / "cwd" / "package.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="found no package of this name"):
        find(tmp_path)


def test_another_version_names_both_folders_and_versions(tmp_path):
    package = place(tmp_path / "package", version="2")
    check_version(package, "2", "2", tmp_path)
    with pytest.raises(InputError) as caught:
        check_version(package, "2", "1", tmp_path / "home")
    message = str(caught.value)
    assert f"package {package}: made with shared 2, found shared 1, imported from {tmp_path / 'home'}" in message


def test_repository_code_serves_packages_of_its_version_only(tmp_path, monkeypatch):
    package = place(tmp_path / "package")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert bundle_root("enhance", shared.__version__, str(package)) == str(package)
    with pytest.raises(InputError, match=f"made with shared 0.0.1, found shared {shared.__version__}"):
        bundle_root("enhance", "0.0.1", str(package))
