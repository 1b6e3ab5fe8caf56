"""DnCNN: the denoising network that predicts the noise, a baseline."""

from __future__ import annotations

from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.arguments import check_choice, check_same_channels, check_sizes
from shared.networks.residual import enlarge

UPSCALE_FACTORS = (1, 2, 4)
NORMS = ("batch", "none")


class DnCNN(nn.Module):
    """Denoise images [B, C, H, W] of any size; then enlarge them to [B, C, s·H, s·W], s = `upscale_factor`.

    Intensities are expected around [0, 1]; the output is not clamped. Layout as in Zhang et al. 2017, section III:
    `num_blocks` 3×3 convolutions with ReLU between them and batch norm on all but the first and the last; what they
    give is the noise, which is taken from the image. The last convolution starts at zero (ours, as in this project's
    other denoisers): an untrained network returns its input.

    For one channel there are 556,097 parameters with batch norm, and 555,137 with "none", which is what remains when a
    trained batch norm is merged into its convolution.

    With `upscale_factor` above 1 the result is enlarged by bicubic interpolation, as RIRGAN's section 4.10 uses its
    denoisers. A loss on the enlarged image trains the network through the interpolation.

    Args:
        in_channels: channels of the noisy image.
        out_channels: channels of the denoised image, equal to `in_channels`.
        num_blocks: convolutions, at least 2 (the paper: 17 for noise of known strength, 20 for a range).
        features: channels of every hidden layer.
        upscale_factor: 1 (denoising), 2 or 4.
        norm: "batch" (the paper) or "none" (convolutions with bias).

    Raises:
        InputError: an argument is out of its range; the message names argument, rule and found value.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        num_blocks: int = 17,
        features: int = 64,
        upscale_factor: int = 1,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, num_blocks=num_blocks, features=features)
        check_same_channels(name, in_channels, out_channels)
        check_choice(name, "upscale_factor", upscale_factor, UPSCALE_FACTORS)
        check_choice(name, "norm", norm, NORMS)
        if num_blocks < 2:
            raise InputError(f"{name}: num_blocks must be at least 2, the first and the last convolution, found 1")
        self.upscale_factor = upscale_factor
        self.head = nn.Sequential(nn.Conv2d(in_channels, features, 3, padding=1), nn.ReLU())
        self.blocks = nn.Sequential(*(_block(features, norm) for _ in range(num_blocks - 2)))
        self.tail = nn.Conv2d(features, out_channels, 3, padding=1)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise and enlarge images [B, C, H, W]."""
        return enlarge(x - self.tail(self.blocks(self.head(x))), self.upscale_factor)


def _block(features: int, norm: str) -> nn.Sequential:
    """Return conv, norm, ReLU; a batch norm would cancel the convolution's bias."""
    if norm == "none":
        return nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU())
    convolution = nn.Conv2d(features, features, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features), nn.ReLU())
