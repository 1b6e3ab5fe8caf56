"""Packages of real bundles, built once and unpacked for the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.bundle.archive import unpack
from shared.packaging.build import REPOSITORY, Options, build

UNTRAINED = "gradprom_isic"
TRAINED = "gradprom_mni152"


@pytest.fixture(scope="session")
def zips(tmp_path_factory) -> dict[str, Path]:
    """Zip files of a bundle with weights and of one without."""
    folder = tmp_path_factory.mktemp("dist")
    untrained = build(UNTRAINED, folder, Options(weights=False))
    return {TRAINED: build(TRAINED, folder).path, UNTRAINED: untrained.path}


@pytest.fixture
def package(zips, tmp_path) -> Path:
    """The folder of a package with weights."""
    return unpack(zips[TRAINED], tmp_path / "installed")


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A bundle's folder outside the repository, which a test may change: configurations, documents and weights."""
    source = REPOSITORY / "bundles" / TRAINED
    folder = tmp_path / "bundles" / TRAINED
    for name in ("configs", "docs"):
        shutil.copytree(source / name, folder / name)
    (folder / "models").mkdir()
    for name in ("LICENSE", "models/model.pt", "models/provenance.json"):
        shutil.copyfile(source / name, folder / name)
    return folder
