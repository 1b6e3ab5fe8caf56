"""Networks of the bundles and loaders for weights that come from elsewhere."""

from __future__ import annotations

from shared.networks.pretrained import WeightReport, load_imagenet_resnet
from shared.networks.residual import Enlarge, ResidualEnhancement, Restormer, SmallUNet, enlarge_to
from shared.networks.srresnet import SRResNet

__all__ = [
    "Enlarge",
    "ResidualEnhancement",
    "Restormer",
    "SRResNet",
    "SmallUNet",
    "WeightReport",
    "enlarge_to",
    "load_imagenet_resnet",
]
