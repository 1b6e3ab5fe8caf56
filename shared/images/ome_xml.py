"""OME-XML, the description of an OME-TIFF file: size of a pixel, and what it says of an enhanced image."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from shared.images.orientation import Grid

_TYPES = {"float32": "float", "float64": "double"}
_PLACES = ("TiffData", "BinData", "MetadataOnly")


def physical_sizes(xml: str, size: tuple[int, int]) -> dict[str, tuple[float, str]]:
    """Size of a pixel along each of the axes X, Y and Z for which the file says it, with its unit.

    Args:
        xml: the description.
        size: width and height of the image in pixels, as stored.
    """
    image = _image(ElementTree.fromstring(xml), size)
    pixels = None if image is None else image.find("{*}Pixels")
    if pixels is None:
        return {}
    found = {}
    for axis in "XYZ":
        value = pixels.get(f"PhysicalSize{axis}")
        if value is not None:
            found[axis] = (float(value), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return found


def describe_result(
    xml: str, size: tuple[int, int], name: str, grid: Grid, dtype: str, samples: int, pages: int, note: str
) -> bytes | None:
    """The description of a file that holds one image alone, enhanced: all that is said of it and still holds.

    Size and physical size are those of the new pixels, the place of the planes is in the file itself. Regions of
    interest, drawn on the source's pixels, are left out where those have moved.

    Args:
        xml: description of the source.
        size: width and height of the source, as stored.
        name: of the image in the source.
        grid: of the result.
        dtype: NumPy name of the type of a sample.
        samples: per pixel.
        pages: number of planes.
        note: one line for a person; it becomes a comment. "" for none.

    Returns:
        ASCII; None where the source's description does not hold the image.
    """
    root = ElementTree.fromstring(xml)
    image = _image(root, size, name)
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return None
    # It names the file.
    root.attrib.pop("UUID", None)
    for other in root.findall("{*}Image"):
        if other is not image:
            root.remove(other)
    if not grid.unchanged:
        for parent, kind in ((root, "ROI"), (image, "ROIRef")):
            for element in parent.findall(f"{{*}}{kind}"):
                parent.remove(element)
    _set_form(pixels, grid, dtype, samples)
    _set_place(pixels, pages)
    space = re.match(r"\{(.*)\}", root.tag)
    if space is not None:
        # Without it every name would get a prefix, which some readers do not know.
        ElementTree.register_namespace("", space[1])
    comment = f"<!-- {note} -->" if note else ""
    declaration = f'<?xml version="1.0" encoding="UTF-8"?>{comment}'
    return declaration.encode("ascii") + ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False)


def _image(root: ElementTree.Element, size: tuple[int, int], name: str = "") -> ElementTree.Element | None:
    """The first image of this size, one of this name before others."""
    found = []
    for image in root.findall("{*}Image"):
        pixels = image.find("{*}Pixels")
        if pixels is not None and (pixels.get("SizeX"), pixels.get("SizeY")) == (str(size[0]), str(size[1])):
            found.append(image)
    return next((image for image in found if image.get("Name") == name), found[0] if found else None)


def _set_form(pixels: ElementTree.Element, grid: Grid, dtype: str, samples: int) -> None:
    """Say how large and of which type the pixels are."""
    before = dict(pixels.attrib)
    for axis, other in (("X", "Y"), ("Y", "X")):
        source = other if grid.swapped else axis
        pixels.set(f"Size{axis}", str(int(before[f"Size{source}"]) * grid.factor))
        for kind in ("PhysicalSize{}", "PhysicalSize{}Unit"):
            value = before.get(kind.format(source))
            pixels.attrib.pop(kind.format(axis), None)
            if value is not None and grid.factor > 1 and not kind.endswith("Unit"):
                value = repr(float(value) / grid.factor)
            if value is not None:
                pixels.set(kind.format(axis), value)
    pixels.set("Type", _TYPES.get(dtype, dtype))
    channels = pixels.findall("{*}Channel")
    if not channels:
        # Here, where it is not said, a pixel has one sample.
        channels = [ElementTree.Element(_sibling(pixels, "Channel"), ID="Channel:0:0")] if samples > 1 else []
        for channel in channels:
            pixels.insert(0, channel)
    stored = int(channels[0].get("SamplesPerPixel", 1)) if channels else 1
    pixels.set("SizeC", str(int(before["SizeC"]) // stored * samples))
    for channel in channels:
        channel.set("SamplesPerPixel", str(samples))
    if samples > 1:
        pixels.set("Interleaved", "true")


def _set_place(pixels: ElementTree.Element, pages: int) -> None:
    """Say that the planes are the pages of this file, from the first one on."""
    for kind in _PLACES:
        for element in pixels.findall(f"{{*}}{kind}"):
            pixels.remove(element)
    place = ElementTree.Element(_sibling(pixels, "TiffData"), IFD="0", PlaneCount=str(pages))
    pixels.insert(len(pixels.findall("{*}Channel")), place)


def _sibling(element: ElementTree.Element, kind: str) -> str:
    """Name of a kind of element, in the name space of another."""
    return element.tag.replace("Pixels", kind)
