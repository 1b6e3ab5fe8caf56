"""The command writes what ``monai.bundle run`` writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import tifffile
from monai.bundle import ConfigWorkflow

from shared import bundle_root
from tests.enhance.conftest import noise


def run_bundle(bundle: str, source: Path, output: Path, **overrides: object) -> None:
    config = Path(bundle_root(bundle)) / "configs" / "inference.json"
    inference = ConfigWorkflow(
        str(config), workflow_type="infer", input=str(source), output_dir=str(output), device="cpu", **overrides
    )
    inference.initialize()
    inference.run()


def content(folder: Path) -> dict[str, object]:
    """What lies in a folder, without the report."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "report.csv")
    return {str(path.relative_to(folder)): _content(path) for path in files}


def _content(path: Path) -> object:
    if not pydicom.misc.is_dicom(path):
        return path.read_bytes()
    # Times and the UIDs that a run makes are its own.
    return [
        (element.tag, element.value)
        for element in pydicom.dcmread(path).iterall()
        if element.VR not in ("DA", "TM", "DT", "SQ") and not str(element.value).startswith("2.25.")
    ]


@pytest.mark.parametrize("output_format", ["same", "nifti", "png", "dicom"])
def test_formats(scans: Path, tmp_path: Path, enhance: Callable[..., int], output_format: str) -> None:
    tifffile.imwrite(scans / "pages.tif", noise(2, 20, 18), photometric="minisblack")
    assert enhance(scans, "--format", output_format) == 0
    run_bundle("gradprom_mni152", scans, tmp_path / "run", output_format=output_format)
    assert content(tmp_path / "clean") == content(tmp_path / "run")
    assert len(content(tmp_path / "run")) >= 6


@pytest.mark.parametrize("bundle", ["gradprom_lizard", "rirgan_mni152"])
def test_super_resolution(
    scans: Path, tmp_path: Path, enhance: Callable[..., int], weights_for: Callable[[str], str], bundle: str
) -> None:
    weights = weights_for(bundle)
    assert enhance(scans, "--ckpt", weights, bundle=bundle) == 0
    run_bundle(bundle, scans, tmp_path / "run", ckpt_path=weights)
    assert content(tmp_path / "clean") == content(tmp_path / "run")


def test_series(series: Path, tmp_path: Path, enhance: Callable[..., int], rows_of: Callable) -> None:
    assert enhance(series) == 0
    run_bundle("gradprom_mni152", series, tmp_path / "run")
    assert content(tmp_path / "clean") == content(tmp_path / "run")
    assert len(content(tmp_path / "run")) == 3
    (row,) = rows_of(tmp_path / "clean" / "report.csv").values()
    assert row["file"] == "0.dcm"
    assert row["message"].startswith("series of 3 files; its modality is CT")
    assert tuple(int(row[key]) for key in ("width", "height", "slices", "channels")) == (26, 30, 3, 1)
    for time in (2e9, 1e9):
        os.utime(series / "1.dcm", (time, time))
        assert enhance(series) == 0
        assert rows_of(tmp_path / "clean" / "report.csv")["0.dcm"]["status"] == "ok", "a slice has changed"
    assert enhance(series) == 0
    assert rows_of(tmp_path / "clean" / "report.csv")["0.dcm"]["status"] == "skipped"


def test_plane(scans: Path, tmp_path: Path, enhance: Callable[..., int]) -> None:
    assert enhance(scans / "v.nii.gz", "--plane", "coronal") == 0
    run_bundle("gradprom_mni152", scans / "v.nii.gz", tmp_path / "run", plane="coronal")
    run_bundle("gradprom_mni152", scans / "v.nii.gz", tmp_path / "axial")
    assert content(tmp_path / "clean") == content(tmp_path / "run")
    assert content(tmp_path / "clean") != content(tmp_path / "axial")


def test_large_image(tmp_path: Path, enhance: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIFF file over the limit is enhanced in bands, as the bundle does it."""
    source = tmp_path / "large.tif"
    tifffile.imwrite(source, noise(70, 60))
    bundle = tmp_path / "bundle"
    original = Path(bundle_root("gradprom_mni152"))
    (bundle / "configs").mkdir(parents=True)
    for name in ("metadata.json", "logging.conf"):
        (bundle / "configs" / name).write_bytes((original / "configs" / name).read_bytes())
    text = (original / "configs" / "inference.json").read_text()
    assert '"large_image_pixels": 50000000' in text
    (bundle / "configs" / "inference.json").write_text(text.replace("50000000", "1000"))
    weights = original / "models" / "model.pt"
    assert enhance(source, "--ckpt", weights, bundle=str(bundle)) == 0
    run_bundle("gradprom_mni152", source, tmp_path / "run", large_image_pixels=1000)
    assert content(tmp_path / "clean") == content(tmp_path / "run")
    line = (tmp_path / "clean" / "report.csv").read_text().splitlines()[1].split(",")
    assert line[:3] == ["large.tif", "large.tif", "ok"]
    assert line[4:8] == ["60", "70", "1", "1"]


@pytest.mark.parametrize("workers", [0, 3])
def test_loading_ahead_changes_nothing(scans: Path, tmp_path: Path, enhance: Callable[..., int], workers: int) -> None:
    assert enhance(scans, "--format", "png") == 0
    assert enhance(scans, "--format", "png", "--num-workers", workers, output=tmp_path / "other") == 0
    assert content(tmp_path / "clean") == content(tmp_path / "other")
