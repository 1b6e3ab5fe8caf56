"""A guard for what nobody thought of: whether a result differs from its source by more than noise removal explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTRAST = 0.5
"""A result has lost too much where its contrast is less than this part of its source's."""

SHIFT = 0.1
"""A mean may move by this part of the range [0, 1]."""

CHANGED = "changed more than noise removal explains"
"""What every message of the guard says, for those who count them."""

_PERCENTILES = (1, 99)
_SAMPLES = 2**20
_SPAN = (-0.5, 1.5)
_CELLS = 800


def suspicious_change(source: Any, enhanced: Any) -> str | None:
    """Compare an enhanced image with its source.

    Contrast is the distance between the percentiles 1 and 99. Of a large image every k-th value is looked at, a million
    or two in all.

    Args:
        source: what the network saw, around [0, 1]; None where that is not known.
        enhanced: what it gave, of any size.

    Returns:
        What is suspicious, as a part of a sentence; None where nothing is.
    """
    if source is None:
        return None
    before, after = _sample(source), _sample(enhanced)
    contrast, kept = (float(np.subtract(*np.percentile(values, _PERCENTILES[::-1]))) for values in (before, after))
    return describe_change(contrast, kept, float(before.mean()), float(after.mean()))


class ChangeInParts:
    """The same comparison of images that are never in memory at once, a part after the other.

    Percentiles are those of a histogram: as wide as one of its cells, a four-hundredth of the range, is what they may
    be off.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((2, _CELLS), np.int64)
        self._sums = np.zeros(2)

    def add(self, source: Any, enhanced: Any) -> None:
        """Count the values of a part of the source and of the same part of the result."""
        for row, values in enumerate(map(_sample, (source, enhanced))):
            self._counts[row] += np.histogram(values.clip(*_SPAN), _CELLS, _SPAN)[0]
            self._sums[row] += float(values.sum(dtype=np.float64))

    def suspicious(self) -> str | None:
        """What :func:`suspicious_change` would say."""
        if not self._counts.any():
            return None
        totals = self._counts.sum(axis=1)
        edges = np.linspace(*_SPAN, _CELLS + 1)[1:]
        ends = [
            [edges[np.searchsorted(np.cumsum(counts), total * part / 100)] for part in _PERCENTILES]
            for counts, total in zip(self._counts, totals, strict=True)
        ]
        contrast, kept = (float(high - low) for low, high in ends)
        return describe_change(contrast, kept, *(float(mean) for mean in self._sums / totals))


def describe_change(contrast: float, kept: float, mean: float, new_mean: float) -> str | None:
    """Say what is suspicious about an image that had one contrast and mean and has another."""
    found = []
    if kept < CONTRAST * contrast:
        found.append(f"its contrast fell to {kept / contrast:.0%} of the source's")
    if abs(new_mean - mean) > SHIFT:
        found.append(f"its mean moved by {new_mean - mean:+.2f} of the range")
    return f"the result {CHANGED}: {' and '.join(found)}" if found else None


def _sample(values: Any) -> NDArray[np.float32]:
    flat = np.asarray(values, np.float32).reshape(-1)
    # An odd step: an even one would meet the same columns of every row.
    return flat[:: max(1, flat.size // _SAMPLES) | 1]
