"""Exact range and percentiles of values that are read in parts, as often as needed, and never held at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError

_DIGIT = 16
"""Bits of a value that one pass looks at."""


class StreamedStatistics:
    """Statistics as :class:`~shared.images.value_statistics.Statistics` wants them, NumPy's of the whole array.

    A pass over the values finds the range. Percentiles are exact order statistics, found by counting 16 bits per
    pass: two passes for float32, four for float64; besides one part of the values, 2 MiB are held.

    Args:
        parts: begins a new pass over the values, part by part; integers or real numbers of one type.
        name: of the image, for the message.

    Raises:
        InputError: a value is NaN or infinite (by the first call of a method).
    """

    def __init__(self, parts: Callable[[], Iterator[NDArray]], name: str) -> None:
        self.parts = parts
        self.name = name
        self._count = 0
        self._dtype = np.dtype(np.float32)
        self._range: tuple[float, float] | None = None

    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""
        if self._range is None:
            self._range = self._find_range()
        return self._range

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles in [0, 100], between the two nearest values by linear interpolation."""
        self.range()
        positions = [(self._count - 1) * (percentile / 100) for percentile in (lower, upper)]
        before = [int(position) for position in positions]
        after = [min(rank + 1, self._count - 1) for rank in before]
        values = self._order_statistics([*before, *after])
        low, high = (
            # NumPy's own interpolation, so that its rounding is the same.
            float(np.quantile(values[k::2], np.array([position - before[k]]))[0])
            for k, position in enumerate(positions)
        )
        return low, high

    @property
    def count(self) -> int:
        """Number of values."""
        self.range()
        return self._count

    def inner_percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles in [0, 100], each the next value of the image towards the middle."""
        last = self.count - 1
        low, high = self._order_statistics([math.ceil(last * (lower / 100)), math.floor(last * (upper / 100))])
        return float(low), float(high)

    def percentile_beyond(self, limit: float, percentile: float) -> float | None:
        """Upper percentile (above 50) of the values above ``limit``, or lower percentile of those below it."""
        is_upper = percentile > 50
        chosen = sum(int(np.count_nonzero(part > limit if is_upper else part < limit)) for part in self.parts())
        if not chosen:
            return None
        place = (chosen - 1) * (percentile / 100)
        rank = self.count - chosen + math.floor(place) if is_upper else math.ceil(place)
        return float(self._order_statistics([rank])[0])

    def nearest_inside(self, lower: float, upper: float) -> tuple[float, float]:
        """Smallest and largest of the values from ``lower`` to ``upper``."""
        ends = []
        for part in self.parts():
            inside = part[(part >= lower) & (part <= upper)]
            if inside.size:
                ends += [float(inside.min()), float(inside.max())]
        return min(ends), max(ends)

    def _find_range(self) -> tuple[float, float]:
        lowest, highest, broken = np.inf, -np.inf, 0
        for part in self.parts():
            self._dtype = part.dtype
            self._count += part.size
            low, high = float(part.min()), float(part.max())
            # NaN and infinity show in the extremes: no part without them is searched.
            if not np.isfinite(low) or not np.isfinite(high):
                broken += part.size - int(np.isfinite(part).sum())
            lowest, highest = min(lowest, low), max(highest, high)
        if broken:
            raise InputError(f"{self.name}: {broken} of {self._count} values are NaN or infinite")
        return lowest, highest

    def _order_statistics(self, ranks: list[int]) -> NDArray:
        """The values at 0-based ``ranks`` of all values in ascending order."""
        dtype = self._dtype
        bits = dtype.itemsize * 8
        digit = min(_DIGIT, bits)
        found = [0] * len(ranks)
        left = list(ranks)
        for known in range(0, bits, digit):
            histograms = {prefix: np.zeros(2**digit, np.int64) for prefix in found}
            for part in self.parts():
                self._count_digits(_keys(part), known, digit, bits, histograms)
            for index, prefix in enumerate(found):
                cumulative = np.cumsum(histograms[prefix])
                chosen = int(np.searchsorted(cumulative, left[index], side="right"))
                left[index] -= int(cumulative[chosen - 1]) if chosen else 0
                found[index] = (prefix << digit) | chosen
        return _values(np.array(found, dtype=f"u{dtype.itemsize}"), dtype)

    @staticmethod
    def _count_digits(
        keys: NDArray, known: int, digit: int, bits: int, histograms: dict[int, NDArray[np.int64]]
    ) -> None:
        """Add to the histogram of each prefix the next digit of the keys that begin with it."""
        for prefix, histogram in histograms.items():
            chosen = keys[keys >> keys.dtype.type(bits - known) == prefix] if known else keys
            digits = (chosen >> chosen.dtype.type(bits - known - digit)) & chosen.dtype.type(2**digit - 1)
            histogram += np.bincount(digits.astype(np.int64), minlength=2**digit)


def _keys(values: NDArray) -> NDArray:
    """Unsigned integers in the order of the values, one to one."""
    flat = np.ascontiguousarray(values).reshape(-1)
    unsigned = flat.view(f"u{flat.dtype.itemsize}")
    if flat.dtype.kind == "u":
        return unsigned
    sign = unsigned.dtype.type(1 << (flat.dtype.itemsize * 8 - 1))
    if flat.dtype.kind == "i":
        return unsigned ^ sign
    # The bits of negative numbers grow as the numbers fall.
    return np.where(unsigned & sign, ~unsigned, unsigned | sign)


def _values(keys: NDArray, dtype: np.dtype) -> NDArray:
    """Invert :func:`_keys`."""
    if dtype.kind == "u":
        return keys.view(dtype)
    sign = keys.dtype.type(1 << (dtype.itemsize * 8 - 1))
    if dtype.kind == "i":
        return (keys ^ sign).view(dtype)
    return np.where(keys & sign, keys ^ sign, ~keys).view(dtype)
