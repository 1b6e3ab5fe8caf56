"""Total variation of an image as a loss that keeps it smooth."""

from __future__ import annotations

from torch import Tensor, nn

from shared.losses.image_terms import at_least_single, checked_reduction, relative_to_mean


class TotalVariation(nn.Module):
    """Anisotropic total variation: absolute differences between neighbours, along H and W (RIRGAN, equation 14).

    With the paper's weights, 2e-9 here and 0.006 for the pixel loss in the same reduction, its gradient is below a
    millionth of the pixel loss's (3.8e-7 in a trial). So it removes no noise; the pixel loss does, because noisy images
    are paired with clean ones.

    Args:
        reduction: "image" takes the sum over each image, averaged over the batch, as equation 14 has it. "mean" divides
            that by C·H·W, as :class:`~shared.losses.PixelLoss` does, so that the ratio of the two is that of the paper.

    Raises:
        InputError: when the reduction is unknown.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = checked_reduction(reduction)

    def forward(self, prediction: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the total variation, without dimensions, of images [B, C, H, W]; it looks at no target."""
        images = at_least_single(prediction)
        total = images.diff(dim=-2).abs().sum() + images.diff(dim=-1).abs().sum()
        return relative_to_mean(self.reduction, images) * (total / images.numel())
