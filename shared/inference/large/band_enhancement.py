"""Enhancement of one large image, a band of windows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.errors import InputError
from shared.images.guard import ChangeInParts
from shared.images.picture import Intensities
from shared.images.scaling import restored, scaled
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.bands import BlendedRows
from shared.inference.large.enlargement import find_factor
from shared.inference.large.tiff_rows import TiffRows
from shared.inference.large.tile_file import TILE, TileFile
from shared.inference.windows import Run

_WINDOWS_AT_ONCE = 16
"""Windows of a block, at least: enough to fill batches, and few, since a block is held several times."""

_SAMPLED = 7
"""Of the rows and columns every seventh is compared with the source: one pixel in 49 tells as much as all."""


class BandEnhancement:
    """The tiles of an enhanced image, from top to bottom.

    A band is as many rows of the source as a window is high, over the full width. It goes through the inferer in blocks
    of neighbouring windows, and bands and blocks are blended (:class:`~shared.inference.large.bands.BlendedRows`). As
    soon as no later band reaches a row of tiles, its values are restored to the source's intensities and type and
    encoded.

    Args:
        source: the image, opened.
        network: in evaluation mode, on ``device``.
        inferer: the inferer of ordinary images, which places the windows.
        device: where blocks are enhanced; bands stay in main memory.
        threads: encode tiles.

    Attributes:
        change: how the rows that were made differ from the source.

    Raises:
        InputError: the network does not enlarge the image by a whole factor, or gives another number of channels.
    """

    def __init__(
        self,
        source: TiffRows,
        network: nn.Module,
        inferer: EnhancementInferer,
        device: torch.device,
        threads: Executor,
    ) -> None:
        self.source = source
        self.network = network
        self.inferer = inferer
        self.device = device
        self.threads = threads
        self.rows, self.columns = inferer.axes((source.height, source.width))
        window = (self.rows.length, self.columns.length)
        self.factor = find_factor(network, inferer, source.channels, window, device)
        self.change = ChangeInParts()

    def rows_of_tiles(self, form: TileFile, intensities: Intensities, done: int = 0) -> Iterator[list[bytes]]:
        """Yield the encoded tiles of one row of tiles after the other.

        Args:
            form: of the file of the enhanced image.
            intensities: of the source.
            done: rows of tiles to leave out.

        Raises:
            InputError: the source is damaged, or the network gives values that are not finite.
        """
        height = form.shape[0]
        first = done * TILE
        if first >= height:
            return
        begin = self.rows.first_reaching(first // self.factor)
        capacity = self.rows.length * self.factor + TILE
        blend = BlendedRows(self.source.channels, self.rows, self.columns, self.factor, capacity, first)
        bands = list(self.rows.runs(1))
        ends = [band.start * self.factor for band in bands[1:]] + [height]
        for band, end in zip(bands[begin:], ends[begin:], strict=True):
            # Extra channels of the tiles that wait for this band begin above it.
            top = min(band.start, blend.first // self.factor)
            pixels = self.source.read(top, band.stop)
            self._add(blend, band, pixels[band.start - top :], intensities)
            while blend.first < end and (count := min(TILE, height - blend.first)) <= end - blend.first:
                yield self._encode(blend, count, pixels, top, form, intensities)
                blend.drop(count)

    def _add(self, blend: BlendedRows, band: Run, pixels: NDArray, intensities: Intensities) -> None:
        """Enhance a band, [rows, W, S], block by block."""
        batch = self.inferer.sw_batch_size
        for block in self.columns.runs(-(-_WINDOWS_AT_ONCE // batch) * batch):
            stored = np.moveaxis(pixels[:, block.start : block.stop, : self.source.channels], -1, 0)
            image = torch.from_numpy(np.ascontiguousarray(scaled(stored, intensities)))
            enhanced = self.inferer(image[None].to(self.device), self.network)
            blend.add(enhanced[0].float().cpu(), band, block)

    def _encode(
        self, blend: BlendedRows, count: int, pixels: NDArray, top: int, form: TileFile, intensities: Intensities
    ) -> list[bytes]:
        """Encode the next row of tiles; ``pixels`` are the source's rows from ``top`` on."""
        values = blend.finished(count).numpy()
        channels = self.source.channels
        rows = np.arange(blend.first, blend.first + count) // self.factor - top

        def encode(left: int) -> bytes:
            tile = values[..., left : left + TILE]
            if not np.isfinite(tile).all():
                raise InputError(f"{self.source.path}: the network gave values that are not finite")
            columns = np.arange(left, left + tile.shape[-1]) // self.factor
            before = pixels[np.ix_(rows, columns)]
            stored = restored(np.moveaxis(tile, 0, -1), intensities, before[..., :channels])
            return form.encode(np.concatenate([stored, before[..., channels:]], axis=-1))

        shown = pixels[rows[0] : rows[-1] + 1 : _SAMPLED, ::_SAMPLED, :channels]
        self.change.add(scaled(shown, intensities), values[:, ::_SAMPLED, ::_SAMPLED])
        return list(self.threads.map(encode, range(0, values.shape[-1], TILE)))
