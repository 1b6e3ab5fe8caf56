"""What losses between two images have in common: equal shapes, single precision, a mean or a sum over each image."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.errors import InputError

REDUCTIONS = ("mean", "image")
"""How the differences of an image become one number: their mean, or their sum, which is averaged over the batch."""


def checked_reduction(reduction: str) -> str:
    """Return it.

    Raises:
        InputError: when it is none of ``REDUCTIONS``.
    """
    if reduction not in REDUCTIONS:
        raise InputError(f"reduction: expected one of {list(REDUCTIONS)}, found {reduction!r}")
    return reduction


def relative_to_mean(reduction: str, images: Tensor) -> int:
    """Return how many times as large as the mean the reduction is for images [B, C, H, W]: C·H·W for "image"."""
    return images[0].numel() if reduction == "image" else 1


def require_equal_shapes(prediction: Tensor, target: Tensor) -> None:
    """Refuse what torch would broadcast.

    Raises:
        InputError: when the shapes differ.
    """
    if prediction.shape != target.shape:
        raise InputError(
            f"loss: expected a prediction and a target of one shape, found {list(prediction.shape)} and "
            f"{list(target.shape)}"
        )


def at_least_single(images: Tensor) -> Tensor:
    """Return half-precision images, which mixed precision makes, in single precision, and others as they are."""
    return images.to(torch.promote_types(images.dtype, torch.float32))
