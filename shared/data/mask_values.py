"""Which values a folder's masks hold, and which of them are hardly classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.data.slices import MaskContent, mask_content
from shared.errors import InputError

MAX_MASK_CLASSES = 64
"""With more distinct values a file is no mask, or one that JPEG compression or interpolation has spoilt."""

FULL_SCALE = (255, 65535)
"""Values that programs write for "yes" in an image of 8 and of 16 bits."""

NEAR = 16
"""A value that is as near to 0 or to full scale is an index of a class, or a trace of compression."""

FEW_PIXELS = 10
"""With fewer pixels in each of its masks a value is rather a slip than a structure."""

MANY_MASKS = 5
"""From this number of masks on, a class that is in one alone can be learned or tested, not both."""


@dataclass(frozen=True)
class ValueUse:
    """Where a value occurs: number of masks, number of pixels in all, and the first mask."""

    masks: int
    pixels: int
    first: str


def mask_values(masks: Mapping[str, str], plane: str) -> dict[int, ValueUse]:
    """Read the masks and say where each of their values occurs, by value in ascending order; {} without masks.

    Args:
        masks: id to path.
        plane: in which volumes are cut.

    Raises:
        InputError: a mask cannot be read, there are more than 64 values, or only one.
    """
    found: dict[int, ValueUse] = {}
    for path in masks.values():
        content: MaskContent = mask_content(path, plane)
        for value, count in zip(content.values, content.counts, strict=True):
            before = found.get(value, ValueUse(0, 0, path))
            found[value] = ValueUse(before.masks + 1, before.pixels + count, before.first)
        if len(found) > MAX_MASK_CLASSES:
            raise InputError(
                f"masks: more than {MAX_MASK_CLASSES} different values, reached at '{path}', expected 0 and 255, or "
                "the index of a class; JPEG compression and smooth resizing spoil masks"
            )
    if len(found) == 1:
        raise InputError(f"masks: all masks hold the value {next(iter(found))} alone, expected at least two classes")
    return dict(sorted(found.items()))


def doubt_about(values: Mapping[int, ValueUse], masks: int) -> str | None:
    """What speaks against taking each value for a class of its own, in one line that names a mask; None for nothing.

    Args:
        values: as :func:`mask_values` gives them.
        masks: number of masks.
    """
    if not values:
        return None
    lowest, highest = min(values), max(values)
    doubts = {}
    if lowest != 0:
        doubts[lowest] = f"{lowest} becomes class 0, the background, for which 0 is expected"
    near = [value for value in values if highest in FULL_SCALE and _is_near(value, highest)]
    if near:
        odd = min((*near, highest), key=lambda value: (values[value].masks, values[value].pixels))
        others = _listed(near if odd == highest else [highest])
        doubts[odd] = f"{odd} beside {others} is hardly a class of its own, as in {values[odd].masks} of {masks} masks"
    for value, use in values.items():
        if value == lowest or value in near or (near and value == highest):
            continue
        if use.masks == 1 and masks >= MANY_MASKS:
            doubts[value] = f"{value} is in 1 of {masks} masks"
        elif use.pixels < FEW_PIXELS * use.masks:
            doubts[value] = f"{value} has {use.pixels} pixels in {use.masks} of {masks} masks"
    if not doubts:
        return None
    found = "; ".join(f"{doubts[value]} (first '{values[value].first}')" for value in list(doubts)[:3])
    more = f"; and {len(doubts) - 3} more" if len(doubts) > 3 else ""
    return f"{found}{more}; rewrite such masks with 0 for the background and one value for each class"


def _is_near(value: int, highest: int) -> bool:
    return 0 < value < NEAR or highest - NEAR < value < highest


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")
