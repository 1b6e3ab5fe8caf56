"""What the bundles of RIRGAN alone do: a late discriminator, perceptual loss, noise of the test by itself, scales."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.bundles.commands import ROOT, SMOKE, TINY, arguments, config, succeed_here
from tests.bundles.test_resume import assert_same, epochs, stop_at
from tests.networks.vgg19_file import saved, torchvision_vgg
from tests.once import made_once

BUNDLE = ROOT / "bundles" / "rirgan_mni152"
SMALL = TINY, Path(__file__).with_name("small_game.json")
"""Three epochs of pixel loss, four steps each."""
ODD = (37, 31)
TINY_NETWORK = {"network_def#num_blocks": 2, "network_def#features": 8}
"""Two blocks are the least that DnCNN has."""


def words(folder: Path, *overlays: Path, **overrides: Any) -> list[str]:
    return arguments(BUNDLE, folder, "train.json", SMOKE, *overlays, *SMALL, **overrides)


def overlay(name: str) -> Path:
    return ROOT / "shared" / "configs" / f"{name}.json"


def enlarged(folder: Path, *overlays: Path, **overrides: Any) -> tuple[int, int]:
    """Height and width of an odd image that the run's network has enlarged, which learns its scale by itself."""
    pixels = np.random.default_rng(0).integers(0, 255, ODD, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "odd.png")
    options = {
        "input": folder / "odd.png", "output_dir": folder / "large", "ckpt_path": folder / "models" / "model.pt",
        **overrides,
    }
    command = ["run", "--config_file", config(BUNDLE, "inference.json", *overlays)]
    succeed_here([*command, *(word for key, value in options.items() for word in (f"--{key}", str(value)))])
    with Image.open(folder / "large" / "odd.png") as image:
        return image.height, image.width


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "eval" / "summary.json").read_text())


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "models").iterdir()}


