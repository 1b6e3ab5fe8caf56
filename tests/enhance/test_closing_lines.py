"""What the command says about its results as a whole, and what of it stands in the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from shared import bundle_root
from shared.enhance.enhancer import Enhancer
from tests.enhance.conftest import noise, write_slice

Enhance = Callable[..., int]
RowsOf = Callable[[Path], dict[str, dict[str, str]]]
RANGES = "note: files of one folder were scaled by different ranges: "


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "clean" / "report.csv"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """16-bit files whose values are of 8, 12 and 12 bits."""
    (tmp_path / "deep").mkdir()
    for number, largest in enumerate([250, 4095, 3000]):
        pixels = np.tile(np.linspace(0, largest, 20), (14, 1)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep" / f"{number}.png")
    return tmp_path / "deep"


def test_different_ranges(deep: Path, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any) -> None:
    assert enhance(deep) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1:] == [f"{RANGES}8 bits (1), 12 bits (2); --bits 12 gives all the same"]
    scaling = [row["scaling"] for row in rows_of(report).values()]
    assert scaling == ["8 bits: 0 to 255", "12 bits: 0 to 4095", "12 bits: 0 to 4095"]
    assert enhance(deep, "--bits", 12) == 0
    assert len(capfd.readouterr().out.splitlines()) == 1
    rows = rows_of(report)
    assert {row["scaling"] for row in rows.values()} == {"12 bits: 0 to 4095"}
    assert {row["status"] for row in rows.values()} == {"ok"}, "another scaling is another model"
    assert enhance(deep, "--bits", 12) == 0
    assert {row["status"] for row in rows_of(report).values()} == {"skipped"}
    assert {row["scaling"] for row in rows_of(report).values()} == {"12 bits: 0 to 4095"}


def test_a_depth_that_does_not_hold_the_values(
    deep: Path, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any
) -> None:
    assert enhance(deep, "--bits", 10) == 1
    rows = rows_of(report)
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "failed"]
    assert "bits: found 10" in rows["1.png"]["message"]
    with pytest.raises(SystemExit) as caught:
        enhance(deep, "--bits", 11)
    assert caught.value.code == 2
    assert "invalid choice: 11 (choose from 8, 10, 12, 14, 16)" in capfd.readouterr().err


def test_another_modality(tmp_path: Path, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any) -> None:
    for name, modality in {"a": "CT", "b": "CT", "c": "MR", "d": "PT"}.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        write_slice(tmp_path / "in" / f"{name}.dcm", Modality=modality, SeriesInstanceUID=f"1.2.{ord(name)}")
    assert enhance(tmp_path / "in") == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning")]
    assert [line.split(";")[0].split(", but")[0] for line in lines] == [
        "warning: a.dcm: its modality is CT", "warning: d.dcm: its modality is PT",
    ]
    assert lines[0].endswith("; --force silences this")
    said = {name: "modality" in row["message"] for name, row in rows_of(report).items()}
    assert said == {"a.dcm": True, "b.dcm": True, "c.dcm": False, "d.dcm": True}
    assert enhance(tmp_path / "in", "--force") == 0
    assert {row["status"] for row in rows_of(report).values()} == {"skipped"}, "it is no other result"
    assert enhance(tmp_path / "in", "--force", "--overwrite") == 0
    assert "its modality" not in capfd.readouterr().err
    assert not any(row["message"] for row in rows_of(report).values())


def test_suspicious_results_are_counted_also_by_a_later_run(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Enhancer.enhance
    calls: list[Any] = []

    def stop_at_fourth(self: Enhancer, data: Any) -> None:
        calls.append(data)
        if len(calls) == 4:
            raise KeyboardInterrupt
        whole(self, data)

    # Noise without an image: what remains of it is nearly nothing.
    for number in range(2):
        Image.fromarray(120 + noise(40, 40) // 16).save(pngs / f"{number}.png")
    monkeypatch.setattr(Enhancer, "enhance", stop_at_fourth)
    assert enhance(pngs) == 130
    monkeypatch.setattr(Enhancer, "enhance", whole)
    assert enhance(pngs) == 0
    expected = "2 images changed more than noise removal explains: see clean/report.csv"
    assert capfd.readouterr().out.splitlines()[-1] == expected
    messages = {name: row["message"] for name, row in rows_of(report).items()}
    assert messages["0.png"].startswith("up to date; the result changed more than noise removal explains: its contrast")
    assert messages["2.png"] == "up to date"
    assert messages["3.png"] == ""


def test_notes_about_a_file_stand_in_its_row(tmp_path: Path, enhance: Enhance, report: Path, rows_of: RowsOf) -> None:
    volume = np.tile(np.linspace(0, 1, 12, dtype=np.float32)[:, None, None], (1, 9, 2))
    volume[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    assert enhance(tmp_path / "a.nii") == 0
    assert rows_of(report)["a.nii"]["message"] == "1 of 216 values are NaN: taken for padding and kept"


def test_large_images_too(tmp_path: Path, enhance: Enhance, report: Path, rows_of: RowsOf, capfd: Any) -> None:
    bundle = tmp_path / "bundle" / "configs"
    original = Path(bundle_root("gradprom_mni152"))
    bundle.mkdir(parents=True)
    (bundle / "metadata.json").write_bytes((original / "configs" / "metadata.json").read_bytes())
    text = (original / "configs" / "inference.json").read_text()
    (bundle / "inference.json").write_text(text.replace('"large_image_pixels": 50000000', '"large_image_pixels": 1000'))
    tifffile.imwrite(tmp_path / "large.tif", noise(70, 60).astype(np.uint16) + 1000)
    weights = original / "models" / "model.pt"
    assert enhance(tmp_path / "large.tif", "--ckpt", weights, bundle=str(bundle.parent)) == 0
    row = rows_of(report)["large.tif"]
    assert row["scaling"] == "12 bits: 0 to 4095"
    assert "changed more than noise removal explains" in row["message"]
    assert "1 image changed more than noise removal explains" in capfd.readouterr().out


def test_names_are_no_formulas(pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf) -> None:
    for number, name in enumerate(["=cmd|'calc'!A0.png", "+1.png", "-2.png", "@x.png"]):
        (pngs / f"{number}.png").rename(pngs / name)
    for status in ("ok", "skipped"):
        assert enhance(pngs) == 0
        rows = rows_of(report)
        assert all(name.startswith("'") and row["output"].startswith("'") for name, row in rows.items())
        assert {row["status"] for row in rows.values()} == {status}


def test_report_of_the_version_before_is_replaced(
    pngs: Path, enhance: Enhance, report: Path, rows_of: RowsOf, tmp_path: Path
) -> None:
    assert enhance(pngs) == 0
    lines = [line.split(",") for line in report.read_text().splitlines()]
    dropped = [lines[0].index(name) for name in ("scaling", "folder")]
    old = [",".join(cell for number, cell in enumerate(line) if number not in dropped) for line in lines]
    report.write_text("\n".join(old) + "\n")
    before = (tmp_path / "clean" / "0.png").stat().st_mtime_ns
    assert enhance(pngs) == 0
    rows = rows_of(report)
    assert {row["status"] for row in rows.values()} == {"skipped"}, "its fingerprints fit"
    assert {row["folder"] for row in rows.values()} == {"."}
    assert (tmp_path / "clean" / "0.png").stat().st_mtime_ns == before
    report.write_text("\n".join(line[:-3] + "000" for line in old[1:]).join([old[0] + "\n", "\n"]))
    assert enhance(pngs) == 0
    assert {row["status"] for row in rows_of(report).values()} == {"ok"}
