"""The phantom must mean something: its classes lie in fine structure, which down-sampling destroys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from shared.data import lizard
from shared.data.loading import LoadUnitImaged
from shared.degradations import BicubicDownsample

SIZE, BATCH, EPOCHS, LEARNING_RATE = 64, 16, 7, 1e-3


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
    network = resnet10(
        spatial_dims=2, n_input_channels=3, num_classes=6, conv1_t_stride=2, bias_downsample=False
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            turns = torch.randint(4, (BATCH,)).tolist()
            turned = torch.stack([images[i].rot90(turn, (1, 2)) for i, turn in zip(batch, turns, strict=True)])
            loss = functional.cross_entropy(network(turned), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    clean, truth = load(phantom_lizard, "test")
    versions = {1: clean}
    for factor in (2, 4):
        small = torch.stack([BicubicDownsample(factor)(image, np.random.default_rng(0)) for image in clean])
        versions[factor] = functional.interpolate(small, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    network.eval()
    with torch.no_grad():
        accuracy = {k: (network(x).argmax(1) == truth).float().mean().item() for k, x in versions.items()}
    print("accuracy: " + ", ".join(f"x{factor} {value:.3f}" for factor, value in accuracy.items()))
    assert accuracy[1] >= 0.85
    assert accuracy[4] <= accuracy[1] - 0.2
