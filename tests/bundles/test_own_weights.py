"""A run of a bundle reports the weights that it wrote itself, or fails with one line; nothing of before is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from shared.errors import InputError, root_cause
from tests.bundles.commands import ROOT, SMOKE, TINY
from tests.once import made_once

BUNDLE = ROOT / "bundles" / "gradprom_isic"
WEIGHTS = {"model.pt", "recognition.pt", "provenance.json", "checkpoint.pt"}
NOT_FINITE = {"_target_": "Lambdad", "keys": "pred", "func": "$lambda image: image * float('nan')"}


def run(folder: Path, *overlays: Path, names: tuple[str, ...] = ("train.json",), run_id: str = "training",
        **overrides: Any) -> Path:
    """Run the bundle; return the folder of its weights.

    Raises:
        Exception: what a person would be shown.
    """
    files = [str(BUNDLE / "configs" / name) for name in names] + [str(o) for o in (SMOKE, TINY, *overlays)]
    folders = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval")}
    workflow = ConfigWorkflow(
        config_file=files, workflow_type="train", run_id=run_id, logging_file=False, pretrain_epochs=1,
        **{**folders, "gradprom#warmup": 0, **overrides},
    )
    try:
        workflow.initialize()
        workflow.run()
    except Exception as err:
        raise root_cause(err) from err
    return folder / "models"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "eval" / "summary.json").read_text())


@pytest.fixture(scope="session")
def first(tmp_path_factory) -> Path:
    """A run that is complete, in a folder that is not written to."""
    return made_once(tmp_path_factory, "complete_run", run)


@pytest.fixture
def folder(first, tmp_path) -> Path:
    """The same in a folder of the test's own."""
    for path in first.glob("*/*"):
        if path.is_file():
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.slow
def test_a_fresh_run_moves_the_earlier_one_aside_whatever_it_trains_first(folder):
    before, told = contents(folder / "models"), report(folder)
    run(folder, run_id="pretraining", seed=1)
    assert contents(folder / "models").keys() == {"checkpoint.pt"}
    assert contents(folder / "models" / "earlier-1") == before
    run(folder, seed=1, resume=True)
    assert contents(folder / "models").keys() == WEIGHTS
    assert contents(folder / "models")["model.pt"] != before["model.pt"]
    assert report(folder)["run"]["seed"] == 1
    assert not (folder / "models" / "earlier-2").exists()
    # What was moved is a folder of weights like any other.
    place = str(folder / "models" / "earlier-1")
    run(folder, names=("train.json", "evaluate.json"), run_id="evaluating", ckpt_dir=place)
    assert report(folder)["image_quality"] == told["image_quality"]


@pytest.mark.slow
def test_a_run_that_has_ended_is_only_tested_when_it_is_started_again(folder):
    before, told = contents(folder / "models"), report(folder)
    run(folder, resume=True)
    assert contents(folder / "models") == before
    assert report(folder)["image_quality"] == told["image_quality"]
    assert not (folder / "models" / "earlier-1").exists()


@pytest.mark.slow
def test_validation_that_could_never_run_is_refused_before_anything_happens(folder):
    before = contents(folder / "models")
    with pytest.raises(InputError, match="^val_interval: expected at most max_epochs 3, found 4$"):
        run(folder, val_interval=4)
    assert contents(folder / "models") == before


@pytest.mark.slow
def test_validation_that_never_improves_ends_with_an_error(folder):
    before = contents(folder / "models")
    message = r"this run wrote no weights: no validation counted, .* not finite: ISIC_\w+, .*models/earlier-1$"
    with pytest.raises(InputError, match=message):
        run(folder, seed=1, **{"validate#postprocessing": NOT_FINITE})
    assert contents(folder / "models").keys() == {"checkpoint.pt"}
    assert contents(folder / "models" / "earlier-1") == before


@pytest.mark.slow
def test_phantom_data_are_refused_before_anything_is_trained_or_moved(folder):
    provenance = folder / "models" / "provenance.json"
    provenance.write_text(json.dumps({**json.loads(provenance.read_text()), "phantom": False}))
    before, history = contents(folder / "models"), (folder / "eval" / "history_recognition.csv").stat().st_mtime_ns
    with pytest.raises(InputError, match="found weights trained on real data"):
        run(folder)
    assert contents(folder / "models") == before
    assert (folder / "eval" / "history_recognition.csv").stat().st_mtime_ns == history
    assert not (folder / "models" / "earlier-1").exists()


@pytest.mark.slow
def test_recognition_alone_moves_its_own_weights_aside(tmp_path):
    overlay = SMOKE.with_name("recognition_alone.json")
    models = run(tmp_path, overlay)
    before = contents(models)
    assert before.keys() == WEIGHTS - {"model.pt"}
    run(tmp_path, overlay, seed=1)
    assert contents(models / "earlier-1") == before
    assert contents(models).keys() == before.keys()
    assert report(tmp_path)["run"]["seed"] == 1
