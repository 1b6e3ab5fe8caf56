"""An overlay on a configuration that lacks what it changes ends in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, run

from shared import bundle_root
from shared.bundle.overlays import OVERLAYS, check_overlays
from shared.errors import InputError, root_cause
from tests.bundles.commands import BUNDLES, SMOKE, TINY

CONFIGS = Path(bundle_root("gradprom_mni152")) / "configs"
FOR_TRAINING = {
    "smoke": ("train#dataset#data", "train"),
    "smoke_reproduction": ("train#dataset#data", "train"),
    "multi_gpu": ("pretrain#parallel_network", "pretrain"),
    "challenging": ("origin#sigma", "origin"),
    "salt_and_pepper": ("origin#sigma", "origin"),
}


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)


def by_command(*files: Path, **options: Any) -> None:
    run(config_file=[str(file) for file in files], **options)


def from_python(*files: Path, **options: Any) -> None:
    workflow = ConfigWorkflow([str(file) for file in files], logging_file=False, workflow_type=None, **options)
    workflow.initialize()
    workflow.run()


def complaint(way: Any, *files: Path, **options: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        way(*files, **options)
    assert sys.excepthook.__module__ == "shared.errors", "the message is the last line on the terminal"
    assert isinstance(root_cause(caught.value), InputError)
    return str(root_cause(caught.value))


@pytest.mark.filterwarnings("ignore:Can't merge entry")
@pytest.mark.parametrize("way", [by_command, from_python])
@pytest.mark.parametrize("name", FOR_TRAINING)
def test_overlay_for_training_on_inference(name: str, way: Any, tmp_path: Path) -> None:
    base, overlay = CONFIGS / "inference.json", OVERLAYS / f"{name}.json"
    message = complaint(way, base, overlay, input=str(tmp_path), output_dir=str(tmp_path / "clean"))
    key, block = FOR_TRAINING[name]
    place = str(base) if way is by_command else f"the configuration in {base.parent}"
    assert message == (f"overlay {overlay}: {key}: found no {block!r} in {place}, expected one to change; list the "
                       "overlay behind train.json, or leave it out")
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


@pytest.mark.filterwarnings("ignore:Can't merge entry")
def test_block_that_lies_deeper_or_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "configs"
    folder.mkdir(parents=True)
    content = {
        "bundle_root": str(folder.parent), "train": {"datalist": []}, "test": {"datalist": [], "dataset": {"data": 1}},
        "run": [{"_target_": "shared.bundle.configuration.check_configuration"}],
    }
    (folder / "train.json").write_text(json.dumps(content))
    message = complaint(by_command, folder / "train.json", SMOKE)
    assert message == (f"overlay {SMOKE}: train#dataset#data: found no 'train#dataset' in mine/configs/train.json, "
                       "expected one to change; leave the overlay out")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_overlay_fits_the_training_of_every_bundle(bundle: Path) -> None:
    overlays = [SMOKE, *(OVERLAYS / f"{name}.json" for name in FOR_TRAINING), TINY]
    for overlay in overlays:
        files = [str(bundle / "configs" / "train.json"), str(overlay)]
        if overlay.stem in ("challenging", "salt_and_pepper") and "degradations" not in parsed(*files[:1]):
            continue
        check = [{"_target_": "shared.bundle.overlays.check_overlays"}]
        ConfigWorkflow(files, logging_file=False, initialize=check).initialize()
        changed = parsed(*files)
        assert changed["train#trainer"], "nothing of the base is lost"
        assert changed["train#dataset#_target_"]


def parsed(*files: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(list(files))
    return parser


def test_does_nothing_outside_a_configuration() -> None:
    check_overlays()
