"""Blur and down-sampling: degradations that lose detail and draw nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from monai.networks.layers import gaussian_1d, separable_filtering
from torch.nn import functional

from shared.degradations.base import Degradation, finite_number, whole_number
from shared.errors import InputError


class GaussianBlur(Degradation):
    """Blur with a Gaussian sampled at `kernel_size` x `kernel_size` pixels and normalised to sum 1.

    Borders are mirrored without repeating the edge pixel, so that they grow neither darker nor brighter.

    Args:
        kernel_size: odd number of pixels, >= 3.
        sigma: standard deviation of the Gaussian in pixels, > 0. The kernel is cut off at its size: 3 pixels with
            σ = 2.0, the paper's setting, are nearly a box filter.

    Raises:
        InputError: on arguments outside these rules, or an image not larger than the kernel's radius.
    """

    def __init__(self, kernel_size: int, sigma: float) -> None:
        self.kernel_size = whole_number("kernel_size of GaussianBlur", kernel_size)
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size of GaussianBlur must be odd and >= 3, found {kernel_size!r}")
        self.sigma = finite_number("sigma of GaussianBlur", sigma)
        if self.sigma <= 0:
            raise InputError(f"sigma of GaussianBlur must be > 0, found {sigma!r}")
        radius = self.kernel_size // 2
        # MONAI takes the cut-off in standard deviations and rounds it to whole pixels.
        self.kernel = gaussian_1d(torch.tensor(self.sigma), radius / self.sigma, approx="sampled", normalize=True)

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Blur each channel; the size stays. Shapes and values as in `Degradation`."""
        if min(image.shape[-2:]) <= self.kernel_size // 2:
            raise InputError(
                f"an image of {image.shape[-2]}x{image.shape[-1]} pixels is too small for {self}: "
                f"expected more than {self.kernel_size // 2} pixels in both directions"
            )
        return separable_filtering(image[None], [self.kernel, self.kernel], mode="reflect")[0]

    def __repr__(self) -> str:
        return f"GaussianBlur(kernel_size={self.kernel_size}, sigma={self.sigma})"


class BicubicDownsample(Degradation):
    """Anti-aliased bicubic down-sampling by a whole factor γ, the usual input of super-resolution.

    H x W becomes floor(H / γ) x floor(W / γ). Where γ does not divide the size, the sampling grid is stretched over
    the whole image; a network that enlarges by γ then gives a smaller image than the clean one, so sizes for
    super-resolution should be multiples of γ.

    Args:
        factor: γ, a whole number from 2 to 8 (the paper: 2 and 4).

    Raises:
        InputError: when factor is outside its range, or an image is smaller than γ pixels.
    """

    def __init__(self, factor: int) -> None:
        self.factor = whole_number("factor of BicubicDownsample", factor)
        if not 2 <= self.factor <= 8:
            raise InputError(f"factor of BicubicDownsample must lie in 2..8, found {factor!r}")

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Shrink each channel; shapes and values as in `Degradation`."""
        height, width = image.shape[-2] // self.factor, image.shape[-1] // self.factor
        if min(height, width) < 1:
            raise InputError(
                f"an image of {image.shape[-2]}x{image.shape[-1]} pixels is too small for {self}: "
                f"expected at least {self.factor} pixels in both directions"
            )
        shrunk = functional.interpolate(
            image[None], size=(height, width), mode="bicubic", align_corners=False, antialias=True
        )
        return shrunk[0]

    def __repr__(self) -> str:
        return f"BicubicDownsample(factor={self.factor})"
