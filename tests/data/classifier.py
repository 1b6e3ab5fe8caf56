"""A classifier trained on a phantom's images, as the tests of the phantoms' difficulty need it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from monai.networks.nets import ResNet
from monai.transforms import Compose, RandFlipd, RandRotated, RandScaleCropd, Resized

BATCH = 16


def small_resnet(channels: int, num_classes: int) -> torch.nn.Module:
    """One block per level and few features: enough to read a phantom, and trained in some seconds."""
    return ResNet(
        block="basic", layers=[1, 1, 1, 1], block_inplanes=[24, 48, 96, 192], spatial_dims=2, conv1_t_stride=2,
        n_input_channels=channels, num_classes=num_classes, bias_downsample=False,
    )


def augmented(images: list[torch.Tensor], size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """What gives the images [C, H, W] of some indices as a batch, flipped, turned, cropped and resized to size²."""
    augment = Compose(
        [
            RandFlipd("image", prob=0.5, spatial_axis=0),
            RandFlipd("image", prob=0.5, spatial_axis=1),
            RandRotated("image", range_x=np.pi / 18, prob=1.0, padding_mode="border"),
            RandScaleCropd("image", roi_scale=0.5, max_roi_scale=1.0, random_center=False, random_size=True),
            Resized("image", spatial_size=(size, size), mode="bilinear"),
        ]
    ).set_random_state(0)
    return lambda indices: torch.stack([torch.as_tensor(augment({"image": images[i]})["image"]) for i in indices])


def train(
    network: torch.nn.Module,
    inputs: Callable[[torch.Tensor], torch.Tensor],
    classes: torch.Tensor,
    epochs: int,
    learning_rate: float,
) -> None:
    """Train with Adam and one learning-rate cycle; ``inputs`` gives the images of some indices, [B, C, H, W]."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    batches = len(classes) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * batches + 1)
    for _ in range(epochs):
        for batch in torch.randperm(len(classes))[: batches * BATCH].split(BATCH):
            loss = torch.nn.functional.cross_entropy(network(inputs(batch)), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(network: torch.nn.Module, images: torch.Tensor, truth: torch.Tensor) -> float:
    """Share of right answers for images [N, C, H, W]; leaves the network in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return (network(images).argmax(1) == truth).float().mean().item()
