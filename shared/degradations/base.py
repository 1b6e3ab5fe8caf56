"""What every degradation has in common, and the checks of its arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import torch

from shared.errors import InputError


class Degradation(ABC):
    """One degradation of one image; it holds settings only, and its state never changes when it is called.

    `Degraded` makes a MONAI transform out of a list of them. Randomness comes from the generator that the caller
    passes in, so one instance may serve any number of images, workers and threads. `draw` gives the parameters that
    differ from image to image (an empty dict when nothing is drawn); they go to the call, and from there to a log.
    """

    def draw(self, random: np.random.Generator) -> dict[str, float]:
        """Draw the parameters of one image by name."""
        return {}

    def with_sigma(self, sigma: float | Sequence[float]) -> Self:
        """Return the same degradation with another σ; one that has none is returned as it is.

        So a test may have noise of one strength where training has a range, whatever kind of noise an overlay puts
        there: ``"test_noise": "$@noise.with_sigma(@test_sigma)"``.
        """
        return self

    @abstractmethod
    def __call__(
        self, image: torch.Tensor, random: np.random.Generator, parameters: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """Return a degraded copy of `image`.

        Args:
            image: [C, H, W], float32, clean intensities in [0, 1]; never changed in place.
            random: source of all randomness.
            parameters: what `draw` returned; drawn here when left out.

        Returns:
            [C, H', W'], float32, not clipped: in a chain the next degradation sees the values as they are.
        """


def finite_number(name: str, value: Any) -> float:
    """Return `value` as a float, or raise an InputError that names it."""
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
        raise InputError(f"{name} must be a finite number, found {value!r}")
    return float(value)


def whole_number(name: str, value: Any) -> int:
    """Return `value` as an int, or raise an InputError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name} must be a whole number, found {value!r}")
    return int(value)
