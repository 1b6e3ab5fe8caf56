"""Classical methods that an enhancement network is compared with."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means

from shared.errors import InputError


def non_local_means(
    image: torch.Tensor | np.ndarray,
    sigma: float,
    patch_size: int = 5,
    patch_distance: int = 6,
    cut_off: float = 0.6,
    subtract_noise: bool = True,
) -> torch.Tensor:
    """Denoise one image by non-local means, told the true noise level (scikit-image, `fast_mode`).

    The defaults are those of scikit-image's own example for a known noise level. Larger patches and distances do
    better on some images and take several times as long.

    Args:
        image: [C, H, W], intensities in [0, 1].
        sigma: standard deviation of the noise on that scale, > 0.
        patch_size: side of the patches that are compared, in pixels.
        patch_distance: largest distance at which patches are looked for, in pixels.
        cut_off: `h` in multiples of sigma: how different patches may be and still count.
        subtract_noise: whether the expected contribution of the noise is subtracted from patch distances.

    Returns:
        [C, H, W], float32, on the CPU.

    Raises:
        InputError: when sigma is not positive.
    """
    if not sigma > 0:
        raise InputError(f"sigma of non_local_means must be > 0, found {sigma!r}")
    noisy = np.asarray(image.detach().cpu() if isinstance(image, torch.Tensor) else image, dtype=np.float32)
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
