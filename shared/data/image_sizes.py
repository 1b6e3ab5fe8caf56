"""Size and orientation of an image file, mostly from its header alone."""

from __future__ import annotations

import os

from PIL import ExifTags, Image

from shared.data.label_maps import is_label_map, map_size
from shared.data.medical import is_medical, plane_size, read_plane
from shared.images.orientation import swaps_axes

PathLike = str | os.PathLike[str]
UNREADABLE = (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError)
"""What Pillow's decoders raise on bad bytes: SyntaxError, EOFError, ValueError or their own bomb error too."""


def image_size(path: PathLike) -> tuple[int, int]:
    """Return (H, W) of an image as training reads it, from the header of nearly all formats.

    Raises:
        InputError: missing or no image.
    """
    if is_label_map(path):
        return map_size(path)
    if is_medical(path):
        return plane_size(path)
    try:
        with Image.open(path) as image:
            # Pillow gives the size of a TIFF image as it is once turned.
            turned = image.format != "TIFF" and swaps_axes(orientation_of(image))
            return (image.width, image.height) if turned else (image.height, image.width)
    except UNREADABLE:
        height, width = read_plane(path).pixels.shape[1:]
        return height, width


def exif_orientation(path: PathLike) -> int:
    """Return the orientation of an image by its tag of that name, 2 to 8; 1 for files that have none, or none known."""
    try:
        if not is_medical(path):
            with Image.open(path) as image:
                return orientation_of(image)
    except UNREADABLE:
        pass
    return 1


def why_turned(image: PathLike, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What to add to the message about a mask that has the size (H, W) of its image before that is turned upright."""
    orientation = exif_orientation(image)
    if found[:2] != expected[1::-1] or not swaps_axes(orientation):
        return ""
    return f", turned upright by its EXIF orientation {orientation}; expected a mask that is stored upright"


def orientation_of(image: Image.Image) -> int:
    """Return the orientation of an image that Pillow has opened, as :func:`exif_orientation` does."""
    found = image.getexif().get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) and 2 <= found <= 8 else 1
