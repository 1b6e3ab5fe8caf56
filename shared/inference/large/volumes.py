"""NIfTI volumes too large to be held in memory: read, enhanced and written some slices at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from torch import nn

from shared.console import say
from shared.errors import InputError
from shared.images.format_table import NIFTI
from shared.images.formats import check_picture
from shared.images.gaps import darkest, note_on_gaps
from shared.images.nifti import to_stored
from shared.images.nifti_slabs import SlabReader, SlabWriter
from shared.images.picture import Intensities
from shared.images.result_files import result_file
from shared.images.signatures import has_suffix
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.part_progress import PartProgress
from shared.inference.large.result import LargeResult
from shared.inference.large.slab_enhancement import SlabEnhancement
from shared.inference.large.slices_on_disk import along_last_axis
from shared.inference.large.space import require_space
from shared.inference.large.streamed_statistics import StreamedStatistics
from shared.inference.transforms import LoadSourced


class LargeVolume:
    """Enhance large NIfTI volumes from file to file, ``sw_batch_size`` slices at a time.

    The result is the file that the ordinary way gives, up to the rounding of float32; the same intensities, found in
    passes over the source, are exact. Slices that hold nothing but the volume's darkest value are counted and not
    enhanced: they come out with that value. A time series is enhanced like a volume of as many slices.

    A file is written whole or not at all, from its beginning to its end, compressed where the source is. With n, the
    slices at a time, the memory is that of an image of n slices, whatever their number, where slices lie along the last
    axis of the file, as axial ones mostly do. Where they lie along another one, as axial slices of a volume that was
    acquired in sagittal ones, the stored values of the source are held in memory too, of a time series those of one
    volume, and the result lies uncompressed in a file without a name, in the output folder, until all is there.

    Args:
        network: the enhancement network, on ``device``.
        inferer: the inferer of ordinary images.
        load: reads ordinary images: the rule of their intensities, the plane of their slices.
        device: where slices are enhanced.
    """

    def __init__(
        self, network: nn.Module, inferer: EnhancementInferer, load: LoadSourced, device: torch.device
    ) -> None:
        self.network = network
        self.inferer = inferer
        self.load = load
        self.device = device

    def check(self, item: Mapping[str, Any]) -> None:
        """Read the header.

        Raises:
            InputError: it cannot be read, or the result is to be something else than NIfTI.
        """
        check_picture(str(item["image"]))
        name = Path(str(item["output"])).name
        if not has_suffix(name, NIFTI.result_suffixes):
            raise InputError(
                f"output_format: {item['image']} is a large volume, which can only be written as NIfTI: found {name}, "
                "expected the format 'same' or 'nifti'"
            )

    def enhance(self, item: Mapping[str, Any]) -> LargeResult:
        """Enhance one volume; the weights are loaded already.

        Returns:
            What there is to say about the result.

        Raises:
            InputError: the source is damaged or holds infinite values; the network does not fit or gives values that
                are not finite; the result cannot be written.
        """
        source, output = SlabReader(str(item["image"])), Path(str(item["output"]))
        with eval_mode(self.network):
            try:
                return self._enhance(source, output)
            except OSError as err:
                raise InputError(f"{output}: cannot be written: {err.strerror or err}") from err
            # NIfTI-1 has 16 bits for a length.
            except HeaderDataError as err:
                raise InputError(f"{output}: cannot be written: {err}") from err

    def _enhance(self, source: SlabReader, output: Path) -> LargeResult:
        picture, shape = source.empty_picture, source.shape
        enhancement = SlabEnhancement(source, self.network, self.inferer, self.load, self.device)
        notes = [*picture.notes, *self._find_gaps(source)]
        found, dark = self._measure(source)
        scaling = self.load.scaling.describe(picture, found)
        say(f"{source.name}: scaled by {scaling}")
        if enhancement.along < 2:
            held = math.prod(shape[:3]) * source.channels * source.dtype.itemsize / 2**20
            say(f"{source.name}: slices along axis {enhancement.along + 1} of the file, {held:.0f} MiB held in memory")
        slices = source.volumes * shape[enhancement.along]
        with PartProgress(source.name, slices, math.prod(shape) // slices, "slice") as progress:
            with result_file(str(output)) as partial:
                require_space(output.parent, _largest_size(enhancement))
                with SlabWriter(partial, source.path, enhancement.shape) as writer:
                    for slab in _in_order(enhancement, found, dark, output.parent, progress):
                        writer.write(slab)
            took = f"{progress.seconds:.1f} s, {progress.speed}"
        empty = f", {enhancement.empty} of them empty" if enhancement.empty else ""
        size = f"{slices} slices of {' x '.join(map(str, shape))} voxels{empty}"
        say(f"{source.name}: enhanced {size}, in {took}, written to {output}")
        change = enhancement.change.suspicious()
        notes += [] if change is None else [change]
        width, height, *depth = shape
        return LargeResult(width, height, math.prod(depth), source.channels, scaling, found.bits, tuple(notes))

    def _find_gaps(self, source: SlabReader) -> tuple[str, ...]:
        """What to say about missing values (NaN)."""
        if source.dtype.kind != "f":
            return ()
        missing = infinite = 0
        for slab in self._parts(source, "missing values"):
            missing += int(np.isnan(slab).sum())
            infinite += int(np.isinf(slab).sum())
        return note_on_gaps(source.path, missing, infinite, math.prod(source.shape))

    def _measure(self, source: SlabReader) -> tuple[Intensities, float]:
        """Find the intensities of the source, and its darkest stored value, in passes over it."""

        def present() -> Iterator[NDArray]:
            for slab in self._parts(source, "intensities"):
                values = slab[~np.isnan(slab)]
                if values.size:
                    yield values

        statistics = StreamedStatistics(present, source.path)
        try:
            found = self.load.scaling.measure(source.empty_picture, statistics)
        except InputError as err:
            raise InputError(f"{source.path}: {err}") from err
        return found, darkest(source.empty_picture, *statistics.range())

    def _parts(self, source: SlabReader, title: str) -> Iterator[NDArray]:
        """All stored values in the order of the file."""
        slices = source.volumes * source.shape[2]
        pixels = source.shape[0] * source.shape[1]
        with PartProgress(f"{source.name}, {title}", slices, pixels, "slice") as progress:
            done = 0
            for volume in range(source.volumes):
                for slab in source.slabs(volume, self.inferer.sw_batch_size):
                    yield slab
                    done += slab.shape[3]
                    progress.reach(done)


def _in_order(
    enhancement: SlabEnhancement, found: Intensities, dark: float, folder: Path, progress: PartProgress
) -> Iterator[NDArray]:
    """The result in slabs along its last axis, as they are stored."""
    source, along, count = enhancement.source, enhancement.along, enhancement.inferer.sw_batch_size
    done = 0

    def enhanced(volume: int) -> Iterator[NDArray]:
        nonlocal done
        for pixels in source.slabs(volume, count, along):
            yield to_stored(enhancement.enhance(pixels, found, dark))
            done += pixels.shape[along + 1]
            progress.reach(done)

    for volume in range(source.volumes):
        slabs = enhanced(volume)
        yield from slabs if along == 2 else along_last_axis(slabs, along, folder, count)


def _largest_size(enhancement: SlabEnhancement) -> int:
    """Bytes that are on the disk at a time, at most, where nothing can be gained by compression."""
    voxel = enhancement.source.channels * enhancement.source.dtype.itemsize
    beside = 0 if enhancement.along == 2 else math.prod(enhancement.shape[:3])
    return (math.prod(enhancement.shape) + beside) * voxel
