"""Methods side by side: whose picture stands where, and which runs cannot stand side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.reporting import non_local_means
from shared.reporting.display import displayed
from shared.reporting.images import enlarged
from shared.reporting.panels import Row, draw_pictures
from shared.reproduction import comparison
from shared.reproduction.comparison import draw_methods
from shared.reproduction.trained_run import load
from tests.reporting.pictures import description
from tests.reproduction.trained_run_folders import SIZE, configuration, make_run

SIGMA = 0.1
SMALLER = {
    "preprocessing": {
        "_target_": "shared.degradations.Degraded", "keys": "label", "output_keys": "image", "seed": 0,
        "degradations": [
            {"_target_": "shared.degradations.BicubicDownsample", "factor": 2},
            {"_target_": "shared.degradations.GaussianNoise", "sigma": SIGMA},
        ],
    },
    "inferer": {"_target_": "SimpleInferer"},
}


def with_baselines() -> dict[str, Any]:
    test = configuration()["test"]
    test["handlers"][1]["baselines"] = {
        "non_local_means": {"_target_": "shared.reporting.non_local_means", "_mode_": "callable", "sigma": SIGMA},
        "not_installed": "$None",
    }
    return test


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    settings = {"scale": 2, "validate": SMALLER, "test": with_baselines()}
    return {name: make_run(folder / name, weights_seed=seed, **settings) for seed, name in enumerate(("one", "two"))}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Columns and rows of the figure that a test draws."""
    seen: dict[str, Any] = {}

    def remember(columns: list[str], rows: list[Row], *arguments: Any) -> bytes:
        assert all(len(row.pictures) == len(columns) for row in rows)
        seen.update(columns=columns, rows=rows)
        return draw_pictures(columns, rows, *arguments)

    monkeypatch.setattr(comparison, "draw_pictures", remember)
    return seen


def test_each_column_shows_what_its_method_makes_of_the_image(runs: dict[str, Path], drawn: dict[str, Any]) -> None:
    text = description(draw_methods(runs, "Some images", 2, {"NLM": "non_local_means"}))
    assert text.startswith("Some images; PSNR and SSIM against the clean image.")
    assert "phantom data, no result" in text
    assert drawn["columns"] == ["bicubic", "NLM", "one", "two", "clean"]
    assert len(drawn["rows"]) == 2 * 2
    sample = load(runs["one"]).samples(2)[1]
    assert sample.image.shape == (3, SIZE // 2, SIZE // 2)
    denoised = enlarged(non_local_means(sample.image, SIGMA), sample.clean)
    answers = [load(folder).enhance(sample.image) for folder in runs.values()]
    expected = [sample.degraded, denoised, *answers, sample.clean]
    for tile, image in zip(drawn["rows"][2].pictures, expected, strict=True):
        np.testing.assert_array_equal(tile.values, displayed(image, "xy"))
    assert len({tile.caption for tile in drawn["rows"][2].pictures}) == 5, "each has a quality of its own, clean none"


def test_data_sets_are_rows_and_their_methods_share_columns(
    runs: dict[str, Path], drawn: dict[str, Any], tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", dataset_dir="others", orientation="yx")
    draw_methods({"A: One": runs["one"], "A: Two": runs["two"], "B: Two": other}, "Some images")
    assert drawn["columns"] == ["degraded", "One", "Two", "clean"]
    assert [row.heading[:2] for row in drawn["rows"]] == ["A,", "", "B,", ""]
    assert [tile is None for tile in drawn["rows"][2].pictures] == [False, True, False, False]


def test_an_evaluation_shows_the_weights_that_it_tested(
    runs: dict[str, Path], drawn: dict[str, Any], tmp_path: Path
) -> None:
    """Its folder has no weights; its configuration says where they are."""
    (tmp_path / "eval").mkdir()
    config = json.loads((runs["two"] / "eval" / "config.json").read_text())
    config |= {"ckpt_dir": str(runs["two"] / "models"), "seed": 0}
    (tmp_path / "eval" / "config.json").write_text(json.dumps(config))
    draw_methods({"two": runs["two"], "tested again": tmp_path}, "Some images")
    pictures = drawn["rows"][0].pictures
    np.testing.assert_array_equal(pictures[1].values, pictures[2].values)
    sample = load(tmp_path).samples(1)[0]
    assert not torch.equal(load(runs["one"]).enhance(sample.image), load(tmp_path).enhance(sample.image))


@pytest.mark.parametrize(
    ("labels", "baselines", "message"),
    [
        (("A: one", "two"), {}, "expected labels like 'ISIC: GradProm' as the others, found 'two'"),
        (("one", "two"), {"MF": "median"}, r"found baselines \['non_local_means'\] in its report, expected 'median'"),
        ((), {}, "at least one run"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    labels: tuple[str, ...], baselines: dict[str, str], message: str, runs: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match=message):
        draw_methods(dict(zip(labels, runs.values(), strict=False)), "Some images", 1, baselines)
