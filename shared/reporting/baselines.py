"""Classical methods that an enhancement network is compared with.

In super-resolution they work on the small image, and the report enlarges what they give by bicubic interpolation; or
they enlarge it first. The noise level is that of the small image and must be the true one; at 0 there is nothing to
remove, and a method that is told the noise level leaves the image as it is.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

from shared.errors import InputError
from shared.networks.residual import enlarge

logger = logging.getLogger(__name__)

Image = torch.Tensor | NDArray[np.floating]

Baseline = Callable[[torch.Tensor], torch.Tensor]
"""Another method: a degraded image [C, h, w] of its own size to an image of that size or of the clean one's."""

BM3D_SIZE = 16
"""Rows and columns that BM3D gets at least: given 8 x 8 pixels, version 4.0.3 brings the process down."""


def non_local_means(
    image: Image,
    sigma: float,
    patch_size: int = 5,
    patch_distance: int = 6,
    cut_off: float = 0.6,
    subtract_noise: bool = True,
) -> torch.Tensor:
    """Denoise one image by non-local means, told the true noise level (scikit-image, `fast_mode`).

    The defaults are those of scikit-image's own example for a known noise level. Of 24 settings (patches of 3, 5, 7
    pixels, distances of 6 and 11, cut-offs of 0.4 to 1.0) they are also the best on the validation slices of MNI152 at
    a quarter of their size with σ = 0.05, to 0.01 dB.

    Args:
        image: [C, H, W], intensities in [0, 1].
        sigma: standard deviation of the noise on that scale, >= 0; an image without noise stays as it is.
        patch_size: side of the patches that are compared, in pixels.
        patch_distance: largest distance at which patches are looked for, in pixels.
        cut_off: `h` in multiples of sigma: how different patches may be and still count.
        subtract_noise: whether the expected contribution of the noise is subtracted from patch distances.

    Returns:
        [C, H, W], float32, on the CPU.

    Raises:
        InputError: when sigma is negative or not finite.
    """
    _check("non_local_means", sigma)
    noisy = _array(image)
    if sigma == 0:
        return torch.from_numpy(noisy)
    # scikit-image 0.26 drops the axis of a single channel and then permutes the image's own axes.
    single = noisy.shape[0] == 1
    denoised = denoise_nl_means(
        noisy[0] if single else noisy,
        patch_size=patch_size,
        patch_distance=patch_distance,
        h=cut_off * sigma,
        sigma=sigma if subtract_noise else 0.0,
        fast_mode=True,
        channel_axis=None if single else 0,
    )
    return torch.from_numpy(np.ascontiguousarray(denoised, dtype=np.float32).reshape(noisy.shape))


def enlarged_non_local_means(
    image: Image,
    factor: int,
    sigma: float,
    patch_size: int = 7,
    patch_distance: int = 15,
    cut_off: float = 0.8,
    subtract_noise: bool = False,
) -> torch.Tensor:
    """Enlarge one image by bicubic interpolation, and denoise the result by non-local means.

    Enlargement weakens the noise (to 0.86 sigma at factor 4) and correlates it between neighbours. Distances of patches
    then say less about noise, so nothing is subtracted from them. The defaults are the best of 54 settings on the
    validation slices of MNI152 at factor 4 with σ = 0.05: patches of 5, 7, 9 pixels, distances of 11 and 15, cut-offs
    of 0.6 to 1.0, and the noise of 0, 0.3 or 0.5 sigma subtracted. A distance of 21 gains 0.03 dB in twice the time.

    Args:
        image: [C, h, w], intensities in [0, 1].
        factor: how many times larger the result is in both directions.
        sigma: standard deviation of the noise of the small image, >= 0.
        patch_size: side of the patches, in pixels of the large image, as all that follows.
        patch_distance: see :func:`non_local_means`.
        cut_off: `h` in multiples of sigma.
        subtract_noise: see :func:`non_local_means`.

    Returns:
        [C, factor·h, factor·w], float32, on the CPU.

    Raises:
        InputError: when sigma is negative or not finite.
    """
    large = enlarge(torch.from_numpy(_array(image))[None], factor)[0]
    return non_local_means(large, sigma, patch_size, patch_distance, cut_off, subtract_noise)


def median(image: Image, size: int = 3) -> torch.Tensor:
    """Return the median of the `size` x `size` pixels around each pixel (SciPy), mirrored at the border.

    It knows no noise level, so it also changes images without noise.

    Args:
        image: [C, H, W].
        size: side of the window, in pixels.

    Returns:
        [C, H, W], float32, on the CPU.
    """
    return torch.from_numpy(median_filter(_array(image), size=(1, size, size)))


def bm3d_if_installed(sigma: float) -> Baseline | None:
    """Return BM3D (Dabov et al. 2007) for one noise level, or None, with a line in the log, without the package bm3d.

    The package is free for non-commercial use alone, so it is none of the requirements.

    Args:
        sigma: standard deviation of the noise on the [0, 1] scale, >= 0.

    Returns:
        A function of images [C, H, W] that denoises each channel by itself.

    Raises:
        InputError: when sigma is negative or not finite.
    """
    _check("bm3d_if_installed", sigma)
    if importlib.util.find_spec("bm3d") is None:
        logger.info("BM3D is left out of the report: the package bm3d is not installed (pip install bm3d)")
        return None
    return partial(_bm3d, sigma=sigma)


def _bm3d(image: Image, sigma: float) -> torch.Tensor:
    from bm3d import bm3d

    noisy = _array(image)
    if sigma == 0:
        return torch.from_numpy(noisy)
    height, width = noisy.shape[1:]
    missing = (0, max(0, BM3D_SIZE - height)), (0, max(0, BM3D_SIZE - width))
    channels = [bm3d(np.pad(channel, missing, "symmetric"), sigma)[:height, :width] for channel in noisy]
    return torch.from_numpy(np.stack(channels).astype(np.float32))


def _array(image: Image) -> NDArray[np.float32]:
    """Return a copy of an image as an array."""
    return np.array(image.detach().cpu() if isinstance(image, torch.Tensor) else image, dtype=np.float32)


def _check(owner: str, sigma: float) -> None:
    if not (math.isfinite(sigma) and sigma >= 0):
        raise InputError(f"sigma of {owner} must be a number >= 0, found {sigma!r}")
