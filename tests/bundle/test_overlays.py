"""An overlay on a configuration that lacks what it changes ends in one line."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, run
from torch.nn.parallel import DistributedDataParallel

from shared import bundle_root
from shared.bundle.overlays import OVERLAYS, check_overlays
from shared.data.samplers import Share
from shared.errors import InputError, root_cause
from tests.bundles.commands import BUNDLES, SMOKE, TINY

CONFIGS = Path(bundle_root("gradprom_mni152")) / "configs"
FOR_TRAINING = {
    "smoke": ("train#dataset#data", "train"),
    "smoke_reproduction": ("train#dataset#data", "train"),
    "multi_gpu": ("train#dataloader#_target_", "train"),
    "recognition_alone": ("origin#strategy", "origin"),
    "challenging": ("origin#sigma", "origin"),
    "salt_and_pepper": ("origin#sigma", "origin"),
    "undegraded": ("origin#sigma", "origin"),
    "rician": ("noise#_target_", "noise"),
}
FOR_NOISE = {
    **dict.fromkeys(
        ["speckle", "rician", "local_variance"], "noise#_target_: found no 'noise' in {}, expected one to change"
    ),
    **dict.fromkeys(
        ["salt_and_pepper", "salt", "pepper"],
        "noise: found nothing in {} that refers to it, expected '@noise' somewhere",
    ),
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
        needed = {**dict.fromkeys(FOR_NOISE, "noise"), "recognition_alone": "recognition"}.get(overlay.stem)
        if needed is not None and needed not in parsed(*files[:1]):
            continue
        check = [{"_target_": "shared.bundle.overlays.check_overlays"}]
        ConfigWorkflow(files, logging_file=False, initialize=check).initialize()
        changed = parsed(*files)
        assert changed["train#trainer"], "nothing of the base is lost"
        assert changed["train#dataset#_target_"]


@pytest.mark.filterwarnings("ignore:Can't merge entry")
@pytest.mark.parametrize("way", [by_command, from_python])
@pytest.mark.parametrize("name", FOR_NOISE)
def test_overlay_of_noise_on_a_bundle_without_noise(name: str, way: Any, tmp_path: Path) -> None:
    base, overlay = Path(bundle_root("gradprom_lizard")) / "configs" / "train.json", OVERLAYS / f"{name}.json"
    message = complaint(way, base, overlay, output_dir=str(tmp_path / "eval"), ckpt_dir=str(tmp_path / "models"))
    place = str(base) if way is by_command else f"the configuration in {base.parent}"
    assert message == f"overlay {overlay}: {FOR_NOISE[name].format(place)}; leave the overlay out"
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


@pytest.mark.filterwarnings("ignore:Can't merge entry")
def test_component_of_ones_own_to_which_nothing_refers(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.json"
    noise = {"_target_": "shared.degradations.GaussianNoise", "sigma": 0.1}
    lizard = Path(bundle_root("gradprom_lizard")) / "configs" / "train.json"
    overlay.write_text(json.dumps({"noises": noise, "noise": noise, "degradations": ["@noises"]}))
    assert complaint(by_command, lizard, overlay).startswith("overlay mine.json: noise: found nothing")
    overlay.write_text(json.dumps({"noises": noise, "degradations": ["@noises"]}))
    assert complaint(by_command, lizard, overlay).startswith("degradations: found GaussianNoise(sigma=0.1), expected")


@pytest.fixture
def without_recognition(tmp_path: Path) -> Path:
    """A training of another method, written by hand: one network, its pairs of images, and no stage before it."""

    def evaluation(section: str) -> dict[str, Any]:
        return {
            "dataset": {"_target_": "Dataset", "data": f"@{section}#datalist"},
            "datalist": "$[{'id': k, 'image': @noise(k), 'label': @noise(k) / 2} for k in range(8)]",
            "dataloader": {"_target_": "DataLoader", "dataset": f"@{section}#dataset", "batch_size": 1},
            "evaluator": {
                "_target_": "SupervisedEvaluator", "device": "@device", "network": "@network",
                "val_data_loader": f"@{section}#dataloader",
            },
        }

    content = {
        "imports": ["$import torch"],
        "bundle_root": str(tmp_path / "other"), "ckpt_dir": "", "output_dir": "", "seed": 0, "num_workers": 8,
        "max_epochs": 50, "batch_size": 50, "device": "$torch.device('cpu')",
        "noise": "$lambda k: torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(k))",
        "network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1},
        "network": "$@network_def.to(@device)",
        "train": {
            "datalist": "$[{'id': k, 'image': @noise(k), 'label': @noise(k) / 2} for k in range(100)]",
            "dataset": {"_target_": "Dataset", "data": "@train#datalist"},
            "dataloader": {
                "_target_": "DataLoader", "dataset": "@train#dataset", "batch_size": "@batch_size", "shuffle": True,
                "num_workers": "@num_workers",
            },
            "trainer": {
                "_target_": "SupervisedTrainer", "device": "@device", "max_epochs": "@max_epochs",
                "train_data_loader": "@train#dataloader", "network": "@network",
                "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1},
                "loss_function": {"_target_": "torch.nn.MSELoss"},
            },
        },
        "validate": evaluation("validate"),
        "test": evaluation("test"),
        "check": {"_target_": "shared.bundle.configuration.check_configuration"},
        "training": ["@check", "$@train#trainer.run()", "$@test#evaluator.run()"],
        "run": "%training",
    }
    file = tmp_path / "other" / "configs" / "train.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("parallel", [False, True])
def test_training_without_recognition_takes_our_overlays(
    without_recognition: Path, parallel: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    for key, value in place.items():
        monkeypatch.setenv(key, str(value))
    files = [without_recognition, SMOKE, *([OVERLAYS / "multi_gpu.json"] if parallel else [])]
    workflow = ConfigWorkflow([str(file) for file in files], logging_file=False, workflow_type=None)
    workflow.initialize()
    try:
        workflow.run()
        content = workflow.parser.get_parsed_content
        state = content("train#trainer").state
        assert (state.epoch, state.iteration) == (2, 4), "four images in batches of two, twice"
        assert content("test#evaluator").state.iteration == 3
        assert isinstance(content("network"), DistributedDataParallel) is parallel
        assert isinstance(content("train#dataloader").sampler, Share) is parallel
    finally:
        workflow.finalize()
    assert "Can't merge" not in " ".join(str(each.message) for each in recwarn)


@pytest.mark.filterwarnings("ignore:Can't merge entry")
def test_recognition_alone_needs_recognition(without_recognition: Path) -> None:
    content = json.loads(without_recognition.read_text())
    without_recognition.write_text(json.dumps({**content, "origin": {"data": "mine", "strategy": "none"}}))
    message = complaint(by_command, without_recognition, OVERLAYS / "recognition_alone.json")
    assert message == (
        f"overlay {OVERLAYS / 'recognition_alone.json'}: pretrain#images: found no 'pretrain' in "
        "other/configs/train.json, expected one to change; leave the overlay out"
    )


def parsed(*files: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(list(files))
    return parser


def test_does_nothing_outside_a_configuration() -> None:
    check_overlays()
