"""Versions of a test image brought to one form, and a few of many chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from shared.networks import enlarge_to


def plain(image: Any) -> torch.Tensor:
    """Return the image as a plain float tensor; a MetaTensor carries its metadata through every operation."""
    return torch.as_tensor(image).detach().as_subclass(torch.Tensor).float()


def enlarged(degraded: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return a degraded image [C, H, W] at the size of the clean one, by bicubic interpolation where it is smaller."""
    return enlarge_to(degraded[None], clean.shape[1:])[0]


def spread(length: int, size: int) -> list[int]:
    """Return at most `size` positions of a sequence, evenly spread from the first to the last."""
    return [int(position) for position in np.linspace(0, length - 1, min(size, length)).round()]
