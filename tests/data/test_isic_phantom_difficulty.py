"""The phantom must mean something: its classes lie in fine structure, which noise destroys and colour does not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet18
from monai.transforms import Compose, RandFlipd, RandRotated, RandScaleCropd, Resized
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.data import isic
from shared.data.loading import LoadUnitImaged

SIZE, BATCH, EPOCHS, LEARNING_RATE = 64, 16, 10, 5e-4


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
        spatial_dims=2,
        n_input_channels=3,
        num_classes=isic.num_classes("diagnosis"),
        conv1_t_stride=2,
        bias_downsample=False,
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

    tests, truth = load(phantom_isic, "test", "diagnosis", SIZE)
    clean = torch.stack(tests)
    noisy = (clean + 0.3 * torch.randn(clean.shape)).clamp(0, 1)
    network.eval()
    with torch.no_grad():
        accuracy, degraded = ((network(x).argmax(1) == truth).float().mean().item() for x in (clean, noisy))
    print(f"accuracy: clean {accuracy:.3f}, sigma 0.3 {degraded:.3f}")
    assert accuracy >= 0.85
    assert degraded <= accuracy - 0.2
