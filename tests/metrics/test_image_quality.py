"""PSNR and SSIM against scikit-image, MONAI and plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import SSIMMetric
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from shared.metrics import psnr, ssim

SIZES = [(1, 37, 31), (3, 37, 31), (3, 64, 48), (1, 11, 11)]


def pair(channels: int, height: int, width: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(height * width + channels)
    rows, columns = np.mgrid[:height, :width]
    clean = 0.5 + 0.4 * np.sin(rows / 5 + np.arange(channels)[:, None, None]) * np.cos(columns / 7)
    noisy = np.clip(clean + noise * random.standard_normal(clean.shape), 0, 1)
    return torch.from_numpy(noisy).float(), torch.from_numpy(clean).float()


def naive_ssim_map(prediction: torch.Tensor, target: torch.Tensor, sigma: float = 1.5) -> np.ndarray:
    """The definition (Wang et al., 2004), window by window: [C, H - 10, W - 10]."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / sigma) ** 2)
    weights = np.outer(taps, taps) / taps.sum() ** 2
    channels, height, width = target.shape
    values = np.zeros((channels, height - 10, width - 10))
    for c, i, j in np.ndindex(values.shape):
        x, y = (image[c, i : i + 11, j : j + 11].double().numpy() for image in (prediction, target))
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        cov = (weights * (x - mx) * (y - my)).sum()
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        values[c, i, j] = luminance * (2 * cov + 9e-4) / (vx + vy + 9e-4)
    return values


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_matches_scikit_image(size: tuple[int, int, int], data_range: float) -> None:
    noisy, clean = (image * data_range for image in pair(*size))
    expected = peak_signal_noise_ratio(clean.double().numpy(), noisy.double().numpy(), data_range=data_range)
    assert psnr(noisy, clean, data_range) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_matches_its_definition_and_monai(size: tuple[int, int, int], data_range: float) -> None:
    noisy, clean = pair(*size)
    ours = ssim(noisy * data_range, clean * data_range, data_range)
    assert ours == pytest.approx(naive_ssim_map(noisy, clean).mean(), abs=1e-6)
    metric = SSIMMetric(spatial_dims=2, data_range=data_range, win_size=11, kernel_sigma=1.5)
    by_monai = torch.as_tensor(metric(noisy[None] * data_range, clean[None] * data_range)).item()
    assert ours == pytest.approx(by_monai, abs=5e-5)


def test_the_tolerance_tells_other_conventions_apart() -> None:
    noisy, clean = pair(3, 37, 31)
    ours = ssim(noisy, clean)
    assert abs(naive_ssim_map(noisy, clean, sigma=1.4).mean() - ours) > 1e-4
    assert abs(ssim(noisy, clean, data_range=2.0) - ours) > 1e-4
    assert abs(naive_ssim_map(noisy, clean)[:, 5:-5, 5:-5].mean() - ours) > 1e-4
    kwargs = {"data_range": 1.0, "channel_axis": 0, "sigma": 1.5}
    uniform = structural_similarity(noisy.numpy(), clean.numpy(), **kwargs)
    sample = structural_similarity(noisy.numpy(), clean.numpy(), gaussian_weights=True, **kwargs)
    assert abs(uniform - ours) > 1e-4
    assert abs(sample - ours) > 1e-4


def test_known_values() -> None:
    clean = torch.full((1, 16, 16), 0.5)
    assert psnr(clean + 0.1, clean) == pytest.approx(20.0, abs=1e-5)
    assert psnr(clean, clean) == math.inf
    assert ssim(clean, clean) == pytest.approx(1.0, abs=1e-12)
    # Without any structure only the luminance term is left.
    expected = (2 * 0.6 * 0.5 + 1e-4) / (0.6**2 + 0.5**2 + 1e-4)
    assert ssim(clean + 0.1, clean) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_both_images_are_clamped(metric: Callable) -> None:
    noisy, clean = pair(1, 37, 31, noise=0.5)
    assert metric(noisy * 3 - 1, clean * 3 - 1) == metric((noisy * 3 - 1).clamp(0, 1), (clean * 3 - 1).clamp(0, 1))


def ragged_mask(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[3 : height - 8, 6 : width - 2] = 1
    mask[10:14, 10:20] = 0
    return mask


@pytest.mark.parametrize("size", SIZES[:3])
def test_masked_psnr_matches_a_plain_loop(size: tuple[int, int, int]) -> None:
    noisy, clean = pair(*size)
    noisy[:, :3] = 1 - clean[:, :3]  # large errors outside
    mask = ragged_mask(*size[1:])
    errors = [
        (noisy[c, i, j].item() - clean[c, i, j].item()) ** 2
        for c in range(size[0])
        for i in range(size[1])
        for j in range(size[2])
        if mask[i, j]
    ]
    expected = -10 * math.log10(math.fsum(errors) / len(errors))
    for form in (mask, mask[None], mask.bool(), MetaTensor(mask[None])):
        assert psnr(noisy, clean, mask=form) == pytest.approx(expected, abs=1e-9)
    assert abs(psnr(noisy, clean) - expected) > 0.2


@pytest.mark.parametrize("size", SIZES[:3])
def test_masked_ssim_is_the_mean_of_the_map_inside(size: tuple[int, int, int]) -> None:
    noisy, clean = pair(*size)
    mask = ragged_mask(*size[1:])
    values = naive_ssim_map(noisy, clean)
    inside = mask.bool().numpy()[5:-5, 5:-5]  # window (i, j) has its centre at pixel (i + 5, j + 5)
    expected = values[:, inside].mean()
    assert ssim(noisy, clean, mask=mask[None]) == pytest.approx(expected, abs=1e-6)
    shifted = np.roll(inside, 1, axis=1)
    assert abs(values[:, shifted].mean() - expected) > 1e-4


def test_a_mask_of_everything_changes_nothing() -> None:
    noisy, clean = pair(3, 37, 31)
    everything = torch.ones(1, 37, 31)
    assert psnr(noisy, clean, mask=everything) == pytest.approx(psnr(noisy, clean), abs=1e-12)
    assert ssim(noisy, clean, mask=everything) == pytest.approx(ssim(noisy, clean), abs=1e-12)


def test_inputs_are_left_alone_and_metatensors_are_taken() -> None:
    noisy, clean = pair(1, 37, 31)
    wide = noisy * 2
    kept = wide.clone()
    assert psnr(MetaTensor(wide), MetaTensor(clean)) == psnr(wide, clean)
    assert torch.equal(wide, kept)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bad_input(metric: Callable) -> None:
    noisy, clean = pair(1, 37, 31)
    with pytest.raises(ValueError, match="of one shape"):
        metric(noisy[:, 1:], clean)
    with pytest.raises(ValueError, match="of one shape"):
        metric(noisy[0], clean[0])
    with pytest.raises(ValueError, match="of one shape"):
        metric(noisy[:, :0], clean[:, :0])
    with pytest.raises(ValueError, match="prediction must be finite"):
        metric(noisy * float("nan"), clean)
    with pytest.raises(ValueError, match="at least one pixel"):
        metric(noisy, clean, mask=torch.zeros(1, 37, 31))
    with pytest.raises(ValueError, match=r"mask must have the size \(37, 31\)"):
        metric(noisy, clean, mask=torch.ones(1, 31, 37))
    with pytest.raises(ValueError, match="data_range must be > 0"):
        metric(noisy, clean, 0.0)


def test_ssim_of_an_image_smaller_than_its_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11x11 pixels, found 10x31"):
        ssim(torch.rand(1, 10, 31), torch.rand(1, 10, 31))
