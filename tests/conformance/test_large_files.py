"""No file of a bundle is larger than the Model Zoo takes into its repository, unless it is named for download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.bundle.manifest import Manifest
from shared.conformance.bundle import Bundle
from shared.conformance.files import check_files
from tests.conformance.conftest import Copy

LARGE = {
    "docs/film.mp4": True,
    "scripts/weights/more.bin": True,
    "models/model.pt": True,
    "models/recognition.pt": False,
    "models/discriminator.pt": False,
    "eval/enhanced/scan.nii.gz": False,
}
"""Files, and whether the bundle is made of them: the others are what runs leave."""


@pytest.mark.parametrize("name", LARGE)
def test_file_too_large_for_the_model_zoo(mni152: Copy, tmp_path: Path, name: str) -> None:
    path = mni152.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(26 * 2**20)
    limit = f"{name}: found 26.0 MiB, expected at most 25 MiB or an entry in large_files.yml"
    found = check_files(Bundle(mni152.folder, tmp_path)).failures
    assert found == ((limit,) if LARGE[name] else ())
    listed = {"large_files": [{"path": name, "url": "https://example.org/file"}]}
    (mni152.folder / "large_files.json").write_text(json.dumps(listed))
    assert check_files(Bundle(mni152.folder, tmp_path)).failures == ()


def test_all_files_of_a_package_count(mni152: Copy, tmp_path: Path) -> None:
    (mni152.folder / "models").mkdir()
    with (mni152.folder / "models" / "recognition.pt").open("wb") as file:
        file.truncate(26 * 2**20)
    manifest = Manifest(mni152.folder.name, "0.1.0", "1", {"models/recognition.pt": ""})
    (mni152.folder / "package.json").write_bytes(manifest.to_bytes())
    assert check_files(Bundle(mni152.folder, tmp_path)).failures == (
        "models/recognition.pt: found 26.0 MiB, expected at most 25 MiB or an entry in large_files.yml",
    )
