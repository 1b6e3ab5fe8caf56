"""RIR-G: the generator of RIRGAN, for super-resolution and denoising in one pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.arguments import check_choice, check_sizes

UPSCALE_FACTORS = (2, 4)
NORMS = ("none",)
UNITS_PER_BLOCK = 5


class ResidualUnit(nn.Module):
    """Add conv 3×3, PReLU, conv 3×3, times `scale`, to its own input; [B, features, H, W] in and out."""

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.branch = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1), nn.PReLU(), nn.Conv2d(features, features, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x + scale · branch(x): the short skip connection."""
        return torch.add(x, self.branch(x), alpha=self.scale)


class RIRBlock(nn.Module):
    """Add five residual units in a row, times `scale`, to their input; [B, features, H, W] in and out.

    The units carry their input along, so that `scale` decides how fast a stack of blocks grows: by 1.2 and not by 2
    per block where the branches are small.
    """

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.units = nn.Sequential(*(ResidualUnit(features, scale) for _ in range(UNITS_PER_BLOCK)))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + scale · units(x): the long skip connection."""
        return torch.add(x, self.units(x), alpha=self.scale)


class RIRGenerator(nn.Module):
    """Restore images [B, in_channels, H, W] to [B, out_channels, s·H, s·W], s = `upscale_factor`, any H and W.

    Intensities are in [0, 1], and so is the output. Inside they are mapped to [-1, 1], because the last layer is a tanh
    (the paper does not say what range its data have). The paper's images have three channels; a grey one is repeated.

    Layout (equations 5 to 8, section 4.3): a 9×9 convolution with PReLU (`head`), `num_blocks` RIR blocks, a 3×3
    convolution (`fusion`), a skip over all of them, one pixel shuffle with PReLU per factor of two (`upsampling`), and
    a 9×9 convolution (`tail`) with tanh. There is no batch norm. Every PReLU has one slope for all its channels, which
    it shares with no other PReLU. With that and the paper's 64 features, the parameters for 8, 10, 16 and 32 blocks
    are the 3.3, 4.1, 6.3 and 12.2 million of its tables 1, 7 and 8. The ×2 form is ours: the paper has ×4 alone.

    The paper names one residual scale of 0.2 along with the long skips and does not say what it multiplies. Here it
    multiplies every branch inside a block, the five short ones and the long one. With the short ones alone each block
    doubles the signal: untrained, it grows 260 times over 8 blocks and 4.6e9 times over 32, the tanh saturates, and
    training sticks or diverges. With both it grows 4 times and 340 times.

    Args:
        in_channels: channels of the degraded image.
        out_channels: channels of the restored image.
        num_blocks: number of RIR blocks, N in the paper.
        features: channels of every hidden layer.
        upscale_factor: 2 or 4.
        norm: "none"; the other enhancement networks have a choice here.
        residual_scale: above 0, at most 1; the paper's alpha.

    Raises:
        InputError: an argument is out of its range; the message names argument, rule and found value.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        num_blocks: int = 8,
        features: int = 64,
        upscale_factor: int = 4,
        norm: str = "none",
        residual_scale: float = 0.2,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, num_blocks=num_blocks, features=features)
        check_choice(name, "upscale_factor", upscale_factor, UPSCALE_FACTORS)
        check_choice(name, "norm", norm, NORMS)
        _check_scale(name, residual_scale)
        self.head = nn.Sequential(nn.Conv2d(in_channels, features, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(RIRBlock(features, float(residual_scale)) for _ in range(num_blocks)))
        self.fusion = nn.Conv2d(features, features, 3, padding=1)
        self.upsampling = nn.Sequential(*(_upsampling(features) for _ in range(upscale_factor // 2)))
        self.tail = nn.Conv2d(features, out_channels, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images [B, in_channels, H, W] in [0, 1]."""
        shallow = self.head(2 * x - 1)
        features = shallow + self.fusion(self.blocks(shallow))
        return (torch.tanh(self.tail(self.upsampling(features))) + 1) / 2


def _upsampling(features: int) -> nn.Sequential:
    """Return conv, pixel shuffle, PReLU: [B, features, H, W] to [B, features, 2·H, 2·W]."""
    return nn.Sequential(nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


def _check_scale(owner: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 < value <= 1:
        raise InputError(f"{owner}: residual_scale must be a number above 0 and at most 1, found {value!r}")
