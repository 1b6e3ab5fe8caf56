"""RDN: the residual dense network, a baseline for super-resolution."""

from __future__ import annotations

import torch
from monai.networks.blocks import DenseBlock
from torch import Tensor, nn

from shared.networks.arguments import check_choice, check_sizes

UPSCALE_FACTORS = (2, 4)
NORMS = ("none",)


class ResidualDenseBlock(nn.Module):
    """Densely connected convolutions, fused by a 1×1 convolution and added to their input; [B, features, H, W]."""

    def __init__(self, features: int, growth_rate: int, layers: int) -> None:
        super().__init__()
        self.dense = DenseBlock(
            [
                nn.Sequential(nn.Conv2d(features + layer * growth_rate, growth_rate, 3, padding=1), nn.ReLU())
                for layer in range(layers)
            ]
        )
        self.fusion = nn.Conv2d(features + layers * growth_rate, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus the fused features."""
        return x + self.fusion(self.dense(x))


class RDN(nn.Module):
    """Enlarge images [B, in_channels, H, W] to [B, out_channels, s·H, s·W], s = `upscale_factor`, any H and W.

    Intensities are expected around [0, 1]; the output is not clamped. Layout as in Zhang et al. 2018, figure 2: two
    3×3 convolutions, `num_blocks` residual dense blocks, a 1×1 and a 3×3 convolution over what all of them give, a skip
    to the first convolution, one pixel shuffle ×2 per factor of two, and a 3×3 convolution.

    The RDN paper's 16 blocks make 22.3 million parameters for ×4, 22.1 for ×2: its 22 M. RIRGAN's baseline has 8 blocks
    (section 4.2) and 17.2 million (table 1). The two disagree: 8 blocks make 11.3 million here, and no 8 blocks of up
    to 16 layers with a growth rate of 32, 64 or 128 come to 17.2. 16 blocks of 7 layers do, less the upsampling.

    Args:
        in_channels: channels of the degraded image.
        out_channels: channels of the enlarged image.
        num_blocks: residual dense blocks, D in the RDN paper.
        features: channels between the blocks, G0.
        upscale_factor: 2 or 4.
        norm: "none"; the other enhancement networks have a choice here.
        growth_rate: channels that each layer of a block adds, G.
        layers_per_block: layers of a block, C.

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
        growth_rate: int = 64,
        layers_per_block: int = 8,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, num_blocks=num_blocks, features=features)
        check_sizes(name, growth_rate=growth_rate, layers_per_block=layers_per_block)
        check_choice(name, "upscale_factor", upscale_factor, UPSCALE_FACTORS)
        check_choice(name, "norm", norm, NORMS)
        self.head = nn.Conv2d(in_channels, features, 3, padding=1)
        self.entry = nn.Conv2d(features, features, 3, padding=1)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(features, growth_rate, layers_per_block) for _ in range(num_blocks)
        )
        self.fusion = nn.Sequential(
            nn.Conv2d(num_blocks * features, features, 1), nn.Conv2d(features, features, 3, padding=1)
        )
        self.upsampling = nn.Sequential(*(_upsampling(features) for _ in range(upscale_factor // 2)))
        self.tail = nn.Conv2d(features, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images [B, in_channels, H, W]."""
        shallow = self.head(x)
        features = self.entry(shallow)
        hierarchy = []
        for block in self.blocks:
            features = block(features)
            hierarchy.append(features)
        return self.tail(self.upsampling(shallow + self.fusion(torch.cat(hierarchy, 1))))


def _upsampling(features: int) -> nn.Sequential:
    """Return conv and pixel shuffle: [B, features, H, W] to [B, features, 2·H, 2·W]."""
    return nn.Sequential(nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2))
