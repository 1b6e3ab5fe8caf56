"""Runs behind the tables are made for real: networks, losses and noise of overlays arrive in them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.reproduction.description import Run
from shared.reproduction.papers import profiles
from shared.reproduction.papers.rirgan.runs import RDN, SRGAN, SRRESNET
from shared.reproduction.runs import Runner

SMALL = {"network_def#num_blocks": 1, "network_def#features": 8, "validate#dataset#data": "$@validate#datalist[:1]",
         "test#dataset#data": "$@test#datalist[:3]"}


def small(run: Run, **more: object) -> Run:
    trained = None if run.trained is None else small(run.trained)
    return replace(run.under(profiles()["smoke"]).with_overrides(**SMALL, **more), trained=trained)


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "eval" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_baselines_are_trained_without_or_with_a_discriminator_and_tested_with_other_noise(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    speckle = small(SRGAN.evaluated("speckle.json"))
    runs = {"srgan": small(SRGAN), "srresnet": small(SRRESNET), "rdn": small(RDN), "speckle": speckle}
    for run in runs.values():
        assert runner.make(run, 0)
    folders = {name: runner.folder(run, 0) for name, run in runs.items()}
    config = json.loads((folders["srgan"] / "eval/config.json").read_text())
    assert config["network_def"]["_target_"] == "shared.networks.SRResNet"
    assert config["adversarial_loss"]["_target_"] == "shared.losses.VanillaAdversarial"
    histories = {name: lines(folders[name], "history.csv") for name in ("srgan", "srresnet", "rdn")}
    assert [len(history) for history in histories.values()] == [2, 1, 1]
    # One epoch of pixel loss, of the same first network: SRGAN begins as SRResNet does.
    assert histories["srgan"][0]["loss"] == histories["srresnet"][0]["loss"]
    played = {name: {column for column, value in history[-1].items() if column.startswith("adversarial") and value}
              for name, history in histories.items()}
    assert played["srgan"]
    assert played["srresnet"] == played["rdn"] == set()
    tested = {name: lines(folder, "per_image.csv") for name, folder in folders.items()}
    assert [row["id"] for row in tested["speckle"]] == [row["id"] for row in tested["srgan"]]
    for column in ("psnr_degraded", "psnr_enhanced"):
        assert all(one[column] != other[column] for one, other in zip(tested["speckle"], tested["srgan"], strict=True))
    assert tested["rdn"][0]["psnr_degraded"] == tested["srgan"][0]["psnr_degraded"], "the same noise for all methods"
