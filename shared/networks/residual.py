"""Enhancement networks made of MONAI's: any network as a residual one, a Restormer, a small UNet."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.nets import UNet
from monai.networks.nets.restormer import Restormer as MonaiRestormer
from monai.utils import optional_import
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import InputError
from shared.networks.arguments import check_same_channels, check_sizes

UPSCALE_FACTORS = (1, 2, 4)
UNET_NORMS = {"batch": "batch", "instance": "instance", "none": None}
RESTORMER_NORMS = ("layer", "layer_without_bias")


class ResidualEnhancement(nn.Module):
    """Make an enhancement network of one that maps [B, C, H, W] to [B, C, H, W] and is choosy about H and W.

    The image, enlarged by bicubic interpolation for super-resolution, is padded at the bottom and right (replicating
    the border) to what the network accepts; the network's answer, cropped back, is the correction that is added.
    Intensities are expected around [0, 1]; the output [B, C, s·H, s·W], s = `upscale_factor`, is not clamped.

    How much is padded is fixed where ``torch.export`` or ONNX follow one image: give them heights and widths that are
    multiples of `divisible_by`, as ``8 * torch.export.Dim("height")`` for 8. TorchScript takes any size.

    Args:
        network: predicts the correction.
        divisible_by: H and W of its input are multiples of this.
        minimum: smallest H and W of its input.
        upscale_factor: 1 (denoising), 2 or 4.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, network: nn.Module, divisible_by: int = 1, minimum: int = 1, upscale_factor: int = 1) -> None:
        super().__init__()
        check_sizes(type(self).__name__, divisible_by=divisible_by, minimum=minimum)
        if type(upscale_factor) is not int or upscale_factor not in UPSCALE_FACTORS:
            raise InputError(
                f"{type(self).__name__}: upscale_factor must be one of {UPSCALE_FACTORS}, found {upscale_factor!r}"
            )
        self.network = network
        self.divisible_by = divisible_by
        self.minimum = minimum
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """Enhance images [B, C, H, W] of any size."""
        x = enlarge(x, self.upscale_factor)
        height, width = x.shape[-2:]
        bottom, right = self._missing(height), self._missing(width)
        padded = functional.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
        return x + self.network(padded)[..., :height, :width]

    def _missing(self, size: int) -> int:
        wanted = max(size, self.minimum)
        return wanted + -wanted % self.divisible_by - size


