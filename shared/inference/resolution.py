"""Size of a raster's pixels, where its file says so."""

from __future__ import annotations

from typing import Any

import tifffile
from PIL import Image

from shared.inference.rasters import is_raster

_MILLIMETRES_PER_INCH = 25.4
# What cameras and screens write without having measured anything.
_DEFAULTS = (72.0, 96.0)
_TIFF_UNITS = {2: _MILLIMETRES_PER_INCH, 3: 10.0}


def raster_spacing(path: str) -> tuple[float, float] | None:
    """Distance in millimetres between rows and between columns; None where the file does not say.

    A resolution of 72 or 96 dots per inch, the default of many programs, says nothing.
    """
    found = _of_raster(path) if is_raster(path) else _of_tiff(path)
    if found is None or not all(dots > 0 for dots in found):
        return None
    across, down = found
    if across == down and any(abs(across * _MILLIMETRES_PER_INCH - default) < 0.5 for default in _DEFAULTS):
        return None
    return 1 / down, 1 / across


def _of_raster(path: str) -> tuple[float, float] | None:
    """Pixels per millimetre, across and down."""
    with Image.open(path) as image:
        dots = image.info.get("dpi")
    return None if dots is None else (float(dots[0]) / _MILLIMETRES_PER_INCH, float(dots[1]) / _MILLIMETRES_PER_INCH)


def _of_tiff(path: str) -> tuple[float, float] | None:
    with tifffile.TiffFile(path) as file:
        tags: Any = file.pages.first.tags
        length = _TIFF_UNITS.get(int(tags["ResolutionUnit"].value)) if "ResolutionUnit" in tags else None
        if length is None or not {"XResolution", "YResolution"} <= {tag.name for tag in tags}:
            return None
        (across, unit_across), (down, unit_down) = tags["XResolution"].value, tags["YResolution"].value
    if not unit_across or not unit_down:
        return None
    return across / unit_across / length, down / unit_down / length
