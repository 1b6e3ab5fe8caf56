"""The perceptual loss: the distance between what a network sees in two images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared.losses.image_terms import at_least_single, require_equal_shapes


class FeatureLoss(nn.Module):
    """Mean squared error between the features of prediction and target (RIRGAN, equation 12).

    No gradient goes to the target. Under mixed precision the features are computed in single precision.

    Args:
        features: a frozen network that maps images [B, C, H, W] to features, for example
            :class:`~shared.networks.VGG19Features`.

    Raises:
        InputError: (in a call) when prediction and target differ in shape.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, without dimensions, of images [B, C, H, W] in [0, 1]."""
        require_equal_shapes(prediction, target)
        with torch.autocast(prediction.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.features(at_least_single(target))
            return F.mse_loss(self.features(at_least_single(prediction)), wanted)
