"""The phantom must mean something: its classes lie in fine structure, which down-sampling destroys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from shared.data import lizard
from shared.data.loading import LoadUnitImaged
from shared.degradations import BicubicDownsample
from tests.data.classifier import accuracy, small_resnet, train

SIZE, EPOCHS, LEARNING_RATE = 64, 10, 2e-3


def load(root: Path, section: str) -> tuple[torch.Tensor, torch.Tensor]:
    items = lizard.datalist(root, section, patch_size=SIZE)
    images = [LoadUnitImaged()(item)["label"] for item in items]
    return torch.stack(images), torch.tensor([item["class"] for item in items])


@pytest.mark.parametrize("classifier", [LogisticRegression(), KNeighborsClassifier(5)], ids=lambda c: type(c).__name__)
def test_mean_colour_does_not_tell_the_class(phantom_lizard: Path, classifier: object) -> None:
    parts = [load(phantom_lizard, section) for section in ("training", "test")]
    means = [images.mean((2, 3)).numpy() for images, _ in parts]
    model = make_pipeline(StandardScaler(), classifier).fit(means[0], parts[0][1].numpy())
    assert model.score(means[1], parts[1][1].numpy()) <= 0.35


@pytest.mark.slow
def test_a_network_reads_the_structure_until_it_is_too_coarse(phantom_lizard: Path) -> None:
    torch.manual_seed(0)
    images, classes = load(phantom_lizard, "training")
    network = small_resnet(3, 6)

    def turned(batch: torch.Tensor) -> torch.Tensor:
        turns = torch.randint(4, (len(batch),)).tolist()
        return torch.stack([images[i].rot90(turn, (1, 2)) for i, turn in zip(batch, turns, strict=True)])

    train(network, turned, classes, EPOCHS, LEARNING_RATE)
    clean, truth = load(phantom_lizard, "test")
    versions = {1: clean}
    for factor in (2, 4):
        small = torch.stack([BicubicDownsample(factor)(image, np.random.default_rng(0)) for image in clean])
        versions[factor] = functional.interpolate(small, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    found = {factor: accuracy(network, images, truth) for factor, images in versions.items()}
    print("accuracy: " + ", ".join(f"x{factor} {value:.3f}" for factor, value in found.items()))
    assert found[1] >= 0.85
    assert found[4] <= found[1] - 0.2
