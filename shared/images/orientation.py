"""The orientation that the tag of that name (274, of TIFF and EXIF) gives to an image."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray

# Of each value: whether rows and columns change places, then whether rows and columns run the other way.
_STEPS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_UPRIGHT = (False, False, False)


def swaps_axes(orientation: int) -> bool:
    """Whether rows and columns change places when an image is shown upright."""
    return _STEPS.get(orientation, _UPRIGHT)[0]


def upright(pixels: NDArray, orientation: int, rows: int = 0) -> NDArray:
    """A view of an image the way it is to be shown; values other than 2 to 8 leave it as it is.

    Args:
        pixels: as stored.
        orientation: value of the tag.
        rows: axis of ``pixels`` along which the rows lie; that of the columns follows.
    """
    swap, flip_rows, flip_columns = _STEPS.get(orientation, _UPRIGHT)
    turned = pixels.swapaxes(rows, rows + 1) if swap else pixels
    steps = [slice(None)] * turned.ndim
    steps[rows] = slice(None, None, -1 if flip_rows else 1)
    steps[rows + 1] = slice(None, None, -1 if flip_columns else 1)
    return turned[tuple(steps)]


def turned_back(pixels: NDArray, orientation: int, rows: int = 0) -> NDArray:
    """Invert :func:`upright`."""
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation), rows)


@dataclass(frozen=True)
class Grid:
    """How the pixels of a result lie on those that its source stores.

    Attributes:
        factor: by which height and width have grown.
        orientation: value of the source's tag, where it was applied; 1 where not.
    """

    factor: int = 1
    orientation: int = 1

    @property
    def swapped(self) -> bool:
        """Whether rows and columns have changed places."""
        return swaps_axes(self.orientation)

    @property
    def unchanged(self) -> bool:
        """Whether each pixel is where it was."""
        return self.factor == 1 and self.orientation not in _STEPS
