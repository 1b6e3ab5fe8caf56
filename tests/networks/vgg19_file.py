"""A file with names and shapes of torchvision's VGG networks (torchvision.models.vgg) and random values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

POOL = 0
VGG16 = (64, 64, POOL, 128, 128, POOL, *(256,) * 3, POOL, *(512,) * 3, POOL, *(512,) * 3, POOL)
VGG19 = (64, 64, POOL, 128, 128, POOL, *(256,) * 4, POOL, *(512,) * 4, POOL, *(512,) * 4, POOL)


def torchvision_vgg(layers: Sequence[int] = VGG19, batch_norm: bool = False, classes: int = 1000) -> dict[str, Tensor]:
    """Return a state dict; the dense layers are one number each, repeated by a view, so that a file stays small."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    position, channels = 0, 3
    for width in layers:
        if width == POOL:
            position += 1
            continue
        state[f"features.{position}.weight"] = torch.randn(width, channels, 3, 3) * math.sqrt(2 / (9 * channels))
        state[f"features.{position}.bias"] = torch.randn(width) / 10
        if batch_norm:
            for name in ("weight", "bias", "running_mean", "running_var"):
                state[f"features.{position + 1}.{name}"] = torch.ones(width)
        position, channels = position + (3 if batch_norm else 2), width
    for name, shape in (("0", (4096, 25088)), ("3", (4096, 4096)), ("6", (classes, 4096))):
        state[f"classifier.{name}.weight"] = torch.zeros(1, 1).expand(shape)
        state[f"classifier.{name}.bias"] = torch.zeros(shape[0])
    return state


def saved(state: dict[str, Tensor], folder: Path) -> Path:
    """Write it as a person would have it."""
    torch.save(state, folder / "vgg19.pth")
    return folder / "vgg19.pth"
