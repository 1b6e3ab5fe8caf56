"""Enhancement of one large volume, some slices at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.errors import InputError
from shared.images.guard import ChangeInParts
from shared.images.layout import from_slices, stored_axis, to_slices, volume_axis
from shared.images.nifti_slabs import SlabReader
from shared.images.picture import Intensities
from shared.images.scaling import put_back, restored, scaled
from shared.inference.inferer import EnhancementInferer, has_content
from shared.inference.large.enlargement import find_factor
from shared.inference.transforms import LoadSourced

_PROBE = 32
"""Height and width, at most, of the image that tells by how much the network enlarges."""

_SAMPLED = 3
"""Of the rows and columns every third is compared with the source: one pixel in nine tells as much as all."""


class SlabEnhancement:
    """Slabs of a volume, neighbouring slices along one axis, enhanced as the whole volume would be.

    Args:
        source: the volume, opened.
        network: in evaluation mode, on ``device``.
        inferer: the inferer of ordinary images.
        load: says in which plane volumes are cut, and how the network sees a slice.
        device: where slices are enhanced.

    Attributes:
        along: axis of the stored volume, 0, 1 or 2, along which its slices lie.
        factor: by which the network enlarges a slice.
        change: how what was enhanced differs from the source.
        empty: number of slices that hold nothing but the volume's darkest value, which the network did not see.

    Raises:
        InputError: the network does not enlarge a slice by a whole factor, or gives another number of channels.
    """

    def __init__(
        self,
        source: SlabReader,
        network: nn.Module,
        inferer: EnhancementInferer,
        load: LoadSourced,
        device: torch.device,
    ) -> None:
        self.source = source
        self.network = network
        self.inferer = inferer
        self.device = device
        self._transposed = load.transpose
        self._axis = volume_axis(source.shape, source.affine, load.plane)
        self.along = stored_axis(source.affine, self._axis)
        size = [min(length, _PROBE) for axis, length in enumerate(source.shape[:3]) if axis != self.along]
        self.factor = find_factor(network, inferer, source.channels, size, device)
        self.change = ChangeInParts()
        self.empty = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of the result."""
        factors = [self.factor] * 3 + [1] * len(self.source.shape[3:])
        factors[self.along] = 1
        return tuple(length * factor for length, factor in zip(self.source.shape, factors, strict=True))

    def enhance(self, pixels: NDArray, found: Intensities, darkest: float) -> NDArray:
        """Enhance a slab.

        Args:
            pixels: stored values [C, X, Y, Z], fewer than the volume's along the axis of the slices.
            found: intensities of the volume.
            darkest: its darkest stored value, which takes the place of missing ones (NaN).

        Returns:
            Stored values on the finer grid, in the order of ``pixels``.

        Raises:
            InputError: the network gives values that are not finite.
        """
        missing = np.isnan(pixels)
        pixels = np.where(missing, pixels.dtype.type(darkest), pixels)
        slices = np.moveaxis(to_slices(scaled(pixels, found), self.source.affine, self._axis), -1, 0)
        if self._transposed:
            slices = slices.swapaxes(2, 3)
        black = float(scaled(np.array([darkest], pixels.dtype), found)[0])
        values = self._through_network(slices, black)
        if not np.isfinite(values).all():
            raise InputError(f"{self.source.path}: the network gave values that are not finite")
        self.change.add(slices[..., ::_SAMPLED, ::_SAMPLED], values[..., ::_SAMPLED, ::_SAMPLED])
        if self._transposed:
            values = values.swapaxes(2, 3)
        grown = from_slices(np.moveaxis(values, 0, -1), pixels.shape[1:], self.source.affine, self._axis)
        stored = np.empty(grown.shape, pixels.dtype)
        # One by one: on the way to stored values they take twice the memory, and that several times.
        for number in range(pixels.shape[self.along + 1]):
            one = (slice(None),) * (self.along + 1) + (slice(number, number + 1),)
            stored[one] = restored(grown[one], found, pixels[one])
        put_back(stored, missing, np.broadcast_to(np.nan, missing.shape))
        return stored

    def _through_network(self, slices: NDArray[np.float32], black: float) -> NDArray[np.float32]:
        """[n, C, H, W] in and enlarged; as the inferer does it with the whole stack, of which this is a part."""
        images = torch.from_numpy(np.ascontiguousarray(slices))
        count, channels, height, width = images.shape
        enhanced = np.full((count, channels, self.factor * height, self.factor * width), black, np.float32)
        chosen = has_content(images, black)
        if chosen.any():
            result = self.inferer(images[chosen].to(self.device), self.network)
            enhanced[chosen.numpy()] = result.float().cpu().numpy()
        self.empty += int((~chosen).sum())
        return enhanced
