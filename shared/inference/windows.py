"""The windows along one axis of an image: where they lie and how much each counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices


def axis_weights(length: int) -> torch.Tensor:
    """MONAI's Gaussian weights of a window, [length], along one axis.

    MONAI bounds the product of both axes from below, which makes the blend an average, with visible steps, along the
    border of the image. Bounded axis by axis, the weights of neighbouring windows have the same ratio everywhere, and
    the blend can be made one axis after the other.
    """
    return compute_importance_map((length,), mode="gaussian")


@dataclass(frozen=True)
class Run:
    """Neighbouring windows along one axis.

    Attributes:
        start, stop: pixels that they cover.
        weights: sum of the windows' weights, [stop - start].
    """

    start: int
    stop: int
    weights: torch.Tensor


@dataclass(frozen=True)
class WindowAxis:
    """Windows along one axis, where MONAI's ``SlidingWindowInferer`` places them in an image of that size.

    Attributes:
        size: of the image, in pixels.
        length: of a window; never more than ``size``.
        starts: first pixel of every window, ascending; neighbours leave no gap.
    """

    size: int
    length: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, size: int, window: int, overlap: float) -> WindowAxis:
        """Place windows of length ``window`` that overlap by the part ``overlap``, in [0, 1)."""
        length = min(size, window)
        # MONAI's scan interval; the last window is moved back to end with the image.
        interval = length if length == size else max(int(length * (1 - overlap)), 1)
        slices = dense_patch_slices((size,), (length,), (interval,))
        return cls(size, length, tuple(int(window.start) for (window,) in slices))

    def runs(self, count: int) -> Iterator[Run]:
        """Cut the windows into runs of ``count`` windows, the last run may have fewer.

        A sliding window over a run alone places the same windows, since only the image's last window is moved.
        """
        weights = axis_weights(self.length)
        for first in range(0, len(self.starts), count):
            starts = self.starts[first : first + count]
            total = torch.zeros(starts[-1] + self.length - starts[0])
            for start in starts:
                total[start - starts[0] : start - starts[0] + self.length] += weights
            yield Run(starts[0], starts[-1] + self.length, total)

    def first_reaching(self, pixel: int) -> int:
        """Index of the first window that covers ``pixel`` or what comes after it."""
        return next(index for index, start in enumerate(self.starts) if start + self.length > pixel)
