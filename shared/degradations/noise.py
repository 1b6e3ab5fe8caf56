"""Noise: Gaussian, of local variance, speckle, Rician, Poisson, salt and pepper."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from torch.nn import functional

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
        self._set_sigma(sigma)

    def _set_sigma(self, sigma: float | Sequence[float]) -> None:
        name = type(self).__name__
        is_range = isinstance(sigma, Sequence) and not isinstance(sigma, str)
        bounds = list(sigma) if isinstance(sigma, Sequence) and is_range else [sigma, sigma]
        if len(bounds) != 2:
            raise InputError(f"sigma of {name} must be a number or a pair (low, high), found {sigma!r}")
        low, high = (finite_number(f"sigma of {name}", bound) for bound in bounds)
        if low < 0 or high < low:
            raise InputError(f"sigma of {name} must satisfy 0 <= low <= high, found {sigma!r}")
        self.low, self.high, self.is_range = low, high, is_range

    def with_sigma(self, sigma: float | Sequence[float]) -> Self:
        """Return noise of the same kind with another σ, or range of it.

        Raises:
            InputError: as the constructor.
        """
        other = copy.copy(self)
        other._set_sigma(sigma)
        return other

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


class LocalVarianceNoise(GaussianNoise):
    """Gaussian noise whose strength differs from place to place: X = Y + σ·√v·n, n ~ N(0, 1).

    By default v is 1 everywhere, and this is `GaussianNoise`: scikit-image's ``random_noise(mode="localvar")`` is its
    Gaussian by default, too. The RIRGAN paper's "Localvar" (table 5) names no other variances.

    Args:
        sigma: σ as in `GaussianNoise`.
        local_vars: v, rows of variances relative to σ², >= 0. Enlarged bilinearly to every image, so that one map
            serves images of all sizes; in training it covers the crop. One of the image's own size is taken as it is.

    Raises:
        InputError: when sigma breaks its rule, or local_vars are no such rows.
    """

    def __init__(self, sigma: float | Sequence[float], local_vars: Sequence[Sequence[float]] = ((1.0,),)) -> None:
        super().__init__(sigma)
        rule = "local_vars of LocalVarianceNoise must be rows of numbers >= 0, all equally long"
        try:
            self.local_vars = np.asarray(local_vars, dtype=np.float64)
        except (TypeError, ValueError) as err:
            raise InputError(f"{rule}, found {local_vars!r}") from err
        is_map = self.local_vars.ndim == 2 and self.local_vars.size > 0
        if not (is_map and np.isfinite(self.local_vars).all() and (self.local_vars >= 0).all()):
            raise InputError(f"{rule}, found {local_vars!r}")

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Add the noise; shapes and values as in `Degradation`."""
        rough = torch.from_numpy(self.local_vars).float()[None, None]
        variances = functional.interpolate(rough, size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        return self._noise(image, random, parameters).mul_(variances.sqrt().to(image.device)).add_(image)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, local_vars={self.local_vars.tolist()})"


class RicianNoise(GaussianNoise):
    """Noise of MR magnitude images: X = √((Y + σ·n₁)² + (σ·n₂)²), n₁ and n₂ ~ N(0, 1) in every pixel and channel.

    A scanner measures a complex signal with Gaussian noise of deviation σ in either part, and shows its magnitude
    (Gudbjartsson and Patz, Magn. Reson. Med. 34:910, 1995). So X is never negative. Where Y = 0 it follows a Rayleigh
    distribution of mean σ·√(π/2); where Y > 3σ it is nearly Gaussian, of mean Y + σ²/(2Y). Not in the papers.

    Args:
        sigma: σ, >= 0, or a range as in `GaussianNoise`: relative to the maximum of the image, which is 1 here.

    Raises:
        InputError: when sigma is negative, not finite, or not a range low <= high.
    """

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Take the magnitude of the noisy complex signal; shapes and values as in `Degradation`."""
        parameters = self.draw(random) if parameters is None else parameters  # one σ for both parts
        real = self._noise(image, random, parameters).add_(image)
        return real.hypot_(self._noise(image, random, parameters))


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
    """Set each value, with some probability, to 1 (salt) or to 0 (pepper). Not in the GradProm paper.

    Channels are hit independently, as by scikit-image's ``random_noise``, whose modes "s&p", "salt" and "pepper" are
    ``salt_share`` 0.5, 1 and 0.

    Args:
        probability: of a value to be replaced, in [0, 1]; scikit-image's default is 0.05.
        salt_share: share of salt among the replaced values, in [0, 1].

    Raises:
        InputError: when one of them is no number in [0, 1].
    """

    def __init__(self, probability: float, salt_share: float = 0.5) -> None:
        for name, value in (("probability", probability), ("salt_share", salt_share)):
            if not 0 <= finite_number(f"{name} of SaltAndPepperNoise", value) <= 1:
                raise InputError(f"{name} of SaltAndPepperNoise must be in [0, 1], found {value!r}")
        self.probability, self.salt_share = float(probability), float(salt_share)

    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Replace values; shapes and values as in `Degradation`."""
        chance = torch.from_numpy(random.random(tuple(image.shape), dtype=np.float32)).to(image.device)
        salt, hit = chance < self.probability * self.salt_share, chance < self.probability
        return torch.where(hit, salt.to(image.dtype), image)

    def __repr__(self) -> str:
        return f"SaltAndPepperNoise(probability={self.probability}, salt_share={self.salt_share})"
