import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.bundles.commands import ROOT, SMOKE, arguments, environment, succeed
from tests.bundles.test_resume import flat

BUNDLE = ROOT / "bundles" / "gradprom_isic"
HERE = Path(__file__).parent
MULTI_GPU = ROOT / "shared" / "configs" / "multi_gpu.json"
STRATEGIES = ["gradprom", "joint"]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "eval" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_equal_one_with_the_joined_batch(tmp_path, strategy):
    """Through all stages, gloo on CPU: weights of both networks, decisions and cosines."""
    single, double = tmp_path / "single", tmp_path / "double"
    succeed(arguments(BUNDLE, single, "train.json", SMOKE, HERE / "double.json", strategy=strategy))
    overlays = SMOKE, HERE / "double.json", MULTI_GPU, HERE / "unshuffled.json"
    words = arguments(BUNDLE, double, "train.json", *overlays, strategy=strategy)
    launcher = Path(sys.executable).with_name("torchrun")
    command = [os.fspath(launcher), "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", *words]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("model.pt", "recognition.pt"):
        ours, theirs = (flat(torch.load(p / "models" / name, weights_only=True)) for p in (double, single))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=0, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")
    for ours, theirs in zip(rows(double), rows(single), strict=True):
        assert ours.get("diagnosis_acceptance") == theirs.get("diagnosis_acceptance")
        if strategy == "gradprom" and ours["diagnosis_cosine"]:
            assert float(ours["diagnosis_cosine"]) == pytest.approx(float(theirs["diagnosis_cosine"]), abs=1e-9)
