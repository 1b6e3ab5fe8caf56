"""The discriminator of SRGAN, which RIRGAN takes over: is this image a real one?"""

from __future__ import annotations

from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.arguments import check_sizes

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
POOLED = 6
HIDDEN = 1024
SLOPE = 0.2
SMALLEST = 32


class SRGANDiscriminator(nn.Module):
    """Judge images [B, in_channels, H, W], H and W at least 32: logits [B, 1], high for what looks real.

    Layout as in SRGAN (Ledig et al. 2017, figure 4), with the widths of RIRGAN's section 4.3: eight 3×3 convolutions
    with strides 1 and 2 in turn, batch norm on all but the first, LeakyReLU of slope 0.2; then a dense layer of 1024
    and one of 1. There is no sigmoid at the end: the losses of this project take logits. With three channels there are
    23,565,505 parameters, among them the convolutions' biases, which a batch norm after them cancels.

    Neither paper says how the dense layers cope with images of any size. Here the maps are averaged to 6×6 before them,
    which is what crops of 96×96, the papers' size, have anyway. 32 is the least size because that leaves 2×2 maps:
    in training, batch norm cannot normalise a batch of one at 1×1.

    Images need no other range than the generator's [0, 1]: the first convolution has a bias. Batch norm takes its
    statistics from the batch: real and restored images are passed in two calls.

    Args:
        in_channels: channels of the images.

    Raises:
        InputError: `in_channels` is not an integer of at least 1, or an image is smaller than 32×32.
    """

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        check_sizes(type(self).__name__, in_channels=in_channels)
        layers: list[nn.Module] = []
        previous = in_channels
        for position, width in enumerate(WIDTHS):
            layers.append(nn.Conv2d(previous, width, 3, stride=1 + position % 2, padding=1))
            if position > 0:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(SLOPE))
            previous = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(POOLED)
        self.classifier = nn.Sequential(
            nn.Linear(previous * POOLED * POOLED, HIDDEN), nn.LeakyReLU(SLOPE), nn.Linear(HIDDEN, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, 1] for images [B, in_channels, H, W]."""
        height, width = x.shape[-2:]
        if min(height, width) < SMALLEST:
            raise InputError(
                f"{type(self).__name__}: images must be at least {SMALLEST}x{SMALLEST} pixels, found {height}x{width}"
            )
        return self.classifier(self.pool(self.features(x)).flatten(1))
