"""What a scaling rule may ask about the values of an image, and which of them are outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

USUAL = (0.1, 99.9)
"""Percentiles between which "minmax" takes intensities for usual ones."""

HEADROOM = 0.1
"""Part of the usual range by which a value may leave it and still be a part of the image."""

FEW = 100
"""With fewer values an image has no outliers: they would be one in a hundred."""


class Statistics(Protocol):
    """What a rule may ask about the stored values of an image."""

    @property
    def count(self) -> int:
        """Number of values."""

    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles, as ``numpy.percentile`` gives them."""

    def inner_percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles, each the next value of the image towards the middle: nothing is interpolated."""

    def percentile_beyond(self, limit: float, percentile: float) -> float | None:
        """Upper percentile (above 50) of the values above ``limit``, or lower percentile of those below it, as
        :meth:`inner_percentiles` gives it; None where there is no such value.
        """

    def nearest_inside(self, lower: float, upper: float) -> tuple[float, float]:
        """Smallest and largest of the values from ``lower`` to ``upper``."""


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of values in memory."""

    pixels: NDArray

    @property
    def count(self) -> int:
        """Number of values."""
        return self.pixels.size

    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return float(self.pixels.min()), float(self.pixels.max())

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles, interpolated."""
        low, high = np.percentile(self.pixels, (lower, upper))
        return float(low), float(high)

    def inner_percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles, each a value of the image."""
        return float(np.percentile(self.pixels, lower, method="higher")), float(
            np.percentile(self.pixels, upper, method="lower")
        )

    def percentile_beyond(self, limit: float, percentile: float) -> float | None:
        """A percentile of the values on one side of ``limit``."""
        is_upper = percentile > 50
        chosen = self.pixels[self.pixels > limit if is_upper else self.pixels < limit]
        if not chosen.size:
            return None
        return PixelStatistics(chosen).inner_percentiles(0, percentile)[1] if is_upper else (
            PixelStatistics(chosen).inner_percentiles(percentile, 100)[0]
        )

    def nearest_inside(self, lower: float, upper: float) -> tuple[float, float]:
        """Smallest and largest of the values from ``lower`` to ``upper``."""
        return PixelStatistics(self.pixels[(self.pixels >= lower) & (self.pixels <= upper)]).range()


def without_outliers(statistics: Statistics, inverted: bool) -> tuple[float, float]:
    """Smallest and largest stored value that is no outlier."""
    lowest, highest = statistics.range()
    if statistics.count < FEW:
        return lowest, highest
    low, high = statistics.inner_percentiles(*USUAL)
    # The background of an inverted image has large stored values.
    bright = statistics.percentile_beyond(high if inverted else low, USUAL[0] if inverted else USUAL[1])
    if bright is None:
        return lowest, highest
    low, high = (bright, high) if inverted else (low, bright)
    reach = HEADROOM * (high - low)
    if low - reach <= lowest and highest <= high + reach:
        return lowest, highest
    return statistics.nearest_inside(low - reach, high + reach)