class Restormer(ResidualEnhancement):
    """MONAI's Restormer (Zamir et al. 2022) as an enhancement network, with the arguments that `SRResNet` has.

    MONAI's leaves out the skip from input to output of the paper; here it is, and the last convolution starts at
    zero: an untrained network returns its input. ``torch.export`` and ONNX take it; TorchScript does not, because
    MONAI's calls its parent class in a way that cannot be scripted.

    Args:
        in_channels: channels of the degraded image.
        out_channels: channels of the enhanced image, equal to `in_channels`.
        num_blocks: transformer blocks per resolution, the full one first; each further entry halves it.
        features: channels at full resolution, a multiple of 4; they double with each halving (the paper: 48).
        upscale_factor: 1 (denoising), 2 or 4 (on the bicubically enlarged image).
        norm: "layer" or "layer_without_bias" (for the paper's Gaussian denoising).
        heads: attention heads per resolution; 1, 2, 4, ... when left out.
        num_refinement_blocks: further blocks at full resolution.

    Raises:
        InputError: an argument is out of its range, or the package einops, which MONAI's needs, is not installed.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: Sequence[int] = (1, 2, 2, 4),
        features: int = 24,
        upscale_factor: int = 1,
        norm: str = "layer",
        heads: Sequence[int] | None = None,
        num_refinement_blocks: int = 2,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, features=features, num_refinement_blocks=num_refinement_blocks)
        check_same_channels(name, in_channels, out_channels)
        if not optional_import("einops")[1]:
            raise InputError(f"{name}: found no package einops, which MONAI's Restormer needs; pip install einops")
        blocks = _list(name, "num_blocks", num_blocks)
        heads = [2**level for level in range(len(blocks))] if heads is None else _list(name, "heads", heads)
        if len(blocks) < 2 or len(heads) != len(blocks):
            raise InputError(f"{name}: num_blocks and heads must be lists of one length >= 2, found {blocks}, {heads}")
        bad = [h for level, h in enumerate(heads) if features * 2**level % h]
        if features % 4 or bad:
            raise InputError(f"{name}: features must be a multiple of 4 and of its level's heads, found {features}")
        if norm not in RESTORMER_NORMS:
            raise InputError(f"{name}: norm must be one of {RESTORMER_NORMS}, found {norm!r}")
        network = MonaiRestormer(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            dim=features,
            num_blocks=tuple(blocks),
            heads=tuple(heads),
            num_refinement_blocks=num_refinement_blocks,
            layer_norm_use_bias=norm == "layer",
        )
        _zero(network.output)
        steps = 2 ** (len(blocks) - 1)
        # MONAI's asks for more than 2^steps pixels, not for as many.
        super().__init__(network, divisible_by=steps, minimum=2 * steps, upscale_factor=upscale_factor)


class SmallUNet(ResidualEnhancement):
    """MONAI's UNet with four resolutions as an enhancement network, with the arguments that `SRResNet` has.

    A last 3×3 convolution, which starts at zero, follows it: an untrained network returns its input.

    Args:
        in_channels: channels of the degraded image.
        out_channels: channels of the enhanced image, equal to `in_channels`.
        num_blocks: convolutions in each residual unit.
        features: channels at full resolution; they double with each halving.
        upscale_factor: 1 (denoising), 2 or 4 (on the bicubically enlarged image).
        norm: "batch", "instance" or "none" (what comes out does not depend on batch or size of the window).

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: int = 2,
        features: int = 32,
        upscale_factor: int = 1,
        norm: str = "none",
    ) -> None:
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, num_blocks=num_blocks, features=features)
        check_same_channels(name, in_channels, out_channels)
        if norm not in UNET_NORMS:
            raise InputError(f"{name}: norm must be one of {tuple(UNET_NORMS)}, found {norm!r}")
        unet = UNet(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=features,
            channels=[features * 2**level for level in range(4)],
            strides=[2, 2, 2],
            num_res_units=num_blocks,
            norm=UNET_NORMS[norm],  # type: ignore[arg-type]  # None is no norm, in the blocks that the UNet makes
        )
        tail = Convolution(2, features, out_channels, kernel_size=3, conv_only=True)
        _zero(tail)
        # Instance norm needs more than one pixel at the lowest resolution.
        super().__init__(nn.Sequential(unet, tail), divisible_by=8, minimum=16, upscale_factor=upscale_factor)


class Enlarge(nn.Module):
    """No enhancement: return images [B, C, H, W] as they are, or enlarged by bicubic interpolation.

    Args:
        factor: of H and W.
    """

    def __init__(self, factor: int = 1) -> None:
        super().__init__()
        check_sizes(type(self).__name__, factor=factor)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, factor·H, factor·W]."""
        return enlarge(x, self.factor)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Return images [B, C, H, W] enlarged by bicubic interpolation to [B, C, factor·H, factor·W]."""
    if factor == 1:
        return images
    # By size, not by scale_factor: torch.export then knows the result's height as a multiple of the image's.
    height, width = images.shape[-2:]
    return functional.interpolate(images, size=[height * factor, width * factor], mode="bicubic", align_corners=False)


def enlarge_to(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images [B, C, H, W] at another size (H, W), by bicubic interpolation; as they are at that size."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return functional.interpolate(images, size=tuple(size), mode="bicubic", align_corners=False)


def _list(owner: str, name: str, values: Sequence[int]) -> list[int]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InputError(f"{owner}: {name} must be a list of integers, found {values!r}")
    for value in values:
        check_sizes(owner, **{name: value})
    return list(values)


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
