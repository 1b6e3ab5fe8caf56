"""Rician noise against SciPy's distributions and MONAI's transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.transforms import RandRicianNoise
from scipy.stats import ks_2samp, kstest, rayleigh, rice

from shared.degradations import Degraded, RicianNoise

PIXELS = (3, 400, 400)
KS = 0.006
"""Largest difference of two distributions: 480,000 samples give 0.003 or less, a strength off by 5 % 0.012 or more."""
STRENGTHS = [(1.0, True), (0.95, False), (1.05, False), (1e-6, False)]


def noisy(value: float, sigma: float, seed: int = 0) -> np.ndarray:
    image = RicianNoise(sigma)(torch.full(PIXELS, value), np.random.default_rng(seed))
    assert image.dtype == torch.float32
    return image.double().numpy().ravel()


def near(found: float, expected: float, tolerance: float) -> bool:
    return bool(abs(found / expected - 1) < tolerance)


@pytest.mark.parametrize("sigma", [0.05, 0.3])
@pytest.mark.parametrize(("strength", "agrees"), STRENGTHS)
def test_background_is_rayleigh(sigma: float, strength: float, agrees: bool) -> None:
    values = noisy(0.0, sigma * strength)
    assert bool(kstest(values, rayleigh(scale=sigma).cdf).statistic < KS) is agrees
    assert near(values.mean(), sigma * math.sqrt(math.pi / 2), 0.005) is agrees
    assert near(values.std(), sigma * math.sqrt(2 - math.pi / 2), 0.01) is agrees


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(("strength", "agrees"), STRENGTHS)
def test_distribution_and_moments_at_a_ratio_of_signal_to_noise(ratio: float, strength: float, agrees: bool) -> None:
    sigma = 0.08
    expected = rice(b=ratio, scale=sigma)
    values = noisy(ratio * sigma, sigma * strength)
    assert bool(kstest(values, expected.cdf).statistic < KS) is agrees
    if agrees:
        assert near(values.mean(), expected.mean(), 0.003)
    assert near(values.std(), expected.std(), 0.01) is agrees


@pytest.mark.parametrize("value", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("strength", "agrees"), STRENGTHS)
def test_distribution_is_that_of_monais_transform(value: float, strength: float, agrees: bool) -> None:
    transform = RandRicianNoise(prob=1.0, std=0.1, sample_std=False)
    transform.set_random_state(1)
    oracle = np.asarray(transform(torch.full(PIXELS, value))).ravel()
    assert bool(ks_2samp(noisy(value, 0.1 * strength), oracle, method="asymp").statistic < KS) is agrees


def test_mean_of_a_strong_signal_is_raised_a_little() -> None:
    sigma, value = 0.1, 0.8
    assert noisy(value, sigma).mean() - value == pytest.approx(sigma**2 / (2 * value), rel=0.1)


def test_without_noise_the_magnitude_is_left() -> None:
    image = torch.tensor([[[-0.02, 0.0, 0.3, 1.0]]])  # bicubic down-sampling leaves some values below 0
    assert torch.equal(RicianNoise(0.0)(image, np.random.default_rng(0)), image.abs())


@pytest.mark.parametrize("seed", range(5))
def test_both_parts_have_the_one_sigma_that_is_drawn(seed: int) -> None:
    image = RicianNoise((0.01, 0.5))(torch.zeros(PIXELS), np.random.default_rng(seed))
    assert (image.std() / image.mean()).item() == pytest.approx(math.sqrt(4 / math.pi - 1), rel=0.01)


def test_a_range_is_reported() -> None:
    transform = Degraded("label", "image", [RicianNoise((0.1, 0.2))], clip=False, seed=0)
    for number in range(5):
        item = transform({"id": str(number), "label": torch.zeros(PIXELS)})
        assert item["image"].mean().item() == pytest.approx(item["sigma"] * math.sqrt(math.pi / 2), rel=0.01)
        assert 0.1 < item["sigma"] < 0.2
        assert item["image"].min() >= 0
