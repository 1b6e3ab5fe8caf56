"""Missing values (NaN), as programs that resample an image leave them outside of what was measured."""

from __future__ import annotations

from shared.errors import InputError
from shared.images.picture import Picture


def note_on_gaps(name: str, missing: int, infinite: int, total: int) -> tuple[str, ...]:
    """What a person should be told about the missing values of an image; nothing where there is none.

    Args:
        name: of the image, for the message.
        missing: number of values that are NaN.
        infinite: number of infinite ones.
        total: of all values.

    Raises:
        InputError: a value is infinite, or all are missing.
    """
    if infinite or missing == total:
        raise InputError(f"{name}: {infinite or missing} of {total} values are {'infinite' if infinite else 'NaN'}")
    return (f"{missing} of {total} values are NaN: taken for padding and kept",) if missing else ()


def darkest(picture: Picture, lowest: float, highest: float) -> float:
    """The stored value that takes the place of missing ones.

    Args:
        picture: the image.
        lowest: smallest of its stored values, as far as there are any.
        highest: largest of them.
    """
    return highest if picture.inverted != (picture.slope < 0) else lowest
