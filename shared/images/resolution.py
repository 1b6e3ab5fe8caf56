"""Size of a raster's pixels, where its file says so."""

from __future__ import annotations

from typing import Any

import tifffile

from shared.images import ome_xml
from shared.images.orientation import swaps_axes
from shared.images.rasters import dots_per_inch, is_raster
from shared.images.tiff_metadata import ORIENTATION, micrometres_of_scanner, pixels_per_unit

_INCH = 25.4
# What cameras and screens write without having measured anything.
_DEFAULTS = (72.0, 96.0)
_TIFF_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
_MILLIMETRES = {
    "å": 1e-7,
    "nm": 1e-6,
    "µm": 1e-3,
    "um": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "m": 1e3,
    "meter": 1e3,
    "in": _INCH,
    "inch": _INCH,
    "inches": _INCH,
}


def raster_spacing(path: str) -> tuple[float, float] | None:
    """Distance in millimetres between rows and between columns of the upright image; None where the file does not say.

    In a TIFF file, OME-XML counts most, then ImageJ's unit. A resolution of 72 or 96 dots per inch, the default of many
    programs, says nothing.
    """
    if is_raster(path):
        return _of_raster(path)
    with tifffile.TiffFile(path) as file:
        sizes = _of_ome(file)
        spacing = (sizes["Y"], sizes["X"]) if {"Y", "X"} <= sizes.keys() else _of_tags(file)
        page: Any = file.pages.first
        return spacing[::-1] if spacing is not None and swaps_axes(page.tags.valueof(ORIENTATION, 1)) else spacing


def page_spacing(path: str) -> float | None:
    """Distance in millimetres between the pages of a TIFF file that are slices (OME-TIFF, ImageJ); None otherwise."""
    if is_raster(path):
        return None
    with tifffile.TiffFile(path) as file:
        if "Z" not in file.series[0].axes:
            return None
        size = _of_ome(file).get("Z", 0.0)
        if file.series[0].kind == "imagej":
            found = file.imagej_metadata or {}
            size = _length(float(found.get("spacing", 0)), str(found.get("unit", "")))
    return size if size > 0 else None


def _of_raster(path: str) -> tuple[float, float] | None:
    dots = dots_per_inch(path)
    return None if dots is None else _measured(dots[0] / _INCH, dots[1] / _INCH)


def _measured(across: float, down: float) -> tuple[float, float] | None:
    """Spacing for a number of dots per millimetre; None where it is only the default of a program."""
    if not (across > 0 and down > 0):
        return None
    if across == down and any(abs(across * _INCH - default) < 0.5 for default in _DEFAULTS):
        return None
    return 1 / down, 1 / across


def _of_ome(file: tifffile.TiffFile) -> dict[str, float]:
    """Size of a pixel in millimetres along the axes for which OME-XML says it."""
    page: Any = file.pages.first
    if file.series[0].kind != "ome":
        return {}
    sizes = ome_xml.physical_sizes(str(file.ome_metadata), (page.imagewidth, page.imagelength))
    lengths = {axis: _length(size, unit) for axis, (size, unit) in sizes.items()}
    return {axis: length for axis, length in lengths.items() if length > 0}


def _of_tags(file: tifffile.TiffFile) -> tuple[float, float] | None:
    page: Any = file.pages.first
    values = pixels_per_unit(page)
    if values is None:
        size = micrometres_of_scanner(page)
        return None if size is None else (size * 1e-3, size * 1e-3)
    across, down = (length / dots for dots, length in values)
    unit = str((file.imagej_metadata or {}).get("unit", ""))
    if _length(1, unit):
        return _length(down, unit), _length(across, unit)
    unit = _TIFF_UNITS.get(page.tags.valueof("ResolutionUnit"), "")
    return _measured(1 / _length(across, unit), 1 / _length(down, unit)) if unit else None


def _length(size: float, unit: str) -> float:
    """Millimetres; 0 where the unit is not one of length (pixel)."""
    # ImageJ writes the letter so, and Unicode has two of them.
    name = unit.strip().lower().replace("\\u00b5", "µ").replace("μ", "µ")
    return size * _MILLIMETRES.get(name, 0.0)
