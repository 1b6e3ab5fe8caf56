"""The patterns by which metadata.json states sizes: 256, "*", "n", "4*n", "32**p*n"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai.bundle.scripts import _get_fake_spatial_shape

from shared.conformance.bundle import Bundle
from shared.errors import InputError
from shared.packaging.metadata import KEY, METADATA, entry

FACTORS = (1, 2, 3, 5, 9, 16, 31, 37, 48)
"""Values of n that are tried, where the size stays between the two below."""
SMALLEST, LARGEST = 9, 128


@dataclass(frozen=True)
class Size:
    """Height or width that a pattern allows, and the variables that give it."""

    p: int
    n: int
    pixels: int


def evaluate(pattern: str | int, p: int, n: int) -> int:
    """The size that a pattern gives; "*" is n.

    Raises:
        InputError: it is no such pattern.
    """
    try:
        return _get_fake_spatial_shape([pattern], p=p, n=n, any=n)[0]
    except Exception as err:  # MONAI evaluates anything, which raises anything
        raise InputError(f"spatial_shape: found {pattern!r}, expected a number, '*', or a term of n and p") from err


def sizes(pattern: str | int) -> list[Size]:
    """Some sizes that a pattern allows, ascending, odd ones among them where there are any."""
    every = {evaluate(pattern, p, n): Size(p, n, evaluate(pattern, p, n)) for p in (2, 1) for n in FACTORS}
    fit = [size for pixels, size in sorted(every.items()) if SMALLEST <= pixels <= LARGEST]
    return fit if fit else [every[min(every)]]


def step(pattern: str | int) -> int:
    """By how many pixels the sizes of a pattern differ: 4 for "4*n", 1 for "*", 0 for a fixed size."""
    return evaluate(pattern, 1, 2) - evaluate(pattern, 1, 1)


def side(bundle: Bundle, name: str, key: str) -> Mapping[str, Any]:
    """What the metadata say of "inputs", "image" or of "outputs", "pred".

    Raises:
        InputError: they say nothing, or name an image of other than two dimensions.
    """
    content = entry(bundle.packaged_metadata, name, key)
    where = f"{METADATA}: {KEY}#{name}#{key}"
    if content is None:
        raise InputError(f"{where}: found nothing, expected the format of an image")
    shape = content.get("spatial_shape")
    if not isinstance(shape, list) or len(shape) != 2:
        raise InputError(f"{where}#spatial_shape: found {shape!r}, expected height and width")
    return content


def patterns(bundle: Bundle) -> tuple[Sequence[str | int], Sequence[str | int]]:
    """Patterns of height and width of the network's input, and of its output."""
    return side(bundle, "inputs", "image")["spatial_shape"], side(bundle, "outputs", "pred")["spatial_shape"]


def shapes(bundle: Bundle) -> list[tuple[Size, Size]]:
    """Heights and widths that the network takes, each height with the next smaller width; for "n" 37x31 is one."""
    height, width = patterns(bundle)[0]
    rows, columns = sizes(height), sizes(width)
    longest = max(len(rows), len(columns))
    return [(rows[k % len(rows)], columns[(k - 1) % len(columns)]) for k in range(longest)]


def enlargement(bundle: Bundle) -> tuple[int, int]:
    """How many times higher and wider the network's output is than its input, by the metadata."""
    pairs = zip(*patterns(bundle), strict=True)
    above, across = (
        (step(after) // step(before)) if step(before) else evaluate(after, 1, 1) // evaluate(before, 1, 1)
        for before, after in pairs
    )
    return above, across
