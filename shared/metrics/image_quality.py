"""PSNR and SSIM of one image against its clean counterpart, over the whole image or inside a region."""

from __future__ import annotations

import math

import torch
from skimage.metrics import structural_similarity

WINDOW = 11
WINDOW_SIGMA = 1.5
BORDER = WINDOW // 2


def psnr(
    prediction: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, mask: torch.Tensor | None = None
) -> float:
    """Return the peak signal-to-noise ratio 10·log10(data_range² / MSE) in dB, all channels together.

    Both images are clamped to [0, data_range] first, as a stored image is; sums are float64.

    Args:
        prediction: [C, H, W].
        target: [C, H, W], the clean image.
        data_range: peak of the intensity scale, > 0.
        mask: [H, W] or [1, H, W], boolean or numbers of which those above 0.5 count as inside; the error is then
            averaged over the pixels inside only.

    Returns:
        The ratio in dB; infinity when both images are equal.

    Raises:
        ValueError: on shapes that do not match, an empty image, an empty mask, or values that are not finite.
    """
    prediction, target = _checked_pair(prediction, target, data_range)
    squared_error = (prediction.double() - target.double()) ** 2
    if mask is not None:
        squared_error = squared_error[:, _checked_mask(mask, target)]
        if squared_error.numel() == 0:
            raise ValueError("mask must hold at least one pixel, found none")
    mean = squared_error.mean().item()
    return 10.0 * math.log10(data_range**2 / mean) if mean > 0 else math.inf


def ssim(
    prediction: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, mask: torch.Tensor | None = None
) -> float:
    """Return the structural similarity (Wang et al., 2004), the mean over channels and positions.

    Gaussian window of 11x11 pixels, σ = 1.5, constants k1 = 0.01 and k2 = 0.03, weighted (not sample) covariance,
    computed by scikit-image in float64: MONAI's SSIM is the same in float32, in which variances near zero cancel
    and flat images are off by up to 2e-4. Only positions at which the whole window lies inside the image count, so
    the map leaves out a border of 5 pixels. With a mask, the result is the mean of the map over the window centres
    inside the mask; the mask's own part of that border is left out as well. Both images are clamped to
    [0, data_range] first.

    Args:
        prediction: [C, H, W], at least 11x11 pixels.
        target: [C, H, W], the clean image.
        data_range: peak of the intensity scale, > 0.
        mask: [H, W] or [1, H, W], see `psnr`.

    Raises:
        ValueError: on shapes that do not match, an image smaller than the window, a mask without any window centre,
            or values that are not finite.
    """
    prediction, target = _checked_pair(prediction, target, data_range)
    if min(target.shape[1:]) < WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels, found {target.shape[1]}x{target.shape[2]}"
        )
    _, values = structural_similarity(
        prediction.double().cpu().numpy(),
        target.double().cpu().numpy(),
        data_range=data_range,
        channel_axis=0,
        gaussian_weights=True,
        sigma=WINDOW_SIGMA,  # scikit-image cuts the window off at 3.5 sigma, which makes it 11 pixels wide
        use_sample_covariance=False,
        full=True,
    )
    # The map of scikit-image covers the border too, by mirroring.
    interior = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    values = values[interior]
    if mask is not None:
        values = values[:, _checked_mask(mask, target)[interior].cpu().numpy()]
    if values.size == 0:
        raise ValueError(f"mask must hold at least one pixel that is {BORDER} pixels from the border, found none")
    return float(values.mean())


def _checked_pair(
    prediction: torch.Tensor, target: torch.Tensor, data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both images as plain, clamped tensors, or raise a ValueError that names what is wrong."""
    if data_range <= 0:
        raise ValueError(f"data_range must be > 0, found {data_range}")
    if prediction.shape != target.shape or target.ndim != 3 or target.numel() == 0:
        raise ValueError(
            "prediction and target must be non-empty images [C, H, W] of one shape, "
            f"found {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    pair = []
    for name, image in (("prediction", prediction), ("target", target)):
        # as_subclass: a MetaTensor carries its metadata through every operation.
        plain = image.detach().as_subclass(torch.Tensor)
        if not torch.isfinite(plain).all():
            raise ValueError(f"{name} must be finite, found NaN or infinity")
        pair.append(plain.clamp(0.0, data_range))
    return pair[0], pair[1]


def _checked_mask(mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mask as booleans [H, W] on the device of `target`."""
    plain = mask.detach().as_subclass(torch.Tensor).to(target.device)
    plain = plain[0] if plain.ndim == 3 and plain.shape[0] == 1 else plain
    if plain.shape != target.shape[1:]:
        raise ValueError(f"mask must have the size {tuple(target.shape[1:])}, found {tuple(mask.shape)}")
    return plain > 0.5
