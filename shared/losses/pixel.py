"""The pixel loss: the mean absolute error."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from shared.losses.image_terms import checked_reduction, relative_to_mean, require_equal_shapes


class PixelLoss(nn.Module):
    """L1 distance between prediction and target, [B, C, H, W] each (RIRGAN, equation 11).

    Args:
        reduction: "mean" takes the mean over all values. "image" takes the sum over each image, averaged over the
            batch, as equation 11 has it; that is C·H·W times as much. At the paper's 96×96×3 the factor is 27,648, and
            the paper's weight 0.006 is one of 165.9 on the mean. So weights are for one size of crops alone.

    Raises:
        InputError: when the reduction is unknown or (in a call) prediction and target differ in shape.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = checked_reduction(reduction)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss without dimensions."""
        require_equal_shapes(prediction, target)
        return relative_to_mean(self.reduction, prediction) * F.l1_loss(prediction, target)
