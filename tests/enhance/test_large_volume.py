"""A volume whose result is large goes slice by slice, by this command as by the bundle's own run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from shared import bundle_root
from tests.enhance.test_same_result import content, run_bundle

SHAPE = (20, 16, 6)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
    values[..., 0] = 0
    image = nibabel.Nifti1Image(values, np.diag([-1, 2, 3, 1]))
    image.header.set_slope_inter(0.5, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def with_limit(bundle: str, folder: Path, limit: int) -> str:
    """A copy of a bundle's configuration with another limit for large images."""
    original = Path(bundle_root(bundle)) / "configs"
    (folder / "configs").mkdir(parents=True)
    for name in ("metadata.json", "logging.conf"):
        (folder / "configs" / name).write_bytes((original / name).read_bytes())
    text = (original / "inference.json").read_text()
    assert '"large_image_pixels": 50000000' in text
    (folder / "configs" / "inference.json").write_text(text.replace("50000000", str(limit)))
    return str(folder)


def test_three_ways_to_one_file(
    volume: Path, tmp_path: Path, enhance: Callable[..., int], rows_of: Callable[..., Any], capfd: Any
) -> None:
    weights = Path(bundle_root("gradprom_mni152")) / "models" / "model.pt"
    bundle = with_limit("gradprom_mni152", tmp_path / "bundle", 20 * 16 * 6 - 1)
    line = "a.nii.gz: enhanced 6 slices of 20 x 16 x 6 voxels, 1 of them empty, in "
    assert enhance(volume, "--ckpt", weights, bundle=bundle) == 0
    assert line in capfd.readouterr().err
    run_bundle("gradprom_mni152", volume, tmp_path / "run", large_image_pixels=1000)
    assert line in capfd.readouterr().err
    assert content(tmp_path / "clean") == content(tmp_path / "run")
    slabs = rows_of(tmp_path / "clean" / "report.csv")["a.nii.gz"]
    assert enhance(volume, output=tmp_path / "whole") == 0
    assert "6 slices" not in capfd.readouterr().err
    whole = rows_of(tmp_path / "whole" / "report.csv")["a.nii.gz"]
    assert {key for key in slabs if slabs[key] != whole[key]} == {"seconds", "model"}
    found, expected = (
        np.asanyarray(nibabel.Nifti1Image.from_filename(tmp_path / name / "a.nii.gz").dataobj.get_unscaled())
        for name in ("clean", "whole")
    )
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.01
    assert (found[..., 0] == 0).all()
    # A second run has nothing to do.
    assert enhance(volume, "--ckpt", weights, bundle=bundle) == 0
    assert rows_of(tmp_path / "clean" / "report.csv")["a.nii.gz"]["status"] == "skipped"


@pytest.mark.parametrize(("limit", "is_large"), [(20 * 16 * 6 * 16 - 1, True), (20 * 16 * 6 * 16, False)])
def test_the_result_decides_what_is_large(
    volume: Path,
    tmp_path: Path,
    enhance: Callable[..., int],
    weights_for: Callable[[str], str],
    capfd: Any,
    limit: int,
    is_large: bool,
) -> None:
    bundle = with_limit("gradprom_lizard", tmp_path / "bundle", limit)
    assert enhance(volume, "--ckpt", weights_for("gradprom_lizard"), bundle=bundle) == 0
    assert ("a.nii.gz: enhanced 6 slices" in capfd.readouterr().err) is is_large
    found = nibabel.Nifti1Image.from_filename(tmp_path / "clean" / "a.nii.gz")
    assert found.shape == (80, 64, 6)
    np.testing.assert_allclose(found.header.get_zooms(), (0.25, 0.5, 3))


def test_a_damaged_volume_fails_alone(
    volume: Path, tmp_path: Path, enhance: Callable[..., int], rows_of: Callable[..., Any]
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.nii.gz").write_bytes(volume.read_bytes()[:-500])
    (folder / "b.nii.gz").write_bytes(volume.read_bytes())
    weights = Path(bundle_root("gradprom_mni152")) / "models" / "model.pt"
    bundle = with_limit("gradprom_mni152", tmp_path / "bundle", 1000)
    assert enhance(folder, "--ckpt", weights, bundle=bundle) == 1
    rows = rows_of(tmp_path / "clean" / "report.csv")
    assert {name: row["status"] for name, row in rows.items()} == {"a.nii.gz": "failed", "b.nii.gz": "ok"}
    assert "a.nii.gz: cannot be read as an image: " in rows["a.nii.gz"]["message"]
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["b.nii.gz", "report.csv"]
