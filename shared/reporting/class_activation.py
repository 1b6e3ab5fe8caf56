"""Class-activation maps of a diagnosis network: where in an image it sees a class."""

from __future__ import annotations

import copy

import torch
from monai.visualize import GradCAM
from monai.visualize.visualizer import default_upsampler
from torch import Tensor, nn

from shared.errors import InputError

LAYER = "layer4"
"""Last convolutional stage of MONAI's ResNets."""


def class_activation(
    network: nn.Module, images: Tensor, label: int, layer: str = LAYER
) -> tuple[Tensor, tuple[int, int]]:
    """Return Grad-CAM maps of one class (Selvaraju et al. 2017), by :class:`monai.visualize.GradCAM`.

    Positive parts only, each map divided by its own maximum: the maps tell where a class is seen, not how strongly. A
    map without a positive part is zero. (MONAI's default scaling makes the strongest place 0, the weakest 1.)

    The network is copied: MONAI leaves its hooks on the network and clears its gradients.

    Args:
        network: maps images to logits [B, K]; used in evaluation mode.
        images: [B, C, H, W].
        label: the class whose maps are drawn.
        layer: name of the sub-module whose activations are weighted.

    Returns:
        Maps [B, H, W] in [0, 1], on the CPU, enlarged bilinearly; and the layer's own size, the number of cells that
        the maps really tell apart.

    Raises:
        InputError: when there is no such layer, or the network has no such class.
    """
    if layer not in dict(network.named_modules()):
        raise InputError(f"class-activation maps: {type(network).__name__} has no layer {layer!r}")
    copied = copy.deepcopy(network).eval().requires_grad_(True)
    images = images.to(next(network.parameters()).device)
    with torch.no_grad():
        shape = tuple(copied(images[:1]).shape)
    if len(shape) != 2 or not 0 <= label < shape[1]:
        raise InputError(
            f"class-activation maps need logits [B, K] with a class {label}, found logits {shape} of "
            f"{type(network).__name__}"
        )
    coarse = GradCAM(copied, layer).compute_map(images, class_idx=label).detach()
    maps = default_upsampler(images.shape[2:])(coarse)[:, 0].cpu()
    scaled = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    return scaled, (coarse.shape[2], coarse.shape[3])
