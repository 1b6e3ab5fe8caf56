"""Images too large to be held in memory: which they are, and how each kind is enhanced."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tifffile
import torch
from torch import nn

from shared.console import say
from shared.images.format_table import NIFTI, format_of
from shared.images.nifti import shape_of
from shared.images.signatures import contents, has_suffix
from shared.images.tiff import image_axes
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.result import LargeResult
from shared.inference.large.tiff_images import SUFFIXES, LargeTiff
from shared.inference.large.volumes import LargeVolume
from shared.inference.transforms import LoadSourced

_SOURCE_SUFFIXES = (*SUFFIXES, ".svs")


def is_large_tiff(path: str, limit: int | None) -> bool:
    """Whether a file is a TIFF image of more than ``limit`` pixels (height times width).

    The header is read and nothing else. A stack of pages is no large image, however many pixels it has, nor is what
    cannot be read: to say so is up to the ordinary reader.
    """
    try:
        if limit is None or not _is_tiff(str(path)):
            return False
        with tifffile.TiffFile(path) as file:
            axes, shape = image_axes(path, file)
    # Damaged headers raise nearly anything.
    except Exception:
        return False
    sizes = dict(zip(axes, shape, strict=True))
    return not set(axes) - set("YXS") and sizes["Y"] * sizes["X"] > limit


def is_large_volume(path: str, limit: int | None, upscale_factor: int = 1) -> bool:
    """Whether a file is a NIfTI volume whose result has more than ``limit`` voxels.

    Voxels of the result, because that is what takes memory: slices that grow by 4 have 16 times as many. A 2-D image is
    no volume, nor is what cannot be read: to say so is up to the ordinary reader.
    """
    try:
        if limit is None or format_of(path) is not NIFTI:
            return False
        shape = shape_of(path)
    # Damaged headers raise nearly anything.
    except Exception:
        return False
    return len(shape) > 2 and math.prod(shape) * upscale_factor**2 > limit


def _is_tiff(path: str) -> bool:
    """Whether a file is read as TIFF, whatever it is called; a DICOM file may begin as one."""
    found = contents(path)
    return "TIFF" in found and ("DICOM" not in found or has_suffix(path, _SOURCE_SUFFIXES))


class LargeImages:
    """Enhance large images from file to file, in parts: TIFF images in bands, NIfTI volumes slice by slice.

    See :class:`~shared.inference.large.tiff_images.LargeTiff` and :class:`~shared.inference.large.volumes.LargeVolume`.

    Args:
        items: as ``find_images`` gives them, ``image`` the source and ``output`` the path of the result.
        network: the enhancement network, on ``device``.
        inferer: the inferer of ordinary images.
        load: reads ordinary images; what it says about intensities, planes and the axes of slices holds here too.
        device: where images are enhanced.
        weights_loader: called once, before the first image of :meth:`run`.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        network: nn.Module,
        inferer: EnhancementInferer,
        load: LoadSourced,
        device: torch.device | str,
        weights_loader: Callable[[], None] | None = None,
    ) -> None:
        self.items = list(items)
        self.weights_loader = weights_loader
        self._tiff = LargeTiff(network, inferer, load.scaling, torch.device(device))
        self._volume = LargeVolume(network, inferer, load, torch.device(device))

    def run(self) -> None:
        """Enhance all items, after a look at the headers of all of them.

        Raises:
            InputError: as :meth:`enhance`.
        """
        if not self.items:
            return
        if self.weights_loader is not None:
            self.weights_loader()
        for item in self.items:
            self._way_of(item).check(item)
        for item in self.items:
            for note in self.enhance(item).notes:
                say(f"{Path(str(item['image'])).name}: {note}")

    def enhance(self, item: Mapping[str, Any]) -> LargeResult:
        """Enhance one image; the weights are loaded already.

        Returns:
            What there is to say about the result.

        Raises:
            InputError: the source is damaged; the result cannot be of the format that its name says, or not be written;
                the network does not fit or gives values that are not finite.
        """
        way = self._way_of(item)
        way.check(item)
        return way.enhance(item)

    def _way_of(self, item: Mapping[str, Any]) -> LargeTiff | LargeVolume:
        return self._volume if format_of(str(item["image"])) is NIFTI else self._tiff
