"""The figures over hand-made runs: what stands where, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.reporting.display import displayed
from shared.reporting.panels import Row, draw_pictures
from shared.reproduction import comparison as shared_comparison
from shared.reproduction.papers.gradprom.figures import FIGURES, comparison, explanation
from shared.reproduction.papers.gradprom.figures.comparison import figure4, figure6, figure7
from shared.reproduction.papers.gradprom.figures.explanation import figure2, figure5
from shared.reproduction.trained_run import load
from tests.reporting.pictures import description
from tests.reproduction.trained_run_folders import make_run

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: make_run(folder / name, weights_seed=seed) for seed, name in enumerate(("frozen", "gradprom"))}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Rows of the figure that a test draws."""
    seen: list[Row] = []

    def remember(columns: Any, rows: Any, *arguments: Any, **settings: Any) -> bytes:
        assert all(len(row.pictures) == len(columns) for row in rows)
        seen.extend(rows)
        return draw_pictures(columns, rows, *arguments, **settings)

    monkeypatch.setattr(comparison, "draw_pictures", remember)
    monkeypatch.setattr(explanation, "draw_pictures", remember)
    return seen


def test_figure4_shows_each_run_s_own_enhancement(runs: dict[str, Path], rows: list[Row]) -> None:
    assert "phantom data, no result" in description(figure4(runs, images=2))
    assert [len(row.pictures) for row in rows] == [4] * 6
    sample = load(runs["frozen"]).samples(2)[1]
    expected = [sample.degraded, *(load(folder).enhance(sample.image) for folder in runs.values()), sample.clean]
    assert not torch.equal(expected[1], expected[2])
    for tile, image in zip(rows[3].pictures, expected, strict=True):
        np.testing.assert_array_equal(tile.values, displayed(image, "xy"))
    assert rows[3].pictures[1].caption.endswith(tuple("0123456789"))
    assert " dB, SSIM " in rows[3].pictures[1].caption
    assert rows[3].pictures[1].caption != rows[3].pictures[2].caption
    assert [tile is None for tile in rows[5].pictures] == [False, False, False, True]
    error = (expected[0].clamp(0, 1) - sample.clean).abs().mean(dim=0)
    np.testing.assert_allclose(rows[5].pictures[0].values, error.T, atol=1e-6)
    # One scale for all, at which no more than a few of the enhanced images' errors end.
    (scale,) = {tile.scale for row in (rows[2], rows[5]) for tile in row.pictures if tile is not None}
    assert np.mean(rows[5].pictures[1].values > scale) <= 0.01


def test_figure6_shows_strategies_by_data_set(
    runs: dict[str, Path], rows: list[Row], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_comparison, "draw_pictures", comparison.draw_pictures)
    other = make_run(tmp_path / "other", dataset_dir="others", orientation="yx")
    text = description(figure6({"A: Frozen": runs["frozen"], "A: GradProm": runs["gradprom"], "B: GradProm": other}))
    assert text.startswith("Test images of each data set, degraded, enhanced by networks of each training strategy")
    assert [row.heading[:2] for row in rows] == ["A,", "", "B,", ""]


def test_figure7_enhances_the_undegraded_image(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    figure7({"GradProm": runs["gradprom"]}, images=2)
    run = load(runs["gradprom"])
    sample = run.samples(2)[0]
    np.testing.assert_array_equal(rows[0].pictures[0].values, displayed(sample.clean, "xy"))
    np.testing.assert_array_equal(rows[0].pictures[1].values, displayed(run.enhance(sample.clean), "xy"))
    with pytest.raises(InputError, match=r"found a network that makes \(3, 64, 64\) of \(3, 32, 32\)"):
        figure7({"larger": make_run(tmp_path / "larger", scale=2)})


def test_figure2_explains_every_network_of_a_run(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    single = make_run(tmp_path / "single", auxiliary="diagnosis", phantom=False)
    assert "phantom" in description(figure2({"both": runs["gradprom"], "single": single}, images=1))
    assert [[tile is None for tile in row.pictures] for row in rows] == [[False] * 5, [False] * 3 + [True, False]]
    maps = [rows[0].pictures[column] for column in (1, 3, 4)]
    assert [tile.scale for tile in maps] == pytest.approx([np.percentile(tile.values, 99) for tile in maps])
    assert all(tile.values.std() > 0.01 * tile.scale for tile in maps)
    assert not np.array_equal(maps[1].values, maps[2].values)
    assert "phantom" not in description(figure2({"single": single}, images=1))


def test_figure5_explains_the_true_class_for_each_run(runs: dict[str, Path], rows: list[Row], tmp_path: Path) -> None:
    assert "layer4 (1 x 1 cells)" in description(figure5(runs, images=2))
    assert [row.heading for row in rows] == [
        f"image {number} (class {number % 3})  {label}" for number in (0, 4) for label in ("frozen", "gradprom")
    ]
    run = load(runs["frozen"])
    sample = run.samples(2)[1]
    with torch.no_grad():
        probability = run.tasks["diagnosis"].network(sample.clean[None]).softmax(1)[0]
    assert rows[2].pictures[3].caption == f"answer {int(probability.argmax())}, p(true) {probability[1]:.2f}"
    assert "layer2 (4 x 4 cells)" in description(figure5(runs, images=1, layer="layer2"))
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
            known = json.loads((ROOT / "bundles" / run.bundle / "configs" / "train.json").read_text())
            assert {key.split("#")[0] for key in run.overrides} <= set(known), run
