"""The figures over hand-made runs: what stands where, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import InputError
from shared.reporting.drawing import rgb
from shared.reproduction.papers.gradprom import (
    FIGURES,
    comparison,
    explanation,
    figure2,
    figure4,
    figure5,
    figure6,
    figure7,
    load,
)
from shared.reproduction.papers.gradprom.sheet import Row, draw_sheet
from tests.reproduction.papers.gradprom.folders import make_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: make_run(folder / name, weights_seed=seed) for seed, name in enumerate(("frozen", "gradprom"))}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Rows of the figure that a test draws."""
    seen: list[Row] = []

    def remember(columns: Any, rows: Any, *arguments: Any, **settings: Any) -> bytes:
        assert all(len(row.tiles) == len(columns) for row in rows)
        seen.extend(rows)
        return draw_sheet(columns, rows, *arguments, **settings)

    monkeypatch.setattr(comparison, "draw_sheet", remember)
    monkeypatch.setattr(explanation, "draw_sheet", remember)
    return seen


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    assert max(200, picture.height // 4) < picture.width < 2000
    return picture


def test_figure4_shows_each_run_s_own_enhancement(runs: dict[str, Path], rows: list[Row]) -> None:
    picture = opened(figure4(runs, images=2))
    assert "phantom data, no result" in picture.text["Description"]
    assert [len(row.tiles) for row in rows] == [4] * 6
    sample = load(runs["frozen"]).samples(2)[1]
    expected = [sample.degraded, *(load(folder).enhance(sample.image) for folder in runs.values()), sample.clean]
    assert not torch.equal(expected[1], expected[2])
    for tile, image in zip(rows[3].tiles, expected, strict=True):
        np.testing.assert_array_equal(tile.pixels, rgb(image, "xy"))
    assert rows[3].tiles[1].caption.endswith(tuple("0123456789"))
    assert " dB, SSIM " in rows[3].tiles[1].caption
    assert rows[3].tiles[1].caption != rows[3].tiles[2].caption
    assert [tile is None for tile in rows[5].tiles] == [False, False, False, True]
    # Errors of the enhanced images are black where there is none.
    assert rows[5].tiles[0].pixels.mean() > 50


def test_figure6_has_a_column_per_method_and_rows_per_data_set(
    runs: dict[str, Path], rows: list[Row], tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", dataset_dir="others", orientation="yx")
    opened(figure6({"A: Frozen": runs["frozen"], "A: GradProm": runs["gradprom"], "B: GradProm": other}))
    assert [row.heading[:2] for row in rows] == ["A,", "", "B,", ""]
    assert [tile is None for tile in rows[2].tiles] == [False, True, False, False]
    with pytest.raises(InputError, match="expected labels like 'ISIC: GradProm', found 'GradProm'"):
        figure6({"GradProm": other})


def test_figure7_enhances_the_undegraded_image(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    opened(figure7({"GradProm": runs["gradprom"]}, images=2))
    run = load(runs["gradprom"])
    sample = run.samples(2)[0]
    np.testing.assert_array_equal(rows[0].tiles[0].pixels, rgb(sample.clean, "xy"))
    np.testing.assert_array_equal(rows[0].tiles[1].pixels, rgb(run.enhance(sample.clean), "xy"))
    with pytest.raises(InputError, match=r"found a network that makes \(3, 64, 64\) of \(3, 32, 32\)"):
        figure7({"larger": make_run(tmp_path / "larger", scale=2)})


def test_figure2_explains_every_network_of_a_run(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    single = make_run(tmp_path / "single", auxiliary="diagnosis", phantom=False)
    assert "phantom" in opened(figure2({"both": runs["gradprom"], "single": single}, images=1)).text["Description"]
    assert [[tile is None for tile in row.tiles] for row in rows] == [[False] * 5, [False] * 3 + [True, False]]
    maps = [rows[0].tiles[column].pixels for column in (1, 3, 4)]
    assert all(pixels.max() == 255 and pixels.std() > 1 for pixels in maps)
    assert not np.array_equal(maps[1], maps[2])
    assert "phantom" not in opened(figure2({"single": single}, images=1)).text["Description"]


def test_figure5_explains_the_true_class_for_each_run(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    description = opened(figure5(runs, images=2)).text["Description"]
    assert "layer4 (1 x 1 cells)" in description
    assert [row.heading for row in rows] == [
        f"image {number} (class {number % 3})  {label}" for number in (0, 4) for label in ("frozen", "gradprom")
    ]
    run = load(runs["frozen"])
    sample = run.samples(2)[1]
    with torch.no_grad():
        probability = run.tasks["diagnosis"].network(sample.clean[None]).softmax(1)[0]
    assert rows[2].tiles[3].caption == f"answer {int(probability.argmax())}, p(true) {probability[1]:.2f}"
    assert "layer2 (4 x 4 cells)" in opened(figure5(runs, images=1, layer="layer2")).text["Description"]
    single = make_run(tmp_path / "single", auxiliary="segmentation")
    with pytest.raises(InputError, match=r"found recognition tasks \['segmentation'\], expected a diagnosis"):
        figure5({"single": single})


@pytest.mark.parametrize("draw", [figure2, figure4, figure5, figure7])
def test_a_figure_without_runs_is_refused(draw: Callable[..., bytes]) -> None:
    with pytest.raises(InputError, match="at least one run"):
        draw({})


def test_the_registry_asks_for_runs_that_the_bundles_can_make() -> None:
    assert {"figure2", "figure4", "figure5", "figure6", "figure7"} <= set(FIGURES)
    for figure in FIGURES.values():
        assert figure.title
        for run in figure.needs.values():
            path = ROOT / "bundles" / run.bundle / "configs" / "train.json"
            if path.is_file():  # one bundle may be worked on without the others
                assert {key.split("#")[0] for key in run.overrides} <= set(json.loads(path.read_text())), run
