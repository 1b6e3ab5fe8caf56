"""How much larger a network makes an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from shared.errors import InputError
from shared.inference.inferer import EnhancementInferer


def find_factor(
    network: nn.Module, inferer: EnhancementInferer, channels: int, size: Sequence[int], device: torch.device
) -> int:
    """Enhance an image of zeros and see how large it becomes.

    Args:
        network: in evaluation mode, on ``device``.
        inferer: that the image goes through.
        channels: of the image.
        size: height and width of the image.
        device: where it is enhanced.

    Raises:
        InputError: it does not grow by a whole factor, or has another number of channels.
    """
    height, width = size
    image = torch.zeros(1, channels, height, width, device=device)
    found = tuple(inferer(image, network).shape)
    factor = found[2] // height
    if factor < 1 or found != (1, channels, factor * height, factor * width):
        raise InputError(
            f"network_def: makes an image of shape {found} of one of shape {tuple(image.shape)}, expected as many "
            "channels and a whole factor of enlargement"
        )
    return factor
