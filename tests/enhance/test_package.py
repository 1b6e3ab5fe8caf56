"""Bundles given as packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import bundle_names
from shared.bundle.archive import unpack
from shared.bundle.opening import open_bundle
from shared.errors import InputError
from shared.packaging.build import Options, build

Enhance = Callable[..., int]


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package puts its folder on ``sys.path``."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return build("gradprom_mni152", tmp_path / "dist").path


def test_zip_and_folder_give_what_the_bundle_gives(
    pngs: Path, package: Path, enhance: Enhance, tmp_path: Path
) -> None:
    folder = unpack(package, tmp_path / "there")
    assert enhance(pngs) == 0
    assert enhance(pngs, bundle=str(package), output=tmp_path / "zip") == 0
    assert enhance(pngs, bundle=str(folder), output=tmp_path / "folder") == 0
    for name in ("0.png", "3.png"):
        expected = (tmp_path / "clean" / name).read_bytes()
        assert (tmp_path / "zip" / name).read_bytes() == expected
        assert (tmp_path / "folder" / name).read_bytes() == expected


def test_damaged_zip(pngs: Path, package: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 255
    package.write_bytes(content)
    assert enhance(pngs, bundle=str(package)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "damaged" in line
    assert not (tmp_path / "clean").exists()


def test_package_without_weights(pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    package = build("gradprom_mni152", tmp_path / "dist", Options(weights=False)).path
    assert enhance(pngs, bundle=str(package)) == 2
    assert "holds no weights; name a file of them by --ckpt" in capfd.readouterr().err


def test_package_of_another_version(pngs: Path, package: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    folder = unpack(package, tmp_path / "there")
    config = folder / "configs" / "inference.json"
    text = config.read_text()
    assert '"shared_version": "' in text
    config.write_text(text.replace('"shared_version": "', '"shared_version": "9.'))
    assert enhance(pngs, bundle=str(folder)) == 2
    assert "made with shared 9." in capfd.readouterr().err


def test_names() -> None:
    assert "gradprom_mni152" in bundle_names()
    for name in bundle_names():
        with open_bundle(name, "--bundle") as folder:
            assert folder.name == name
    expected = "--bundle: .* expected a folder, a zip file or one of gradprom"
    with pytest.raises(InputError, match=expected), open_bundle("zzzz", "--bundle"):
        pass
