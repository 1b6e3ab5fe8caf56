"""Packages are unpacked whole or not at all, and what is damaged is said to be."""

from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path

import pytest

from shared import InputError
from shared.bundle.archive import open_package, read_zip, to_zip, unpack
from shared.bundle.manifest import Manifest
from shared.files import digest
from tests.packaging.conftest import TRAINED, UNTRAINED

FILES = {"configs/metadata.json": b"{}", "shared/__init__.py": b"x = 1\n" * 50, "LICENSE": b"free"}


def manifest(files: dict[str, bytes] = FILES, name: str = "small", version: str = "1.0") -> Manifest:
    return Manifest(name, version, "0", {path: digest(content) for path, content in files.items()})


@pytest.fixture
def small(tmp_path) -> Path:
    """A small package."""
    path = tmp_path / "small_v1.0.zip"
    path.write_bytes(to_zip(manifest(), FILES))
    return path


def rewritten(path: Path, **changes: bytes | None) -> Path:
    """A zip file with some entries changed (names with / written as __) or, where None, left out."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries |= {name.replace("__", "/"): content for name, content in changes.items()}
    with zipfile.ZipFile(path.with_name("changed.zip"), "w") as archive:
        for name, content in entries.items():
            if content is not None:
                archive.writestr(name, content)
    return path.with_name("changed.zip")


def test_round_trip(small, tmp_path):
    folder = unpack(small, tmp_path / "deep" / "models")
    assert folder == tmp_path / "deep" / "models" / "small"
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found.pop("package.json") == manifest().to_bytes()
    assert found == FILES
    assert os.listdir(folder.parent) == ["small"]
    assert folder.stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777


def test_second_time_changes_nothing(small, tmp_path):
    folder = unpack(small, tmp_path / "models")
    (folder / "trained.pt").write_text("since then")
    assert unpack(small, tmp_path / "models") == folder
    assert (folder / "trained.pt").read_text() == "since then"


@pytest.mark.parametrize("other", ["version", "folder", "file"])
def test_something_else_is_not_overwritten(small, tmp_path, other):
    target = tmp_path / "models" / "small"
    target.parent.mkdir()
    if other == "version":
        newer = tmp_path / "small_v2.0.zip"
        newer.write_bytes(to_zip(manifest(version="2.0"), FILES))
        unpack(newer, target.parent)
    elif other == "folder":
        target.mkdir()
    else:
        target.write_text("mine")
    with pytest.raises(InputError, match="small: exists and is not the package in"):
        unpack(small, target.parent)
    assert os.listdir(target.parent) == ["small"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"small__LICENSE": b"paid"}, "another content of LICENSE than package.json says"),
        ({"small__LICENSE": None}, "other files than package.json lists, the first is small/LICENSE"),
        ({"small__more": b""}, "other files than package.json lists, the first is small/more"),
        ({"other__more": b""}, "other files than package.json lists, the first is other/more"),
        ({"small__package.json": None}, "found no package.json"),
        ({"small__package.json": b"{"}, "package.json: found something else"),
        ({"small__package.json": b'{"name": "react", "version": "1"}'}, "package.json: found something else"),
    ],
)
def test_changed_packages(small, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        unpack(rewritten(small, **changes), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "..\\out", "c:out", ""])
def test_files_outside_the_package_are_refused(small, tmp_path, name):
    content = {**json.loads(manifest().to_bytes()), "files": {name: digest(b"")}}
    with pytest.raises(InputError, match="expected one inside the package"):
        unpack(rewritten(small, **{"small__package.json": json.dumps(content).encode()}), tmp_path / "models")


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", ""])
def test_name_that_is_no_folder_is_refused(small, name):
    content = {**json.loads(manifest().to_bytes()), "name": name}
    with pytest.raises(InputError, match="expected that of a folder"):
        read_zip(rewritten(small, **{"small__package.json": json.dumps(content).encode()}))


def test_every_damage_is_found_or_harmless(small, tmp_path):
    """Cut or changed anywhere, a zip file is refused in one line, or holds exactly what it held."""
    whole, draw = small.read_bytes(), random.Random(0)
    messages = []
    for trial in range(400):
        content = bytearray(whole)
        position = draw.randrange(len(whole))
        if trial % 4 == 0:
            del content[position:]
        else:
            content[position] ^= 1 << draw.randrange(8)
        damaged = tmp_path / "damaged.zip"
        damaged.write_bytes(content)
        try:
            found = read_zip(damaged)
        except InputError as err:
            messages.append(str(err))
        else:
            assert found == read_zip(small)
    assert len(messages) > 300
    assert all(message.startswith(f"{damaged}: ") and "\n" not in message for message in messages)


def test_no_zip_file(tmp_path):
    with pytest.raises(InputError, match="no such file, expected a package"):
        read_zip(tmp_path / "missing.zip")
    with pytest.raises(InputError, match=f"^{tmp_path}: is a directory, expected a package"):
        read_zip(tmp_path)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(InputError, match="damaged zip file"):
        read_zip(tmp_path / "text.zip")


def test_open_package_of_a_zip_file_lasts_as_long_as_its_context(small):
    with open_package(small) as folder:
        assert (folder / "LICENSE").read_bytes() == b"free"
    assert not folder.parent.exists()


def test_open_package_of_a_folder(small, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"found no configs/metadata\.json"), open_package(tmp_path / "empty"):
        pass
    folder = unpack(small, tmp_path / "models")
    with open_package(folder) as opened:
        assert opened == folder
    assert folder.is_dir()


def test_real_packages_unpack_beside_each_other(zips, tmp_path):
    folders = [unpack(path, tmp_path) for path in zips.values()]
    assert sorted(folder.name for folder in folders) == [UNTRAINED, TRAINED]
    code = [{p.relative_to(f): p.read_bytes() for p in (f / "shared").rglob("*") if p.is_file()} for f in folders]
    assert code[0] == code[1]
