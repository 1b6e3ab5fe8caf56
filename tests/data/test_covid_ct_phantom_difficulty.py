"""The phantom must mean something: opacities and lines differ in shape alone, which noise hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.data import covid_ct
from shared.data.loading import LoadUnitImaged
from tests.data.classifier import accuracy, augmented, small_resnet, train

SIZE, EPOCHS, LEARNING_RATE = 64, 14, 1e-3
SECTIONS = ("training", "validation", "test")


def load(root: Path, section: str, size: int | None) -> tuple[list[torch.Tensor], torch.Tensor, list[str]]:
    items = covid_ct.datalist(root, section)
    transform = LoadUnitImaged(mask_key=None, channels=1, size=size)
    images = [transform(item)["label"] for item in items]
    return images, torch.tensor([item["class"] for item in items]), [item["group"] for item in items]


@pytest.mark.parametrize("classifier", [LogisticRegression(), KNeighborsClassifier(5)], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("spread", [False, True], ids=["mean", "mean and spread"])
def test_intensity_does_not_tell_the_class(phantom_covid_ct: Path, classifier: object, spread: bool) -> None:
    values, classes, groups = [], [], []
    for section in SECTIONS:
        images, truth, names = load(phantom_covid_ct, section, SIZE)
        values += [[float(image.mean()), float(image.std())][: 1 + spread] for image in images]
        classes += truth.tolist()
        groups += names
    model = make_pipeline(StandardScaler(), classifier)
    scores = cross_val_score(model, np.array(values), classes, groups=groups, cv=GroupKFold(5))
    print(f"accuracy {scores.mean():.3f}")
    assert scores.mean() <= 0.6


@pytest.mark.slow
def test_a_network_reads_the_shapes_until_noise_hides_them(phantom_covid_ct: Path) -> None:
    torch.manual_seed(0)
    images, classes, _ = load(phantom_covid_ct, "training", None)
    network = small_resnet(1, 2)
    train(network, augmented(images, SIZE), classes, EPOCHS, LEARNING_RATE)

    tests, truth, _ = load(phantom_covid_ct, "test", SIZE)
    clean = torch.stack(tests)
    noisy = (clean + 0.3 * torch.randn(clean.shape)).clamp(0, 1)
    on_clean, degraded = (accuracy(network, images, truth) for images in (clean, noisy))
    print(f"accuracy: clean {on_clean:.3f}, sigma 0.3 {degraded:.3f}")
    assert on_clean >= 0.85
    assert degraded <= on_clean - 0.1
