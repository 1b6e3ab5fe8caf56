"""What the report does when runs are repeated, fail, or bring bad images or settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shared.errors import InputError
from shared.reporting import EnhancementReport
from tests.reporting.evaluation import evaluate, make_items, tasks


def test_a_second_run_starts_anew_and_a_failed_run_leaves_the_files(tmp_path: Path) -> None:
    items = make_items(1, 37, 31)
    report = EnhancementReport(tmp_path, name="numbers")
    evaluator = evaluate(report, items)
    first = (tmp_path / "per_image.csv").read_text()
    evaluator.run()
    assert (tmp_path / "per_image.csv").read_text() == first
    assert evaluator.state.numbers["number_of_images"] == 5
    items[-1]["label"][0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="test image 'image 1': degraded: target must be finite"):
        evaluator.run()
    assert (tmp_path / "per_image.csv").read_text() == first


def test_bad_images_are_named(tmp_path: Path) -> None:
    items = make_items(1, 37, 31, count=2)
    with pytest.raises(
        InputError, match="'image 2': enhanced: prediction and target must be .* found .1, 74, 62. and .1, 37, 31."
    ):
        evaluate(EnhancementReport(tmp_path), items, nn.Upsample(scale_factor=2))
    with pytest.raises(InputError, match="needs the key 'id'"):
        evaluate(EnhancementReport(tmp_path), [{key: item[key] for key in ("image", "label")} for item in items])
    with pytest.raises(InputError, match="'same' occurs more than once"):
        evaluate(EnhancementReport(tmp_path), [item | {"id": "same"} for item in items])
    with pytest.raises(InputError, match="'image 2'.*must hold classes in 0..2, found 7..7"):
        evaluate(EnhancementReport(tmp_path, tasks()), [item | {"class": 7} for item in items])
    with pytest.raises(InputError, match="'image 2'.*'mask' must have the size"):
        evaluate(EnhancementReport(tmp_path, tasks()), [item | {"mask": torch.zeros(1, 5, 5)} for item in items])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"orientation": "upside down"}, "orientation of the panel must be one of"),
        ({"panel_rows": -1}, "panel_rows of EnhancementReport"),
        ({"baselines": {"enhanced": abs}}, "must not be called enhanced"),
        ({"tasks": [tasks()[0], tasks()[0]]}, "must have different names"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EnhancementReport(tmp_path, **arguments)


def test_an_output_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file cannot be made"):  # before anything is measured
        evaluate(EnhancementReport(tmp_path / "file"), make_items(1, 37, 31, count=1))
