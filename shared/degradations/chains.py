"""Chains of degradations that the paper names."""

from __future__ import annotations

from shared.degradations.base import Degradation
from shared.degradations.noise import GaussianNoise, PoissonNoise
from shared.degradations.resolution import GaussianBlur


def challenging(
    sigma: float = 0.3, rate: float = 0.1, kernel_size: int = 3, blur_sigma: float = 2.0
) -> list[Degradation]:
    """Return the GradProm paper's challenging scenario (table 3): Gaussian noise, then Poisson noise, then blur.

    Args:
        sigma: standard deviation of the Gaussian noise, on the [0, 1] scale.
        rate: rate of the Poisson noise, see `PoissonNoise`.
        kernel_size: size of the blur kernel in pixels, odd.
        blur_sigma: standard deviation of the blur in pixels.

    Raises:
        InputError: from the degradation whose argument breaks its rule.
    """
    return [GaussianNoise(sigma), PoissonNoise(rate), GaussianBlur(kernel_size, blur_sigma)]
