"""The two networks that are trained, and the batches they are trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import monai.networks.nets
import torch
from torch import nn

from shared.benchmark.settings import Settings
from shared.networks import SRResNet

NUM_CLASSES = 7
LEARNING_RATE = 1e-4
WEIGHT = 1e-4
"""lambda of equation 1, as in the bundles."""


class System:
    """IP (SR-ResNet with batch norm) and VR (ResNet), each with Adam; the same weights whenever it is made.

    Args:
        settings: sizes.
        trainable: whether VR learns too; if not, it has no optimizer, is in evaluation mode and wants no gradients.
        weight: lambda.
    """

    def __init__(self, settings: Settings, trainable: bool = True, weight: float = WEIGHT) -> None:
        self.trainable = trainable
        self.weight = weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            enhancement = SRResNet(3, 3, settings.num_blocks, settings.features, norm="batch")
            recognition = getattr(monai.networks.nets, settings.backbone)(
                spatial_dims=2,
                n_input_channels=3,
                conv1_t_stride=2,
                bias_downsample=False,
                num_classes=NUM_CLASSES,
            )
        self.enhancement: nn.Module = enhancement.to(settings.device).train()
        self.recognition: nn.Module = recognition.to(settings.device).train(trainable).requires_grad_(trainable)
        self.optimizer = torch.optim.Adam(self.enhancement.parameters(), LEARNING_RATE)
        self.recognition_optimizer = (
            torch.optim.Adam(self.recognition.parameters(), LEARNING_RATE) if trainable else None
        )
        self.enhancement_loss = nn.MSELoss()
        self.recognition_loss = nn.CrossEntropyLoss()

    @property
    def theta(self) -> list[nn.Parameter]:
        """Parameters of IP."""
        return list(self.enhancement.parameters())

    @property
    def phi(self) -> list[nn.Parameter]:
        """Parameters of VR."""
        return list(self.recognition.parameters())

    def zero_grad(self) -> None:
        """Clear the gradients of what is trained."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.recognition_optimizer is not None:
            self.recognition_optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Step every optimizer there is."""
        self.optimizer.step()
        if self.recognition_optimizer is not None:
            self.recognition_optimizer.step()


def endless_batches(settings: Settings, count: int = 2) -> Iterator[dict[str, Any]]:
    """Return batches of random images that lie on the device already, over and over, the same for every variant."""
    generator = torch.Generator().manual_seed(0)
    shape = (settings.batch_size, 3, settings.image_size, settings.image_size)
    batches = []
    for k in range(count):
        clean = torch.rand(shape, generator=generator)
        batch: dict[str, Any] = {
            "image": clean + 0.3 * torch.randn(shape, generator=generator),
            "label": clean,
            "class": torch.randint(NUM_CLASSES, (settings.batch_size,), generator=generator),
        }
        batch = {key: value.to(settings.device) for key, value in batch.items()}
        batches.append({**batch, "id": [f"image_{k}_{i}" for i in range(settings.batch_size)]})
    return itertools.cycle(batches)
