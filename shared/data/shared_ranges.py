"""The range of stored values that images of one kind in a folder share, as those of one camera do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from shared.errors import InputError
from shared.images.formats import format_of
from shared.images.picture import Intensities, Picture
from shared.images.scaling import IntensityScaling, PixelStatistics


@dataclass(frozen=True)
class StoredRange:
    """Range of the stored values of one image.

    Attributes:
        kind: see :func:`kind_of`.
        lowest, highest: smallest and largest stored value.
        bits: number of bits that the file provides; None for an image that has a scale of its own, as NIfTI, float
            TIFF, CT and MR have, and one with frames of several kinds.
        window: see :class:`~shared.images.picture.Picture`.
    """

    kind: str
    lowest: float
    highest: float
    bits: int | None = None
    window: tuple[float, float] | None = None

    @classmethod
    def of(cls, path: str, picture: Picture) -> StoredRange:
        """The range of an image that was read from ``path``."""
        lowest, highest = (float(end) for end in (picture.pixels.min(), picture.pixels.max()))
        return cls(kind_of(path, picture), lowest, highest, None if picture.parts else picture.bits, picture.window)

    def as_picture(self) -> Picture:
        """An image of the two ends, for a rule to measure."""
        return Picture(np.array([self.lowest, self.highest], np.int64), bits=self.bits, window=self.window)


@dataclass(frozen=True)
class SharedRange:
    """What the images of one kind share.

    Attributes:
        lowest, highest: smallest and largest stored value of all.
        bits: depth that holds them.
        stored_bits: number of bits that the files provide.
        files: number of images.
        scale: which values go to 0 and 1, in words.
    """

    lowest: float
    highest: float
    bits: int | None
    stored_bits: int | None
    files: int
    scale: str

    def measure(self, scaling: IntensityScaling, picture: Picture) -> Intensities:
        """Intensities of an image of this kind."""
        return scaling.measure(picture, PixelStatistics(np.array([self.lowest, self.highest])))


def kind_of(path: str, picture: Picture) -> str:
    """The kind of an image in words, by what tells the files of one camera from those of another: ``PNG uint16``.

    It is the format with DICOM's modality, the stored type, the bits where they do not fill it, and colour.
    """
    image_format = format_of(path)
    words = ["image" if image_format is None else image_format.name, picture.modality, picture.pixels.dtype.name]
    if picture.bits is not None and picture.bits < 8 * picture.pixels.dtype.itemsize:
        words.append(f"of {picture.bits} bits")
    if picture.pixels.shape[0] > 1:
        words.append("colour")
    return " ".join(word for word in words if word)


def range_for(path: str, picture: Picture, ranges: Mapping[str, SharedRange]) -> SharedRange | None:
    """The range that an image shares with the others of its kind; None where it is scaled by itself."""
    return None if picture.bits is None or picture.parts else ranges.get(kind_of(path, picture))


def shared_ranges(images: Iterable[tuple[str, StoredRange]], scaling: IntensityScaling) -> dict[str, SharedRange]:
    """Find what the images of each kind share, where the rule gives them the range of a number of bits.

    Args:
        images: path and range of each.
        scaling: the rule; its ``bits`` fixes the number for all.

    Returns:
        By kind, sorted; kinds whose images are scaled one by one are left out.

    Raises:
        InputError: an image needs more bits than the rule's ``bits``; names it.
    """
    members: dict[str, list[StoredRange]] = {}
    for path, stored in images:
        if stored.bits is None:
            continue
        try:
            found = scaling.measure(stored.as_picture())
        except InputError as err:
            raise InputError(f"{path}: {err}") from err
        if found.bits is not None:
            members.setdefault(stored.kind, []).append(stored)
    return {kind: _share(members[kind], scaling) for kind in sorted(members)}


def _share(members: list[StoredRange], scaling: IntensityScaling) -> SharedRange:
    first = members[0]
    lowest, highest = min(one.lowest for one in members), max(one.highest for one in members)
    whole = StoredRange(first.kind, lowest, highest, first.bits).as_picture()
    try:
        found = scaling.measure(whole)
    except InputError as err:
        raise InputError(f"{first.kind}: {err}") from err
    return SharedRange(lowest, highest, found.bits, first.bits, len(members), scaling.describe(whole, found))
