"""Features of VGG19 (Simonyan & Zisserman 2015), with ImageNet weights from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.weights import load_into, read_foreign

STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3×3 convolutions before each of the five poolings."""
CLASSIFIER = {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}
"""Dense layers that torchvision's file holds beside the convolutions, with the shapes of their weights."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VGG19(nn.Module):
    """Convolutional layers of VGG19 with torchvision's names; their weights are still to be loaded.

    Attributes:
        position: of each convolution among ``features``, by its name "conv<I>_<J>".
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.position: dict[str, int] = {}
        channels = 3
        with torch.device("meta"):
            for stage, (width, count) in enumerate(STAGES, start=1):
                for convolution in range(1, count + 1):
                    self.position[f"conv{stage}_{convolution}"] = len(layers)
                    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                    channels = width
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers).to_empty(device="cpu")


class VGG19Features(nn.Module):
    """Map images to what a convolution of VGG19 gives before its activation; frozen, but gradients reach the images.

    The colour means and standard deviations of ImageNet are applied inside. No layer behaves otherwise in training.
    Only the layers up to the one asked for are kept.

    Args:
        weights: file with the state dict of torchvision's ``vgg19``, dense layers included.
        layer: "conv<I>_<J>", the J-th convolution before the I-th pooling. The paper of RIRGAN does not name its layer;
            the last one is what SRGAN's successors take (ESRGAN).

    Raises:
        InputError: when the layer is unknown, the file is missing, unreadable or that of another network, or (in a
            call) images have neither one nor three channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path, layer: str = "conv5_4") -> None:
        super().__init__()
        network = VGG19()
        if layer not in network.position:
            raise InputError(f"layer: expected one of {list(network.position)}, found {layer!r}")
        _load(network, read_foreign(weights), weights)
        self.features = network.features[: network.position[layer] + 1].requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, F, H', W'] of images [B, 3, H, W] in [0, 1]; [B, 1, H, W] counts as three equal channels.

        H' and W' are H and W halved I - 1 times, rounded down.
        """
        if images.shape[1] not in (1, 3):
            raise InputError(f"VGG19Features: expected images of 1 or 3 channels, found shape {list(images.shape)}")
        return self.features((images - self.mean) / self.std)


def _load(network: VGG19, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load torchvision's VGG19; its dense layers are compared by shape, so that no other network passes for it."""
    expected: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in CLASSIFIER.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in CLASSIFIER.items()}
    load_into(network, {key: value for key, value in state.items() if key not in expected}, path)
    for key, shape in expected.items():
        found = tuple(state[key].shape) if key in state else "none"
        if found != shape:
            raise InputError(f"{path}: weights of another network: expected torchvision's vgg19 with {key!r} of shape "
                             f"{shape}, found {found}")
