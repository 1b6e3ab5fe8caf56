"""Blur against SciPy, down-sampling against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from shared.degradations import BicubicDownsample, GaussianBlur
from shared.errors import InputError

RANDOM = np.random.default_rng(0)


def image(channels: int = 3, height: int = 37, width: int = 31) -> torch.Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))


def scipy_blur(clean: torch.Tensor, kernel_size: int, sigma: float) -> np.ndarray:
    taps = np.exp(-0.5 * (np.arange(kernel_size) - kernel_size // 2) ** 2 / sigma**2)
    taps /= taps.sum()
    kernel = taps[:, None] * taps[None, :]
    return np.stack([ndimage.convolve(c, kernel, mode="mirror") for c in clean.double().numpy()])


@pytest.mark.parametrize(("kernel_size", "sigma"), [(3, 2.0), (5, 0.7), (11, 1.5), (3, 0.1)])
def test_blur_matches_scipy(kernel_size: int, sigma: float) -> None:
    blurred = GaussianBlur(kernel_size, sigma)(image(), RANDOM)
    np.testing.assert_allclose(blurred.numpy(), scipy_blur(image(), kernel_size, sigma), atol=1e-6)


def test_blur_of_another_strength_does_not_match() -> None:
    blurred = GaussianBlur(3, 2.0)(image(), RANDOM).numpy()
    assert abs(blurred - scipy_blur(image(), 3, 2.0 * 1.05)).max() > 1e-3
    assert abs(blurred - image().numpy()).max() > 1e-3


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(64, 48), (37, 31)])
def test_downsampling_matches_pillow(factor: int, size: tuple[int, int]) -> None:
    clean = image(3, *size)
    small = BicubicDownsample(factor)(clean, RANDOM)
    shape = (size[0] // factor, size[1] // factor)
    assert small.shape == (3, *shape)
    assert small.dtype == torch.float32
    for channel, shrunk in zip(clean.numpy(), small.numpy(), strict=True):
        expected = Image.fromarray(channel, mode="F").resize(shape[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(shrunk, np.asarray(expected), atol=1e-5)


def test_downsampling_is_anti_aliased() -> None:
    stripes = torch.zeros(1, 64, 64)
    stripes[..., 1::4] = 1  # finer than the small image can show: it must become even grey
    interior = (..., slice(2, -2), slice(2, -2))
    assert (BicubicDownsample(4)(stripes, RANDOM) - 0.25).abs()[interior].max() < 0.01
    aliased = torch.nn.functional.interpolate(stripes[None], size=(16, 16), mode="bicubic", align_corners=False)
    assert (aliased[0] - 0.25).abs()[interior].max() > 0.1


@pytest.mark.parametrize("kernel_size", [1, 2, 4, -3, 3.0, "3", True])
def test_bad_kernel_size(kernel_size: object) -> None:
    with pytest.raises(InputError, match="kernel_size of GaussianBlur must"):
        GaussianBlur(kernel_size, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), None])
def test_bad_blur_sigma(sigma: object) -> None:
    with pytest.raises(InputError, match="sigma of GaussianBlur must"):
        GaussianBlur(3, sigma)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [0, 1, 9, 2.0, -2, "2", True])
def test_bad_factor(factor: object) -> None:
    with pytest.raises(InputError, match="factor of BicubicDownsample must"):
        BicubicDownsample(factor)  # type: ignore[arg-type]


@pytest.mark.parametrize("degradation", [GaussianBlur(9, 1.0), BicubicDownsample(8)])
def test_too_small_images_are_named(degradation: GaussianBlur | BicubicDownsample) -> None:
    with pytest.raises(InputError, match="4x30 pixels is too small"):
        degradation(torch.rand(1, 4, 30), RANDOM)
