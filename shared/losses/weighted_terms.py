"""A loss that is the weighted sum of others, whose values can be looked at one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor, nn

from shared.errors import InputError, did_you_mean, nearest
from shared.losses.image_terms import require_equal_shapes


class WeightedTerms(nn.Module):
    """Sum of weight · term(prediction, target) (RIRGAN, equation 15, without its adversarial term).

    The adversarial term needs a discriminator that learns, and so comes from
    :class:`~shared.handlers.AdversarialHandler`. A term that is None or has the weight 0 is left out: it is neither
    computed nor reported.

    Args:
        terms: losses by name, each called ``term(prediction, target)`` with images [B, C, H, W]; None for a loss that
            the configuration switched off.
        weights: their weights by the same names.

    Attributes:
        values: last value of each term by name, without its weight and its graph, on its device.

    Raises:
        InputError: when the names differ (a weight of 0 needs no term), a weight is negative or not finite, all terms
            are left out, or (in a call) prediction and target differ in shape.
    """

    def __init__(self, terms: Mapping[str, nn.Module | None], weights: Mapping[str, float]) -> None:
        super().__init__()
        _check_names(terms, weights)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise InputError(f"weights#{name}: expected a finite value >= 0, found {weight!r}")
        self.terms = nn.ModuleDict({name: term for name, term in terms.items() if term is not None and weights[name]})
        if not self.terms:
            raise InputError(
                f"terms: expected one at least that is not None and has a weight above 0, found {list(terms)} with "
                f"weights {dict(weights)}"
            )
        self.weights = {name: float(weights[name]) for name in self.terms}
        self.values: dict[str, Tensor] = {}

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the sum without dimensions."""
        require_equal_shapes(prediction, target)
        prediction, target = _plain(prediction), _plain(target)
        values = {name: term(prediction, target) for name, term in self.terms.items()}
        self.values = {name: value.detach() for name, value in values.items()}
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()


def _plain(images: Tensor) -> Tensor:
    """Return a plain tensor: MetaTensor would track meta-data through every operation."""
    return images.as_tensor() if isinstance(images, MetaTensor) else images


def _check_names(terms: Mapping[str, nn.Module | None], weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        # A configuration drops a term that is None, and can give its weight as 0.
        if name not in terms and weight:
            hint = did_you_mean(nearest(name, terms))
            raise InputError(f"weights: expected the names of terms, {list(terms)}, found {name!r}{hint}")
    for name in terms:
        if name not in weights:
            raise InputError(f"weights: expected one for each term, {list(terms)}, found none for {name!r}")
