"""Sliding-window enhancement of images and of stacks of slices, whatever their number of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import ensure_tuple_rep

from shared.errors import InputError
from shared.inference.windows import WindowAxis, axis_weights


class EnhancementInferer(Inferer):
    """Run a 2-D enhancement network over images of any size, slice by slice for a stack.

    Windows overlap and are blended by Gaussian weights (MONAI's ``SlidingWindowInferer``). A window is never
    larger than the image, so that a small image is enhanced in one pass without padding.

    An image with as many channels as the network goes in as it is. A grey image for a network of several channels
    is repeated and the result averaged over them. For a network of one channel, each channel of a colour image is
    enhanced by itself.

    A slice of a stack that holds nothing but the stack's darkest value is not enhanced: it comes out with that value
    everywhere (:func:`has_content`). There is nothing in it, and a network may well see something.

    Args:
        channels: number of channels that the network takes and gives.
        roi_size: height and width of the window, in pixels.
        sw_batch_size: number of windows in one pass of the network.
        overlap: part of the window that overlaps the next, in [0, 1).
        divisible_by: number that divides the sizes which the network accepts; smaller images are padded up to it by
            repeating their border.

    Raises:
        InputError: a setting is out of range, or an image's number of channels fits none of the above.
    """

    def __init__(
        self,
        channels: int,
        roi_size: Sequence[int] | int = 256,
        sw_batch_size: int = 4,
        overlap: float = 0.25,
        divisible_by: int = 1,
    ) -> None:
        super().__init__()
        sizes = ensure_tuple_rep(roi_size, 2)
        for name, value in {
            "channels": channels,
            "sw_batch_size": sw_batch_size,
            "divisible_by": divisible_by,
        }.items():
            if not _is_whole(value) or value < 1:
                raise InputError(f"{name}: found {value!r}, expected a whole number of at least 1")
        if not all(_is_whole(size) and size >= 1 and size % divisible_by == 0 for size in sizes):
            raise InputError(f"roi_size: found {roi_size!r}, expected positive multiples of {divisible_by}")
        if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap < 1:
            raise InputError(f"overlap: found {overlap!r}, expected a number in [0, 1)")
        self.channels = channels
        self.roi_size = sizes
        self.sw_batch_size = sw_batch_size
        self.overlap = overlap
        self.divisible_by = divisible_by

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Enhance ``inputs``, [B, C, H, W] or [B, C, H, W, S]; the result has the same form.

        Args:
            inputs: images in [0, 1].
            network: maps [B, channels, H, W] to [B, channels, f H, f W], f a whole factor.
            *args: passed on to ``network``.
            **kwargs: passed on to ``network``.
        """
        # Slices are a batch to the network; the meta data of a volume would be wrong for them.
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if images.ndim < 5:
            return self._enhance(images, network, *args, **kwargs)
        return torch.stack([self._enhance_stack(stack, network, *args, **kwargs) for stack in images])

    def window(self, size: Sequence[int]) -> list[int]:
        """Height and width of the windows in an image of height and width ``size``."""
        step = self.divisible_by
        # -(-length // step) * step: the length rounded up to a multiple of step.
        return [min(roi, -(-length // step) * step) for roi, length in zip(self.roi_size, size, strict=True)]

    def axes(self, size: Sequence[int]) -> tuple[WindowAxis, WindowAxis]:
        """Where the windows lie in an image of height and width ``size``, along both axes."""
        rows, columns = (
            WindowAxis.of(length, window, self.overlap)
            for length, window in zip(size, self.window(size), strict=True)
        )
        return rows, columns

    def _enhance_stack(
        self, stack: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """[C, H, W, S]."""
        slices = stack.permute(3, 0, 1, 2)
        darkest = slices.amin()
        chosen = has_content(slices, darkest)
        # Of an empty stack too the network has to say how large an image becomes.
        enhanced = self._enhance(slices[chosen] if chosen.any() else slices[:1], network, *args, **kwargs)
        if chosen.all():
            return enhanced.permute(1, 2, 3, 0)
        whole = darkest.to(enhanced).expand(len(slices), *enhanced.shape[1:]).clone()
        if chosen.any():
            whole[chosen] = enhanced
        return whole.permute(1, 2, 3, 0)

    def _enhance(
        self, images: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """[B, C, H, W] for any number of channels that the class serves."""
        channels = images.shape[1]
        if channels == self.channels:
            return self._slide(images, network, *args, **kwargs)
        if channels == 1:
            return self._slide(images, _RepeatedChannels(network, self.channels), *args, **kwargs)
        if self.channels == 1:
            single = self._slide(images.flatten(0, 1)[:, None], network, *args, **kwargs)
            return single.unflatten(0, (-1, channels))[:, :, 0]
        raise InputError(
            f"image has {channels} channels, expected 1 or {self.channels}, the network's number"
        )

    def _slide(
        self, images: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        window = self.window(images.shape[2:])
        inferer = SlidingWindowInferer(
            window, self.sw_batch_size, self.overlap, mode="gaussian", padding_mode="replicate"
        )
        weights = torch.outer(axis_weights(window[0]), axis_weights(window[1]))
        inferer.roi_weight_map = weights.to(images.device)
        enhanced = inferer(images, network, *args, **kwargs)
        if not isinstance(enhanced, torch.Tensor):
            raise InputError(f"network_def: gives a {type(enhanced).__name__}, expected one image")
        return enhanced


def has_content(slices: torch.Tensor, darkest: torch.Tensor | float) -> torch.Tensor:
    """Which of some slices [S, C, H, W] have a value above the darkest of all the slices of their volume, [S]."""
    return (slices > darkest).flatten(1).any(dim=1)


class _RepeatedChannels:
    """A network of several channels as one of a single channel."""

    def __init__(self, network: Callable[..., torch.Tensor], channels: int) -> None:
        self.network = network
        self.channels = channels

    def __call__(self, images: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        repeated = images.expand(-1, self.channels, -1, -1)
        return self.network(repeated, *args, **kwargs).mean(dim=1, keepdim=True)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
