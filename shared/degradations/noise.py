"""Noise: white Gaussian, speckle, Poisson, salt and pepper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from shared.degradations.base import Degradation, finite_number
from shared.errors import InputError


class GaussianNoise(Degradation):
    """White Gaussian noise X = Y + σ·n, n ~ N(0, 1) in every pixel and channel.

    Args:
        sigma: standard deviation σ on the [0, 1] intensity scale, >= 0; or a range (low, high), from which σ is
            drawn uniformly for each image and reported as the parameter "sigma".

    Raises:
        InputError: when sigma is negative, not finite, or not a range low <= high.
    """

    def __init__(self, sigma: float | Sequence[float]) -> None:
        name = type(self).__name__
        is_range = isinstance(sigma, Sequence) and not isinstance(sigma, str)
        bounds = list(sigma) if isinstance(sigma, Sequence) and is_range else [sigma, sigma]
        if len(bounds) != 2:
            raise InputError(f"sigma of {name} must be a number or a pair (low, high), found {sigma!r}")
        low, high = (finite_number(f"sigma of {name}", bound) for bound in bounds)
        if low < 0 or high < low:
            raise InputError(f"sigma of {name} must satisfy 0 <= low <= high, found {sigma!r}")
        self.low, self.high, self.is_range = low, high, is_range

    def draw(self, random: np.random.Generator) -> dict[str, float]:
        """Draw σ from its range; nothing is drawn when σ is fixed."""
        return {"sigma": float(random.uniform(self.low, self.high))} if self.is_range else {}

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Add the noise; shapes and values as in `Degradation`."""
        return self._noise(image, random, parameters).add_(image)

    def _noise(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None
    ) -> torch.Tensor:
        parameters = self.draw(random) if parameters is None else parameters
        noise = random.standard_normal(tuple(image.shape), dtype=np.float32)
        return torch.from_numpy(noise).to(image.device).mul_(parameters.get("sigma", self.low))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma={(self.low, self.high) if self.is_range else self.low})"


class SpeckleNoise(GaussianNoise):
    """Speckle X = Y + σ·n·Y, n ~ N(0, 1) in every pixel and channel: noise that grows with the intensity.

    This is the speckle of image processing libraries (scikit-image's ``random_noise``), pixel by pixel. Speckle in
    ultrasound is correlated and not Gaussian. Not in the GradProm paper.

    Args:
        sigma: standard deviation σ of the factor, >= 0, or a range as in `GaussianNoise`.

    Raises:
        InputError: when sigma is negative, not finite, or not a range low <= high.
    """

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Multiply by 1 + σ·n; shapes and values as in `Degradation`."""
        return self._noise(image, random, parameters).mul_(image).add_(image)


class PoissonNoise(Degradation):
    """Poisson noise X = r·Poisson(max(Y, 0) / r): mean Y, variance r·Y.

    The paper names a rate (0.1) and no formula; this reading makes the noise grow with the rate. Negative values,
    which earlier Gaussian noise leaves behind, count as 0.

    Args:
        rate: r > 0, the intensity of one count on the [0, 1] scale.

    Raises:
        InputError: when rate is not a positive finite number.
    """

    def __init__(self, rate: float) -> None:
        self.rate = finite_number("rate of PoissonNoise", rate)
        if self.rate <= 0:
            raise InputError(f"rate of PoissonNoise must be > 0, found {rate!r}")

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Replace each value by scaled Poisson counts; shapes and values as in `Degradation`."""
        counts = random.poisson((image.clamp(min=0) / self.rate).cpu().numpy()).astype(np.float32)
        return torch.from_numpy(counts).to(image.device).mul_(self.rate)

    def __repr__(self) -> str:
        return f"PoissonNoise(rate={self.rate})"


class SaltAndPepperNoise(Degradation):
    """Set each value, with some probability, to 0 or to 1, either with equal chance. Not in the GradProm paper.

    Channels are hit independently, as by scikit-image's ``random_noise``.

    Args:
        probability: of a value to be replaced, in [0, 1].

    Raises:
        InputError: when probability is no number in [0, 1].
    """

    def __init__(self, probability: float) -> None:
        self.probability = finite_number("probability of SaltAndPepperNoise", probability)
        if not 0 <= self.probability <= 1:
            raise InputError(f"probability of SaltAndPepperNoise must be in [0, 1], found {probability!r}")

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Replace values; shapes and values as in `Degradation`."""
        chance = torch.from_numpy(random.random(tuple(image.shape), dtype=np.float32)).to(image.device)
        salt, hit = chance < self.probability / 2, chance < self.probability
        return torch.where(hit, salt.to(image.dtype), image)

    def __repr__(self) -> str:
        return f"SaltAndPepperNoise(probability={self.probability})"
