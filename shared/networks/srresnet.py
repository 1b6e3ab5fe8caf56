"""SR-ResNet: the enhancement network of GradProm, for denoising and super-resolution."""

from __future__ import annotations

import torch
from monai.networks.utils import icnr_init
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.arguments import check_choice, check_sizes

NORMS = ("batch", "none")
UPSCALE_FACTORS = (1, 2, 4)


class ResidualBlock(nn.Module):
    """Add conv, norm, PReLU, conv, norm to its own input; [B, features, H, W] in and out.

    Without normalisation the second convolution starts at zero, so that a stack of any depth starts as the
    identity instead of doubling the variance with each block.
    """

    def __init__(self, features: int, norm: str) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_convolution(features, features, norm), nn.PReLU(), *_convolution(features, features, norm)
        )
        if norm == "none":
            _zero(self.branch[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its branch."""
        return x + self.branch(x)


class SRResNet(nn.Module):
    """Enhance images [B, in_channels, H, W] to [B, out_channels, s·H, s·W], s = `upscale_factor`, any H and W.

    Intensities are expected around [0, 1]; the output is not clamped, so that the loss has a gradient outside
    the range. Layout as in SRResNet (Ledig et al. 2017, figure 4): a 9×9 convolution with PReLU, `num_blocks`
    residual blocks, a 3×3 convolution, a skip over all blocks, one pixel shuffle ×2 per factor of two, and a
    9×9 convolution.

    With `upscale_factor=1` (denoising) the network predicts the correction that is added to the input; the
    GradProm paper does not say whether it does. The last convolution then starts at zero: an untrained network
    returns its input. For ×2 and ×4 there is no skip over the image, as in the SRResNet paper; the
    convolutions before a pixel shuffle start as a nearest-neighbour upsampling (ICNR), which avoids
    checkerboard patterns early in training.

    Args:
        in_channels: channels of the degraded image.
        out_channels: channels of the enhanced image; equal to `in_channels` when `upscale_factor` is 1.
        num_blocks: number of residual blocks (the paper: 16).
        features: channels of every hidden layer (the paper: 64).
        upscale_factor: 1 (denoising), 2 or 4.
        norm: "batch" (the paper) or "none" (convolutions with bias; learns faster, no running statistics).

    Raises:
        InputError: an argument is out of its range; the message names argument, rule and found value.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: int = 16,
        features: int = 64,
        upscale_factor: int = 1,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, num_blocks=num_blocks, features=features)
        check_choice(name, "upscale_factor", upscale_factor, UPSCALE_FACTORS)
        check_choice(name, "norm", norm, NORMS)
        if upscale_factor == 1 and in_channels != out_channels:
            raise InputError(
                f"{name}: out_channels must equal in_channels when upscale_factor is 1, because the network adds a "
                f"correction to its input, found in_channels {in_channels} and out_channels {out_channels}"
            )
        self.upscale_factor = upscale_factor
        self.head = nn.Sequential(nn.Conv2d(in_channels, features, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features, norm) for _ in range(num_blocks)))
        self.fusion = nn.Sequential(*_convolution(features, features, norm))
        self.upsampling = nn.Sequential(*(_upsampling(features) for _ in range(upscale_factor // 2)))
        self.tail = nn.Conv2d(features, out_channels, 9, padding=4)
        if upscale_factor == 1:
            _zero(self.tail)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance images [B, in_channels, H, W]."""
        shallow = self.head(x)
        features = shallow + self.fusion(self.blocks(shallow))
        image = self.tail(self.upsampling(features))
        if self.upscale_factor == 1:
            return torch.add(x, image)
        return image


def _convolution(in_channels: int, out_channels: int, norm: str) -> list[nn.Module]:
    """Return a 3×3 convolution and its norm; the bias would be cancelled by a batch norm."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=norm == "none")
    return [convolution] if norm == "none" else [convolution, nn.BatchNorm2d(out_channels)]


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _upsampling(features: int) -> nn.Sequential:
    """Return conv, pixel shuffle, PReLU: [B, features, H, W] to [B, features, 2·H, 2·W]."""
    convolution = nn.Conv2d(features, features * 4, 3, padding=1)
    icnr_init(convolution, upsample_factor=2)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.PixelShuffle(2), nn.PReLU())