def history(folder: Path) -> list[dict[str, str]]:
    with open(folder / "eval" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_equal_runs(ours: Path, theirs: Path, *networks: str) -> None:
    for name in ("checkpoint.pt", "model.pt", *networks):
        assert_same(ours / "models" / name, theirs / "models" / name)
    for path in (theirs / "eval").glob("*.csv"):
        assert (ours / "eval" / path.name).read_text() == path.read_text(), path.name


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A run that ended without a discriminator."""
    return made_once(tmp_path_factory, "rirgan", lambda folder: succeed_here(words(folder)))


@pytest.mark.slow
def test_without_adversarial_epochs_nothing_is_said_or_kept_of_a_discriminator(finished):
    assert files(finished) == {"model.pt", "provenance.json", "checkpoint.pt"}
    assert not [key for key in history(finished)[0] if "adversarial" in key]
    told = summary(finished)
    assert told["run"]["adversarial_epochs"] == 0
    assert told["recognition"] == {}


@pytest.mark.slow
def test_discriminator_added_to_a_finished_run_is_as_if_it_had_been_meant(finished, tmp_path):
    """Weights, optimizers and learning rates go on as in a run that had it from the start."""
    added, meant = tmp_path / "added", tmp_path / "meant"
    shutil.copytree(finished, added)
    succeed_here(words(added, adversarial_epochs=1, resume="true"))
    succeed_here(words(meant, adversarial_epochs=1))
    assert_equal_runs(added, meant, "discriminator.pt")
    assert [bool(row["adversarial_loss"]) for row in history(added)] == [False] * 3 + [True]
    assert_same(added / "models" / "earlier-1" / "model.pt", finished / "models" / "model.pt")
    with pytest.raises(AssertionError):
        assert_same(added / "models" / "model.pt", finished / "models" / "model.pt")


@pytest.mark.slow
def test_stopped_run_with_everything_on_continues_bit_for_bit(tmp_path):
    """GradProm, perceptual loss by its network, a discriminator; ended in the pixel and in the adversarial epochs."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    everything = {"strategy": "gradprom", "perceptual": "recognition", "adversarial_epochs": 2}
    succeed_here(words(whole, **everything))
    # Recognition learns in two epochs of two steps, then the pixel loss in three of four.
    stop_at(words(broken, **everything), 10)
    assert epochs(broken / "eval" / "history.csv") == ["1"]
    stop_at(words(broken, **everything, resume="true"), 14)
    assert epochs(broken / "eval" / "history.csv") == ["1", "2", "3", "4"]
    succeed_here(words(broken, **everything, resume="true"))
    assert_equal_runs(broken, whole, "recognition.pt", "discriminator.pt")
    last = history(whole)[-1]
    assert all(float(last[key]) > 0 for key in ("terms_perceptual", "adversarial_loss", "segmentation_loss"))


@pytest.mark.slow
def test_scale_goes_from_training_to_evaluation_and_inference_by_itself(tmp_path):
    succeed_here(words(tmp_path, scale=2, max_epochs=1, adversarial_epochs=1, **TINY_NETWORK))
    trained = summary(tmp_path)
    assert trained["run"]["scale"] == 2
    assert trained["run"]["degradations"][0] == "BicubicDownsample(factor=2)"
    names = ("train.json", "evaluate.json", SMOKE, *SMALL)
    succeed_here(arguments(BUNDLE, tmp_path, *names, run_id="evaluating", **TINY_NETWORK))
    evaluated = summary(tmp_path)
    assert evaluated["image_quality"] == trained["image_quality"]
    assert evaluated["run"]["scale"] == 2
    assert enlarged(tmp_path, **TINY_NETWORK) == (2 * ODD[0], 2 * ODD[1])


OVERLAYS = {
    "srresnet rician": "RicianNoise(sigma=0.05)",
    "rdn speckle": "SpeckleNoise(sigma=0.05)",
    "dncnn salt": "SaltAndPepperNoise(probability=0.05, salt_share=1.0)",
    "small_unet local_variance": "LocalVarianceNoise(sigma=0.05, local_vars=[[1.0]])",
    "srresnet srgan": "GaussianNoise(sigma=0.05)",
}
"""Names of overlays, and the noise of the test with them."""


@pytest.mark.slow
@pytest.mark.parametrize("names", OVERLAYS)
def test_another_network_noise_or_game(names, tmp_path):
    overlays = [overlay(name) for name in names.split()]
    options = {"max_epochs": 1}
    if "srgan" in names:
        vgg19 = saved(torchvision_vgg(), tmp_path)
        options |= {"adversarial_epochs": 1, "perceptual": "vgg19", "train#loss#terms#perceptual#vgg19_weights": vgg19}
    succeed_here(words(tmp_path, *overlays, **options, **TINY_NETWORK))
    assert summary(tmp_path)["run"]["test_degradations"] == ["BicubicDownsample(factor=4)", OVERLAYS[names]]
    assert all(np.isfinite(float(row["loss"])) for row in history(tmp_path))
    network = [path for path in overlays if "network_def" in path.read_text()]
    assert enlarged(tmp_path, *network, **TINY_NETWORK) == (4 * ODD[0], 4 * ODD[1])


@pytest.mark.slow
def test_odd_images_and_volumes_of_one_slice(tmp_path):
    """A person's own, of four patients; no side is a multiple of the scale, and one is smaller than a crop."""
    for patient in range(4):
        folder = tmp_path / "own" / f"patient{patient}"
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(patient).integers(0, 255, (2, *ODD), dtype=np.uint8)
        Image.fromarray(pixels[0]).save(folder / "a.png")
        nibabel.save(nibabel.Nifti1Image(pixels[1, ..., None], np.eye(4)), folder / "b.nii.gz")
    names = ("train.json", SMOKE, *SMALL)
    options = {"dataset_dir": tmp_path / "own", "max_epochs": 1, "adversarial_epochs": 1}
    succeed_here(arguments(ROOT / "bundles" / "rirgan_folder", tmp_path, *names, **options))
    (group,) = summary(tmp_path)["by_group"].values()
    assert group["number_of_images"] == 2
    assert all(np.isfinite(value) for value in group["image_quality"]["enhanced"].values())
