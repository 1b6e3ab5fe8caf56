"""Weights fit strictly, or one message says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from shared import InputError
from shared.inference import WeightsLoader


def network(features: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, features, 3), nn.BatchNorm2d(features))


def test_weights_are_loaded_when_the_run_starts(tmp_path: Path) -> None:
    trained, used = network(), network()
    path = tmp_path / "model.pt"
    engine = Engine(lambda engine, batch: None)
    WeightsLoader(used, str(path), "bundles/b").attach(engine)
    torch.save(trained.state_dict(), path)
    engine.run([0])
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(used.state_dict()[key], value, atol=0, rtol=0)


def test_missing_weights_name_the_command_that_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        WeightsLoader(network(), str(tmp_path / "bundles/b/models/model.pt"), str(tmp_path / "bundles/b"))()
    assert str(caught.value) == (
        "bundles/b/models/model.pt: no such file; make the weights by: "
        "python -m monai.bundle run training --config_file bundles/b/configs/train.json"
    )


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(8).state_dict(), path)
    with pytest.raises(
        InputError, match=r"model\.pt: .*another network.*'0\.weight' of shape \(8, 1, 3, 3\)"
    ):
        WeightsLoader(network(), str(path), "b")()
    state = network().state_dict()
    torch.save({key: value for key, value in state.items() if key != "1.bias"}, path)
    with pytest.raises(InputError, match=r"model\.pt: .*another network.*'1\.bias'"):
        WeightsLoader(network(), str(path), "b")()
    torch.save({**state, "2.weight": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"model\.pt: .*another network.*'2\.weight'"):
        WeightsLoader(network(), str(path), "b")()


@pytest.mark.parametrize("damage", ["text", "truncated", "training checkpoint"])
def test_files_that_are_no_weights(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model.pt"
    torch.save({"network": network().state_dict(), "epoch": 3}, path)
    if damage == "text":
        path.write_bytes(b"nothing of the kind")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"model\.pt: "):
        WeightsLoader(network(), str(path), "b")()
