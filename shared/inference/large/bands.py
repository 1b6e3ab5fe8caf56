"""Blending of an image's windows, a band of rows at a time."""

from __future__ import annotations

import torch

from shared.inference.windows import Run, WindowAxis


class BlendedRows:
    """Rows of an enhanced image that windows have reached and nobody has taken yet.

    The blend of MONAI's ``SlidingWindowInferer`` is a weighted average over windows. With separable weights it can be
    summed up from runs of windows, each blended by itself: a run's average times the run's weights is its share. The
    rows that no later window reaches are divided by the sum of all weights and are then what one pass over the whole
    image gives, up to the rounding of float32.

    One buffer [C, capacity, s W] of float32 is held, for an image [C, H, W] enlarged s times.

    Args:
        channels: C.
        rows, columns: the windows along both axes of the image before it was enlarged.
        factor: s.
        capacity: rows that can wait at a time, of the enlarged image.
        first: the first row, of the enlarged image, that will be taken; what windows give above it is dropped.
    """

    def __init__(
        self, channels: int, rows: WindowAxis, columns: WindowAxis, factor: int, capacity: int, first: int = 0
    ) -> None:
        self.factor = factor
        self.first = first
        self._sum = torch.zeros(channels, capacity, columns.size * factor)
        self._row_weights = _total(rows).repeat_interleave(factor)
        self._column_weights = _total(columns).repeat_interleave(factor)

    def add(self, block: torch.Tensor, rows: Run, columns: Run) -> None:
        """Add an enhanced block [C, s h, s w], blended over the windows of both runs, h x w pixels of the image."""
        top = rows.start * self.factor - self.first
        hidden = max(-top, 0)
        down = rows.weights.repeat_interleave(self.factor)[hidden:, None]
        across = columns.weights.repeat_interleave(self.factor)
        left, right = columns.start * self.factor, columns.stop * self.factor
        target = self._sum[:, top + hidden : rows.stop * self.factor - self.first, left:right]
        target.addcmul_(block[:, hidden:], down * across)

    def finished(self, count: int) -> torch.Tensor:
        """Divide the first ``count`` rows, which no later window reaches, by their weights and return them,
        [C, count, s W], until the next call of another method.
        """
        rows = self._sum[:, :count]
        rows /= self._row_weights[self.first : self.first + count, None]
        rows /= self._column_weights
        return rows

    def drop(self, count: int) -> None:
        """Give the first ``count`` rows free."""
        capacity = self._sum.shape[1]
        # In pieces of count rows, no two of which overlap: one copy of the whole would take as much memory again.
        for start in range(count, capacity, count):
            stop = min(start + count, capacity)
            self._sum[:, start - count : stop - count] = self._sum[:, start:stop]
        self._sum[:, max(capacity - count, 0) :] = 0
        self.first += count


def _total(axis: WindowAxis) -> torch.Tensor:
    """Sum of the weights of all windows, [size]."""
    (run,) = axis.runs(len(axis.starts))
    return run.weights
