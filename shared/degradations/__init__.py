"""Degradations that make a degraded image X out of a clean image Y."""

from shared.degradations.base import Degradation
from shared.degradations.chains import challenging
from shared.degradations.dictionary import Degraded
from shared.degradations.noise import (
    GaussianNoise,
    LocalVarianceNoise,
    PoissonNoise,
    RicianNoise,
    SaltAndPepperNoise,
    SpeckleNoise,
)
from shared.degradations.resolution import BicubicDownsample, GaussianBlur

__all__ = [
    "BicubicDownsample",
    "Degradation",
    "Degraded",
    "GaussianBlur",
    "GaussianNoise",
    "LocalVarianceNoise",
    "PoissonNoise",
    "RicianNoise",
    "SaltAndPepperNoise",
    "SpeckleNoise",
    "challenging",
]
