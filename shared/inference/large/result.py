"""What there is to say about an enhanced large image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LargeResult:
    """A large image that was enhanced; see :class:`~shared.images.SourceRecord`.

    Attributes:
        width, height, slices, channels: of the source.
        scaling: which stored values went to 0 and 1 and why.
        bits: depth that the values use, where that was the rule.
        notes: what a person should be told, each a part of a sentence.
    """

    width: int
    height: int
    slices: int
    channels: int
    scaling: str = ""
    bits: int | None = None
    notes: tuple[str, ...] = ()
