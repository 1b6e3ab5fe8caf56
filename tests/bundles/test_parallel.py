import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundles.commands import BUNDLES, ROOT, SMOKE, TINY, arguments, environment, succeed_here
from tests.bundles.test_resume import flat
from tests.once import made_once

BUNDLE = ROOT / "bundles" / "gradprom_isic"
FOLDER = ROOT / "bundles" / "gradprom_folder"
HERE = Path(__file__).parent
MULTI_GPU = ROOT / "shared" / "configs" / "multi_gpu.json"


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "eval" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def on_two_ranks(words: list[str], timeout: float = 300) -> None:
    launcher = Path(sys.executable).with_name("torchrun")
    command = [os.fspath(launcher), "--standalone", "--nproc_per_node=2", *words]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stdout + result.stderr


DOUBLE = SMOKE, HERE / "double.json", MULTI_GPU, HERE / "unshuffled.json"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["gradprom", "joint"])
def test_two_processes_equal_one_with_the_joined_batch(tmp_path, request, strategy):
    """Through all stages, gloo on CPU: weights of both networks, decisions and cosines; once by the command."""
    single, double = tmp_path / "single", tmp_path / "double"
    succeed_here(arguments(BUNDLE, single, "train.json", SMOKE, HERE / "double.json", strategy=strategy))
    if strategy == "gradprom":
        on_two_ranks(["-m", "monai.bundle", *arguments(BUNDLE, double, "train.json", *DOUBLE, strategy=strategy)])
    else:
        double = request.getfixturevalue("both") / "joint, double precision"
    for name in ("model.pt", "recognition.pt"):
        ours, theirs = (flat(torch.load(p / "models" / name, weights_only=True)) for p in (double, single))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=0, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")
    for ours, theirs in zip(rows(double), rows(single), strict=True):
        assert ours.get("diagnosis_acceptance") == theirs.get("diagnosis_acceptance")
        if strategy == "gradprom" and ours["diagnosis_cosine"]:
            assert float(ours["diagnosis_cosine"]) == pytest.approx(float(theirs["diagnosis_cosine"]), abs=1e-9)


@dataclass
class Case:
    """A run on two ranks: of five training images, or ``crops`` an epoch, two at a time on each rank."""

    bundle: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    overlays: list[Path] = field(default_factory=list)
    stages: tuple[str, ...] = ("pretrain", "train")
    crops: int = 5

    @property
    def networks(self) -> set[str]:
        """Files of weights that the run writes."""
        others = {"pretrain": "recognition.pt", "train": "model.pt"}
        game = {"discriminator.pt"} if "adversarial_epochs" in self.overrides else set()
        return {others[stage] for stage in self.stages} | game


def rirgan(data: str, **more: Any) -> Case:
    """Two epochs of pixel loss, and one with a discriminator."""
    overrides = {"crops_per_epoch": 5, "adversarial_epochs": 1}
    return Case(ROOT / "bundles" / f"rirgan_{data}", overrides | more, [HERE / "small_game.json"])


CASES = {bundle.name: Case(bundle) for bundle in BUNDLES} | {
    "gradprom_folder": Case(FOLDER, {"crops_per_epoch": 14}, crops=14),
    "without recognition": Case(FOLDER, {"auxiliary": "none", "crops_per_epoch": 13}, stages=("train",), crops=13),
    "a rule of TorchJD": Case(BUNDLE, {"strategy": "upgrad", "auxiliary": "both"}),
    "a rule with random choices": Case(BUNDLE, {"strategy": "pcgrad", "auxiliary": "both"}),
    "rirgan_mni152": rirgan("mni152", strategy="gradprom", perceptual="recognition"),
    "rirgan_brats": rirgan("brats", strategy="joint"),
    "rirgan_folder": replace(rirgan("folder"), stages=("train",)),
    "recognition alone": Case(
        BUNDLE, overlays=[MULTI_GPU.with_name("recognition_alone.json")], stages=("pretrain",)
    ),
    "fewer images than ranks": Case(
        BUNDLE, {"validate#dataset#data": "$@validate#datalist[:1]", "test#dataset#data": "$@test#datalist[:1]"}
    ),
}


@pytest.fixture(scope="session")
def both(tmp_path_factory) -> Path:
    """Every case in one pair of processes: a start is nearly all imports. A bundle's weights of before lie there."""
    return made_once(tmp_path_factory, "ranks", run_cases)


def run_cases(root: Path) -> None:
    cases = []
    for name, case in CASES.items():
        folder = root / name
        for place in ("models", "eval"):
            (folder / place).mkdir(parents=True)
        if case.stages[-1] == "train":
            torch.save({}, folder / "models" / "model.pt")
        overlays = [SMOKE, TINY, HERE / "odd.json", *case.overlays, MULTI_GPU]
        files = [case.bundle / "configs" / "train.json", *overlays]
        folders = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval")}
        warmup = {"gradprom#warmup": 0} if "pretrain" in case.stages else {}
        overrides = {**folders, **warmup, **case.overrides}
        cases.append({"files": [str(f) for f in files], "overrides": overrides, "stages": case.stages})
    folder = root / "joint, double precision"
    (folder / "eval").mkdir(parents=True)
    folders = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval")}
    files = [BUNDLE / "configs" / "train.json", *DOUBLE]
    cases.append({"files": [str(f) for f in files], "overrides": {**folders, "strategy": "joint"}, "stages": []})
    (root / "cases.json").write_text(json.dumps(cases))
    on_two_ranks(["-m", "tests.bundles.ranks", str(root / "cases.json")], 900)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_share_the_work_and_stay_the_same(both, name):
    case, folder = CASES[name], both / name
    ranks = [json.loads((folder / "eval" / f"rank{r}.json").read_text()) for r in range(2)]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["weights"].keys() == set(case.stages)
    for stage in case.stages:
        epochs = [rank["drawn"][stage] for rank in ranks]
        expected = 1 if stage == "pretrain" else 2 + case.overrides.get("adversarial_epochs", 0)
        assert len(epochs[0]) == len(epochs[1]) == expected
        for first, second in zip(*epochs, strict=True):
            # The share of each rank, less the batch that is not full.
            assert [len(batch) for batch in first] == [2] * (-(-case.crops // 2) // 2)
            assert [len(batch) for batch in second] == [2] * len(first)
            together = [i for pair in zip(sum(first, []), sum(second, []), strict=True) for i in pair]
            assert len(set(together[:4])) == 4, "the ranks draw different images"
    images = 1 if name.startswith("fewer") else 3
    each = [1, 1] if images == 1 else [2, 1]
    for evaluation in ranks[0]["evaluated"]:
        assert [rank["evaluated"][evaluation] for rank in ranks] == each
    with open(folder / "eval" / "per_image.csv", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert len(ids) == len(set(ids)) == images
    written = {path.name for path in (folder / "models").iterdir() if path.is_file()}
    assert written == {"provenance.json", "checkpoint.pt", *case.networks}
    if "train" in case.stages:
        assert [path.name for path in (folder / "models" / "earlier-1").iterdir()] == ["model.pt"]
