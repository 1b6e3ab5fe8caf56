"""Networks in double precision and without batch statistics: parallel and single training can then be the same."""

from __future__ import annotations

import torch
from torch import nn

from shared.networks import SRResNet


def enhancement() -> nn.Module:
    return SRResNet(3, 3, num_blocks=1, features=8, norm="none").double()


def diagnosis() -> nn.Module:
    layers = nn.Conv2d(3, 8, 5, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 7)
    return nn.Sequential(*layers).to(torch.float64)
