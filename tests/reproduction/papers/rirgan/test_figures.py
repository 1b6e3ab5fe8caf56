"""The figures ask for runs that fit together, and the curves are those of the images."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bundle import provenance
from shared.reporting.per_image import read_quality
from shared.reproduction.comparison import SEPARATOR
from shared.reproduction.papers.rirgan import figures
from shared.reproduction.papers.rirgan.figures import FIGURES, draw_curves
from tests.reporting.pictures import description
from tests.reproduction.run_folders import a_run, image_rows, write_run


@pytest.mark.parametrize("name", FIGURES)
def test_runs_of_a_row_are_tested_on_the_same_images(name: str) -> None:
    """Their degradation must be one: strength of noise, kind of noise, scale."""
    seen: dict[str, set[tuple]] = {}
    for label, run in FIGURES[name].needs.items():
        noise = tuple(overlay for overlay in run.overlays if overlay in ("speckle.json", "salt_and_pepper.json"))
        data = label.rpartition(SEPARATOR)[0]
        seen.setdefault(data, set()).add((run.bundle, run.overrides.get("test_sigma", 0.05), noise))
    assert all(len(conditions) == 1 for conditions in seen.values())
    expected = {"LR": 0.0, "LR + noise": 0.05, "": 0.05}
    assert {data: sigma for data, conditions in seen.items() for _, sigma, _ in conditions} == {
        data: expected[data] for data in seen
    }


def test_curves_are_of_bicubic_interpolation_and_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {}
    for seed, name in enumerate(("RDN", "RIRGAN")):
        rows = image_rows(0, gain=2.0 + seed)
        folders[name] = write_run(tmp_path / name, rows, a_run(name), 0)
        provenance.write_json({"phantom": name == "RDN"}, folders[name] / "models" / provenance.FILE_NAME)
    drawn = {}
    monkeypatch.setattr(figures, "stability_curves", lambda methods, legend: drawn.update(methods) or legend.encode())
    assert b"phantom data, no result" in draw_curves(folders)
    assert list(drawn) == ["Bicubic", "RDN", "RIRGAN"]
    file = folders["RIRGAN"] / "eval/per_image.csv"
    assert drawn["Bicubic"] == read_quality(file, "degraded")
    assert drawn["RIRGAN"] == read_quality(file, "enhanced") != drawn["RDN"]
    monkeypatch.undo()
    assert "phantom data, no result" in description(draw_curves(folders))
