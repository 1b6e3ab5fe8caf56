"""The phantom must mean something: its classes lie in fine structure, which noise destroys and colour does not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.data import isic
from shared.data.loading import LoadUnitImaged
from tests.data.classifier import accuracy, augmented, small_resnet, train

SIZE, EPOCHS, LEARNING_RATE = 64, 6, 2e-3


def load(root: Path, section: str, auxiliary: str, size: int | None) -> tuple[list[torch.Tensor], torch.Tensor]:
    items = isic.datalist(root, section, auxiliary)
    transform = LoadUnitImaged(mask_key=None, size=size)
    return [transform(item)["label"] for item in items], torch.tensor([item["class"] for item in items])


@pytest.mark.parametrize("auxiliary", ["diagnosis", "both"])
@pytest.mark.parametrize("classifier", [LogisticRegression(), KNeighborsClassifier(5)], ids=lambda c: type(c).__name__)
def test_mean_colour_does_not_tell_the_class(phantom_isic: Path, auxiliary: str, classifier: object) -> None:
    parts = []
    for section in ("training", "test"):
        images, classes = load(phantom_isic, section, auxiliary, SIZE)
        parts.append((np.stack([image.mean((1, 2)).numpy() for image in images]), classes.numpy()))
    model = make_pipeline(StandardScaler(), classifier).fit(*parts[0])
    assert model.score(*parts[1]) <= 0.5


@pytest.mark.slow
def test_a_network_reads_the_structure_until_noise_hides_it(phantom_isic: Path) -> None:
    torch.manual_seed(0)
    images, classes = load(phantom_isic, "training", "diagnosis", None)
    network = small_resnet(3, isic.num_classes("diagnosis"))
    train(network, augmented(images, SIZE), classes, EPOCHS, LEARNING_RATE)

    tests, truth = load(phantom_isic, "test", "diagnosis", SIZE)
    clean = torch.stack(tests)
    noisy = (clean + 0.3 * torch.randn(clean.shape)).clamp(0, 1)
    on_clean, degraded = (accuracy(network, images, truth) for images in (clean, noisy))
    print(f"accuracy: clean {on_clean:.3f}, sigma 0.3 {degraded:.3f}")
    assert on_clean >= 0.85
    assert degraded <= on_clean - 0.2
