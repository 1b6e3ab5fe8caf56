"""Images as they are shown: which way up, what an error is on the screen, and which part is worth enlarging."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import InputError

ORIENTATIONS = ("yx", "xy", "ras")


def check_orientation(orientation: str) -> None:
    """Raise an InputError unless the orientation is known.

    How [H, W] lies on the screen. "yx": the first axis goes down. "xy": the first axis goes right, as MONAI reads
    PNG and JPEG files. "ras": the first axis goes right and the second up, as in a NIfTI slice.
    """
    if orientation not in ORIENTATIONS:
        raise InputError(f"orientation of the panel must be one of {', '.join(ORIENTATIONS)}, found {orientation!r}")


def upright(values: NDArray, orientation: str) -> NDArray:
    """Return [H, W] as it lies on the screen: rows from top to bottom."""
    if orientation == "yx":
        return values
    return values.T if orientation == "xy" else values.T[::-1]


def displayed(image: torch.Tensor, orientation: str) -> NDArray[np.uint8]:
    """Return an image [C, H, W] in [0, 1] as bytes [rows, columns, 3], the right way up."""
    values = (image.clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
    # Other numbers of channels have no agreed colours: the first one stands for all.
    channels = values if values.shape[0] == 3 else np.repeat(values[:1], 3, axis=0)
    return np.stack([upright(channel, orientation) for channel in channels], axis=-1)


def error_map(image: torch.Tensor, reference: torch.Tensor) -> NDArray[np.float32]:
    """Return the absolute error [H, W] of an image [C, H, W], both clamped to [0, 1], averaged over the channels."""
    return (image.clamp(0, 1) - reference.clamp(0, 1)).abs().mean(dim=0).cpu().numpy().astype(np.float32)


def error_scale(errors: Iterable[NDArray]) -> float:
    """Return the error at which the colour scale common to some error maps ends, a multiple of 0.05."""
    # The largest errors of a few pixels would darken the whole map; 0.05 keeps scales comparable between runs.
    return max(0.05, math.ceil(max(float(np.percentile(error, 99.5)) for error in errors) / 0.05) * 0.05)


@dataclass(frozen=True)
class Box:
    """A rectangle of an image [C, H, W], in its own pixels."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, image: torch.Tensor) -> torch.Tensor:
        """Return that part of an image."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def upright(self, shape: tuple[int, int], orientation: str) -> Box:
        """Return the box on the screen, of an image with sides [H, W]."""
        if orientation == "yx":
            return self
        top = self.left if orientation == "xy" else shape[1] - self.left - self.width
        return Box(top, self.top, self.width, self.height)


def detail(reference: torch.Tensor, part: int = 4) -> Box:
    """Return the box of a quarter of each side in which an image varies most.

    Of a clean image alone, no method is favoured by it. Boxes of which a tenth is black (the surroundings of an
    ultrasound fan, the air around a head) count only where there is no other.

    Args:
        reference: [C, H, W] in [0, 1].
        part: what fraction of a side the box takes.
    """
    size = [max(2, side // part) for side in reference.shape[-2:]]
    grey = reference.mean(dim=0, keepdim=True)[None]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(values, size, stride=1)[0, 0]

    variance = mean(grey**2) - mean(grey) ** 2
    allowed = mean((grey < 0.02).float()) < 0.1
    if bool(allowed.any()):
        variance = variance.masked_fill(~allowed, -1.0)
    top, left = divmod(int(variance.argmax()), variance.shape[1])
    return Box(top, left, *size)
