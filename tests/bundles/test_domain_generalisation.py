"""A model is evaluated on the images of another data set by one key."""

import json
import logging
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.commands import ROOT, SMOKE


def evaluation(name: str, folder: Path, **overrides: object) -> ConfigWorkflow:
    configs = ROOT / "bundles" / name / "configs"
    files = [str(configs / "train.json"), str(configs / "evaluate.json"), str(SMOKE)]
    workflow = ConfigWorkflow(
        config_file=files, workflow_type="train", logging_file=False, run_id="evaluating",
        ckpt_dir=str(folder), output_dir=str(folder / "eval"), device="$torch.device('cpu')", **overrides,
    )
    workflow.initialize()
    return workflow


def untrained_weights(workflow: ConfigWorkflow, folder: Path, data: str) -> None:
    """What training leaves behind, without the training."""
    parser = workflow.parser
    torch.save(parser.get_parsed_content("network").state_dict(), folder / "model.pt")
    networks = parser.get_parsed_content("recognition").networks
    torch.save({name: network.state_dict() for name, network in networks.items()}, folder / "recognition.pt")
    (folder / "provenance.json").write_text(json.dumps({"data": data, "phantom": True, "scale": 4}))


@pytest.mark.parametrize(("name", "own", "other"), [
    ("gradprom_isic", "isic", "lizard"), ("gradprom_lizard", "lizard", "isic"),
])
def test_images_of_another_set(name, own, other, tmp_path, caplog, monkeypatch):
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    workflow = evaluation(name, tmp_path, test_dataset=other)
    untrained_weights(workflow, tmp_path, own)
    with caplog.at_level(logging.INFO):
        workflow.run()
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert (summary["run"]["data"], summary["run"]["trained_on"]) == (other, own)
    assert summary["number_of_images"] == 3
    assert summary["recognition"] == {}
    assert {"degraded", "enhanced"} <= summary["image_quality"].keys()
    assert f"testing on '{other}' a model made for '{own}'" in caplog.text
    assert "was left out" in caplog.text


@pytest.mark.parametrize("name", ["gradprom_isic", "gradprom_lizard"])
def test_own_set_is_the_default(name, tmp_path, monkeypatch):
    """The overlay changes nothing of the test set that closes a training run."""
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    workflow = evaluation(name, tmp_path)
    configs = str(ROOT / "bundles" / name / "configs" / "train.json")
    training = ConfigWorkflow(config_file=[configs, str(SMOKE)], workflow_type="train", logging_file=False)
    training.initialize()
    evaluated, trained = (w.parser.get_parsed_content("test#datalist") for w in (workflow, training))
    assert evaluated == trained
    assert "class" in evaluated[0]
    assert workflow.parser.get_parsed_content("origin")["data"] == name.removeprefix("gradprom_")


def test_unknown_set_is_named(tmp_path):
    workflow = evaluation("gradprom_isic", tmp_path, test_dataset="lizzard")
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert "lizzard" in str(error)
    assert "lizard" in str(error)
