"""The phantom must mean something: opacities and lines differ in shape alone, which noise hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet18
from monai.transforms import Compose, RandFlipd, RandRotated, RandScaleCropd, Resized
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.data import covid_ct
from shared.data.loading import LoadUnitImaged

SIZE, BATCH, EPOCHS, LEARNING_RATE = 64, 16, 12, 5e-4
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
    augment = Compose(
        [
            RandFlipd("image", prob=0.5, spatial_axis=0),
            RandFlipd("image", prob=0.5, spatial_axis=1),
            RandRotated("image", range_x=np.pi / 18, prob=1.0, padding_mode="border"),
            RandScaleCropd("image", roi_scale=0.5, max_roi_scale=1.0, random_center=False, random_size=True),
            Resized("image", spatial_size=(SIZE, SIZE), mode="bilinear"),
        ]
    ).set_random_state(0)
    network = resnet18(
        spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_stride=2, bias_downsample=False
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            inputs = torch.stack([torch.as_tensor(augment({"image": images[i]})["image"]) for i in batch])
            loss = torch.nn.functional.cross_entropy(network(inputs), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    tests, truth, _ = load(phantom_covid_ct, "test", SIZE)
    clean = torch.stack(tests)
    noisy = (clean + 0.3 * torch.randn(clean.shape)).clamp(0, 1)
    network.eval()
    with torch.no_grad():
        accuracy, degraded = ((network(x).argmax(1) == truth).float().mean().item() for x in (clean, noisy))
    print(f"accuracy: clean {accuracy:.3f}, sigma 0.3 {degraded:.3f}")
    assert accuracy >= 0.85
    assert degraded <= accuracy - 0.1
