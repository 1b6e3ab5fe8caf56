"""Networks of the bundles and loaders for weights that come from elsewhere."""

from __future__ import annotations

from shared.networks.discriminator import SRGANDiscriminator
from shared.networks.dncnn import DnCNN
from shared.networks.pretrained import WeightReport, load_imagenet_resnet
from shared.networks.rdn import RDN
from shared.networks.residual import Enlarge, ResidualEnhancement, Restormer, SmallUNet, enlarge_to
from shared.networks.rir import RIRGenerator
from shared.networks.srresnet import SRResNet
from shared.networks.vgg import VGG19Features

__all__ = [
    "RDN",
    "DnCNN",
    "Enlarge",
    "RIRGenerator",
    "ResidualEnhancement",
    "Restormer",
    "SRGANDiscriminator",
    "SRResNet",
    "SmallUNet",
    "VGG19Features",
    "WeightReport",
    "enlarge_to",
    "load_imagenet_resnet",
]
