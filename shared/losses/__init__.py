"""Loss functions that MONAI and torch have not."""

from __future__ import annotations

from shared.losses.adversarial import LeastSquaresAdversarial, RelativisticAverage, VanillaAdversarial
from shared.losses.perceptual import FeatureLoss
from shared.losses.pixel import PixelLoss
from shared.losses.total_variation import TotalVariation
from shared.losses.weighted_terms import WeightedTerms

__all__ = [
    "FeatureLoss",
    "LeastSquaresAdversarial",
    "PixelLoss",
    "RelativisticAverage",
    "TotalVariation",
    "VanillaAdversarial",
    "WeightedTerms",
]
