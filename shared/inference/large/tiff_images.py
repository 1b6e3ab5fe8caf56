"""TIFF images too large to be held in memory: read, enhanced and written in bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tifffile
import torch
from monai.networks.utils import eval_mode
from numpy.typing import NDArray
from torch import nn

from shared.console import say
from shared.distributed import usable_cores
from shared.errors import InputError
from shared.files import make_folder
from shared.images.orientation import Grid
from shared.images.picture import Intensities
from shared.images.scaling import IntensityScaling
from shared.images.tiff_metadata import kept_options
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.band_enhancement import BandEnhancement
from shared.inference.large.origin import describe_origin, fingerprint
from shared.inference.large.part_progress import PartProgress
from shared.inference.large.result import LargeResult
from shared.inference.large.space import require_space
from shared.inference.large.streamed_statistics import StreamedStatistics
from shared.inference.large.tiff_rows import TiffRows
from shared.inference.large.tile_file import TILE, TileFile
from shared.inference.large.unfinished import Unfinished

SUFFIXES = (".tif", ".tiff")


class LargeTiff:
    """Enhance large TIFF images from file to file, in bands of bounded memory.

    The result is what the ordinary way gives, the image at once through ``EnhancementInferer``, up to the rounding of
    float32. Where a value then lies half-way between two stored ones, they differ by one level: about one value in
    100,000 of 8 bits, one in a hundred of 16 bits. It is a tiled TIFF with the source's intensities, type, extra
    channels (transparency) and what :func:`~shared.images.tiff_metadata.kept_options` keeps, compressed without loss
    (Deflate) where the source was compressed, BigTIFF where it must be or the source is. Of a pyramid the full
    resolution is enhanced, and it is all that is written. Rows stay in the order in which they are stored, and the tag
    Orientation stays with them: the result is shown as the source is, while the network sees it lying.

    An image is written whole or not at all. What is finished of it is kept beside it, in a hidden folder
    ``.<name>.unfinished``: a run that was killed or ran out of space goes on there when it is started again, unless
    source, weights, settings, device or versions have changed; then it starts again. An image that is complete and was
    made of the same is left as it is.

    Memory that grows with the image does so by its width w alone: with h, the height of a window, C colour channels out
    of S samples of b bytes, s, the factor of enlargement, and t, the height of the source's tiles or strips,

        4 C s w (s h + 256)  +  2 b S w (h + t + 256 / s)  +  512 b S s w   bytes

    for blending, reading and writing. To that come, of any size of image the same, the network and 16 windows, or
    ``sw_batch_size`` of them if these are more. A range of intensities and percentiles are found in further passes over
    the source; they are exact and take memory of one band at most.

    Args:
        network: the enhancement network, on ``device``.
        inferer: the inferer of ordinary images.
        scaling: rule that maps stored intensities to [0, 1].
        device: where windows are enhanced.
    """

    def __init__(
        self, network: nn.Module, inferer: EnhancementInferer, scaling: IntensityScaling, device: torch.device
    ) -> None:
        self.network = network
        self.inferer = inferer
        self.scaling = scaling
        self.device = device

    def check(self, item: Mapping[str, Any]) -> None:
        """Read the header.

        Raises:
            InputError: it cannot be read, or the result is to be something else than TIFF.
        """
        _require_tiff(item)
        with TiffRows(str(item["image"])):
            pass

    def enhance(self, item: Mapping[str, Any]) -> LargeResult:
        """Enhance one image; the weights are loaded already.

        Returns:
            What there is to say about the result; of one that was complete already, nothing.

        Raises:
            InputError: the source cannot be read in parts or is damaged; the result is to be no TIFF; the network does
                not fit or gives values that are not finite; the result cannot be written or another process does it.
        """
        source, output = str(item["image"]), Path(str(item["output"]))
        with (
            ThreadPoolExecutor(usable_cores()) as threads,
            TiffRows(source, threads) as rows,
            eval_mode(self.network),
        ):
            origin = describe_origin(source, self.network, self.inferer, self.scaling, self.device)
            note = f"Enhanced image, not for diagnostic use. Origin: {fingerprint(origin)}"
            if note in _description(output):
                say(f"{rows.name}: {output} is complete already, of the same source, weights and settings")
                return _result(rows)
            enhancement = BandEnhancement(rows, self.network, self.inferer, self.device, threads)
            factor = enhancement.factor
            form = TileFile(
                (factor * rows.height, factor * rows.width, rows.samples),
                rows.dtype,
                kept_options(rows.series, rows.form, Grid(factor), rows.samples, note),
                rows.page.parent.is_bigtiff,
            )
            make_folder(output.parent)
            with Unfinished(output, origin) as unfinished:
                try:
                    return self._write(enhancement, form, unfinished)
                except InputError:
                    unfinished.discard()
                    raise
                except KeyboardInterrupt:
                    say(f"{rows.name}: stopped; started again, it goes on from here")
                    raise
                except OSError as err:
                    kept = f"; what is finished is kept in {unfinished.folder}" if unfinished.rows else ""
                    if not unfinished.rows:
                        unfinished.discard()
                    raise InputError(f"{output}: cannot be written: {err.strerror or err}{kept}") from err

    def _write(self, enhancement: BandEnhancement, form: TileFile, unfinished: Unfinished) -> LargeResult:
        """Enhance what is not finished and put the image in its place."""
        source = enhancement.source
        if unfinished.outdated:
            say(f"{source.name}: starts again: since a run stopped, source, weights, settings or versions have changed")
        if unfinished.intensities is None:
            unfinished.begin(vars(self._measure(source)))
        intensities = Intensities(**(unfinished.intensities or {}))
        scaling = self.scaling.describe(source.empty_picture, intensities)
        say(f"{source.name}: scaled by {scaling}")
        unfinished.open(form)
        require_space(unfinished.folder, form.size - unfinished.size)
        done = unfinished.rows * TILE // enhancement.factor
        if done:
            say(f"{source.name}: goes on at row {done} of {source.height}, where a run stopped")
        begun = min(done, source.height)
        with PartProgress(source.name, source.height, source.width, "row", begun) as progress:
            for tiles in enhancement.rows_of_tiles(form, intensities, unfinished.rows):
                unfinished.append(tiles)
                progress.reach(min(unfinished.rows * TILE // enhancement.factor, source.height))
            unfinished.finish(form)
            took = f"{progress.seconds:.1f} s, {progress.speed}"
        size = f"{source.height} x {source.width} pixels"
        say(f"{source.name}: enhanced {size} in {took}, written to {unfinished.output}")
        change = enhancement.change.suspicious()
        return _result(source, scaling, intensities.bits, () if change is None else (change,))

    def _measure(self, source: TiffRows) -> Intensities:
        """Find the intensities of the source in passes over it."""

        def rows() -> Iterator[NDArray]:
            with PartProgress(f"{source.name}, intensities", source.height, source.width, "row") as progress:
                row = 0
                for part in source.parts():
                    yield part
                    row += len(part)
                    progress.reach(row)

        statistics = StreamedStatistics(rows, source.path)
        statistics.range()
        try:
            return self.scaling.measure(source.empty_picture, statistics)
        except InputError as err:
            raise InputError(f"{source.path}: {err}") from err


def _result(
    source: TiffRows, scaling: str = "", bits: int | None = None, notes: tuple[str, ...] = ()
) -> LargeResult:
    return LargeResult(source.width, source.height, 1, source.page.samplesperpixel, scaling, bits, notes)


def _require_tiff(item: Mapping[str, Any]) -> None:
    if not str(item["output"]).lower().endswith(SUFFIXES):
        raise InputError(
            f"output_format: {item['image']} is a large image, which can only be written as TIFF: found "
            f"{Path(str(item['output'])).name}, expected the format 'same'"
        )


def _description(path: Path) -> str:
    """What a TIFF file says about itself; empty where there is none."""
    try:
        with tifffile.TiffFile(path) as file:
            return str(file.pages.first.description)
    # A damaged file is replaced.
    except Exception:
        return ""
