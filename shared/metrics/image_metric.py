"""What a report must know about a metric of image quality: how it is called, and how its values are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from shared.errors import InputError
from shared.metrics.image_quality import psnr, ssim

REGION = "_region"
"""End of the name of a metric that was taken inside a region."""


@dataclass(frozen=True)
class ImageMetric:
    """A metric of one image: a function of the image alone, or of the image and its clean counterpart.

    The function is called `function(image)`, with `needs_reference` `function(image, clean)`; both are [C, H, W],
    with values as the network gave them (mostly, not always, in [0, 1]). It returns a number, or NaN for an image
    on which the metric is not defined; such an image is excluded and counted.

    In a configuration, a metric of one's own is `{"_target_": "shared.metrics.ImageMetric", "function": {"_target_":
    "...", "_mode_": "callable"}}`, and one of the project's `{"_target_": "shared.metrics.PSNR", "_mode_":
    "callable"}`.

    Args:
        function: see above.
        needs_reference: whether the function compares with the clean image.
        mask_key: batch key of a mask [1, H, W] without which the metric has no meaning; the function receives it as
            the keyword argument `mask`.
        in_region: whether the metric is also taken inside the region of an image that has one, given to the function
            as the keyword argument `mask`.
        heading: how tables call it; its name in the report when empty.
        unit: of its values, for tables.
        digits: decimal places in tables, >= 0.

    Raises:
        InputError: on arguments outside these rules, or with both `mask_key` and `in_region`.
    """

    function: Callable[..., float]
    needs_reference: bool = False
    mask_key: str | None = None
    in_region: bool = False
    heading: str = ""
    unit: str = ""
    digits: int = 4

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InputError(f"function of ImageMetric must be callable, found {self.function!r}")
        if self.digits < 0:
            raise InputError(f"digits of ImageMetric must be >= 0, found {self.digits!r}")
        if self.in_region and self.mask_key is not None:
            raise InputError(
                f"in_region of ImageMetric must be false for a metric with a mask of its own, found mask_key "
                f"{self.mask_key!r}"
            )

    def __call__(
        self, image: torch.Tensor, clean: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> float:
        """Return the value of one image [C, H, W].

        Args:
            image: the image that is judged.
            clean: its clean counterpart; may be missing, and is not looked at, where the metric needs none.
            mask: [1, H, W], the mask or the region; None for the whole image.

        Raises:
            ValueError: when the clean image is missing and needed; what the function raises.
        """
        if self.needs_reference and clean is None:
            raise ValueError("the metric compares with the clean image, found none")
        images = (image, clean) if self.needs_reference else (image,)
        return float(self.function(*images) if mask is None else self.function(*images, mask=mask))

    def title(self, name: str) -> str:
        """Return the heading of a column, with the unit; `name` is the metric's in the report, `_region` included."""
        heading = self.heading or name.removesuffix(REGION).replace("_", " ")
        region = " region" if name.endswith(REGION) else ""
        return f"{heading}{region}{f' [{self.unit}]' if self.unit else ''}"

    def caption(self, name: str, value: float) -> str:
        """Return a value as it stands beside a picture: with its unit, or where it has none after its heading."""
        return f"{value:.{self.digits}f} {self.unit}" if self.unit else f"{self.title(name)} {value:.3f}"


PSNR = ImageMetric(psnr, needs_reference=True, in_region=True, heading="PSNR", unit="dB", digits=2)
SSIM = ImageMetric(ssim, needs_reference=True, in_region=True, heading="SSIM")
