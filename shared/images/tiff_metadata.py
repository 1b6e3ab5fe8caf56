"""What is kept of a TIFF file beside its pixels: size of a pixel, names, colour profile, kind of alpha."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import tifffile

from shared.images import ome_xml
from shared.images.orientation import Grid
from shared.images.tiff_samples import SampleForm

ORIENTATION = 274
_COLOUR_MAP, _IMAGEJ_DATA = 320, 50839
_UNSPECIFIED, _UNASSOCIATED = int(tifffile.EXTRASAMPLE.UNSPECIFIED), int(tifffile.EXTRASAMPLE.UNASSALPHA)
_KINDS = tuple(int(kind) for kind in tifffile.EXTRASAMPLE)
_LARGEST = 2**32 - 1
# Drawn on the pixels of the source.
_ON_THE_GRID = ("ROI", "Overlays", "Plot")
_IMAGEJ_ORIGIN = re.compile(r"^([xy])origin=(\S+)\n?", re.MULTILINE)
_APERIO_PIXEL = re.compile(r"\|\s*MPP\s*=\s*([0-9.]+)")


def kept_options(series: Any, form: SampleForm, grid: Grid, samples: int, note: str = "") -> dict[str, Any]:
    """What is kept of an image or stack, as options of tifffile's writer.

    OME-XML, ImageJ's and tifffile's own descriptions say of the result what they said of the source. Another
    description is kept where it is text and no XML: those of scanners tell of a layout that the result has not.

    Args:
        series: of the source.
        form: of its samples.
        grid: of the result.
        samples: per pixel of the result; what it has more than colour are extra.
        note: one line about the result, for a person; the description holds it.
    """
    page = series.keyframe
    options: dict[str, Any] = {
        "compression": None if page.compression == tifffile.COMPRESSION.NONE else "zlib",
        "photometric": form.photometric,
    }
    extra = samples - form.channels
    if extra > 0:
        options["extrasamples"] = _kinds_of_extra(page.extrasamples, extra)
    if samples > 1:
        options["planarconfig"] = "contig"
    options.update(_resolution(page, grid))
    # The profile of a printer is none of RGB.
    if page.iccprofile is not None and page.photometric != tifffile.PHOTOMETRIC.SEPARATED:
        options["iccprofile"] = page.iccprofile
    tags = _imagej_tags(page, form, grid) if series.kind == "imagej" else []
    orientation = page.tags.valueof(ORIENTATION, 1)
    if orientation != grid.orientation:
        tags.append((ORIENTATION, "H", 1, orientation, False))
    if tags:
        options["extratags"] = tags
    description = _description(series, form, grid, samples, note)
    if description:
        options["description"] = description
    return options


def _kinds_of_extra(declared: tuple[int, ...], number: int) -> list[int]:
    """Kinds of extra samples as declared; the first one of a page that declares none is transparency."""
    known = [kind if kind in _KINDS else _UNSPECIFIED for kind in declared] or [_UNASSOCIATED]
    return [*known, *[_UNSPECIFIED] * number][:number]


def pixels_per_unit(page: Any) -> list[tuple[int, int]] | None:
    """Resolution across and down as stored, two fractions; None where the tags are missing or say nothing."""
    values = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
    return values if all(value is not None and all(value) for value in values) else None


def micrometres_of_scanner(page: Any) -> float | None:
    """Size of a pixel that Aperio's scanners write into the description; None where there is none."""
    found = _APERIO_PIXEL.search(page.description) if page.is_svs else None
    return None if found is None or float(found[1]) == 0 else float(found[1])


def _resolution(page: Any, grid: Grid) -> dict[str, Any]:
    values = pixels_per_unit(page)
    if values is None:
        size = micrometres_of_scanner(page)
        return {} if size is None else {"resolution": (grid.factor * 1e4 / size,) * 2, "resolutionunit": "CENTIMETER"}
    if any(grid.factor * dots > _LARGEST * length for dots, length in values):
        # No measure of anything; the tag cannot hold it.
        return {}
    finer = [
        (grid.factor * dots, length) if grid.factor * dots <= _LARGEST else grid.factor * dots / length
        for dots, length in values
    ]
    # Where the tag is missing, it is the inch.
    unit = page.tags.valueof("ResolutionUnit", tifffile.RESUNIT.INCH)
    known = unit if unit in set(tifffile.RESUNIT) else tifffile.RESUNIT.NONE
    return {"resolution": tuple(finer[::-1] if grid.swapped else finer), "resolutionunit": known}


def _imagej_tags(page: Any, form: SampleForm, grid: Grid) -> list[tuple[Any, ...]]:
    """Labels, ranges, colours of display and the like, in the byte order of the result."""
    found = page.tags.valueof(_IMAGEJ_DATA, {})
    applied = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    left_out = (*(() if grid.unchanged else _ON_THE_GRID), *(("LUTs",) if applied else ()))
    kept = {key: value for key, value in found.items() if key not in left_out}
    tags: list[tuple[Any, ...]] = list(tifffile.imagej_metadata_tag(kept, "<"))
    if page.colormap is not None and not applied and form.channels == 1:
        tags.append((_COLOUR_MAP, "H", page.colormap.size, np.ascontiguousarray(page.colormap, "<u2").tobytes(), False))
    return tags


def _description(series: Any, form: SampleForm, grid: Grid, samples: int, note: str) -> bytes:
    page = series.keyframe
    if series.kind == "ome":
        size = (page.imagewidth, page.imagelength)
        pages = math.prod(length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS")
        xml = ome_xml.describe_result(
            series.parent.ome_metadata, size, series.name, grid, form.dtype.name, samples, pages, note
        )
        return note.encode() if xml is None else xml
    if series.kind == "imagej":
        text = _imagej_description(page.imagej_description.rstrip("\n") + "\n", grid)
        return (text + (f"{note}\n" if note else "")).encode()
    if series.kind == "shaped":
        return json.dumps(_shaped_description(series, grid, samples) | ({"note": note} if note else {})).encode()
    is_text = series.kind in ("uniform", "generic") and page.description.strip()[:1] not in ("", "<")
    return "\n".join([note] * bool(note) + [page.description] * is_text).encode()


def _imagej_description(text: str, grid: Grid) -> str:
    """ImageJ's description; its origin is a place among the pixels."""

    def moved(found: re.Match[str]) -> str:
        if not grid.unchanged and grid.orientation != 1:
            return ""
        return f"{found[1]}origin={float(found[2]) * grid.factor}\n"

    return text if grid.unchanged else _IMAGEJ_ORIGIN.sub(moved, text)


def _shaped_description(series: Any, grid: Grid, samples: int) -> dict[str, Any]:
    """Description of tifffile's own: JSON with the shape, and whatever else the writing program has put into it."""
    try:
        found = dict(json.loads(series.keyframe.shaped_description))
    # Its form of old.
    except ValueError:
        return {}
    stack = [axis for axis in series.axes if axis not in "YXS"]
    sizes = dict(zip(series.axes, series.shape, strict=True))
    lines = ("X", "Y") if grid.swapped else ("Y", "X")
    shape = [*(sizes[axis] for axis in stack), *(sizes[axis] * grid.factor for axis in lines)]
    found["shape"] = [*shape, samples] if samples > 1 else shape
    if "axes" in found:
        found["axes"] = "".join([*stack, "YX", "S" * (samples > 1)])
    # Its pages are all there.
    found.pop("truncated", None)
    return found
