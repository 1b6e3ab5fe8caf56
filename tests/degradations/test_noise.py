"""Moments of the noise, with tolerances that reject missing noise and a strength that is off by 5 %."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from shared.degradations import (
    Degraded,
    GaussianBlur,
    GaussianNoise,
    LocalVarianceNoise,
    PoissonNoise,
    RicianNoise,
    SaltAndPepperNoise,
    SpeckleNoise,
    challenging,
)
from shared.errors import InputError

PIXELS = (3, 512, 512)
TOLERANCE = 0.02  # relative, on the variance: 3 * 2**18 samples give about 0.2 %, a strength off by 5 % gives 10 %


def apply(degradations: list, image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    for degradation in degradations:
        image = degradation(image, random)
    return image


def moments_agree(degraded: torch.Tensor, mean: float, variance: float) -> bool:
    values = degraded.double()
    spread = (variance / values.numel()) ** 0.5
    mean_fits = abs(values.mean().item() - mean) < 5 * spread
    return mean_fits and abs(values.var().item() / variance - 1) < TOLERANCE


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize(("strength", "agrees"), [(1.0, True), (0.95, False), (1.05, False), (0.0, False)])
def test_gaussian_moments(sigma: float, strength: float, agrees: bool) -> None:
    degraded = apply([GaussianNoise(sigma * strength)], torch.full(PIXELS, 0.4))
    assert moments_agree(degraded, 0.4, sigma**2) is agrees


@pytest.mark.parametrize("value", [0.05, 0.4, 1.0])
@pytest.mark.parametrize(("strength", "agrees"), [(1.0, True), (0.95, False), (1.05, False), (1e-6, False)])
def test_poisson_moments(value: float, strength: float, agrees: bool) -> None:
    degraded = apply([PoissonNoise(0.1 * strength)], torch.full(PIXELS, value))
    assert moments_agree(degraded, value, 0.1 * value) is agrees


def test_poisson_values_are_multiples_of_the_rate_and_negative_values_count_as_zero() -> None:
    image = torch.linspace(-1, 1, 2 * 37 * 31).reshape(2, 37, 31)
    degraded = apply([PoissonNoise(0.1)], image)
    counts = degraded / 0.1
    torch.testing.assert_close(counts, counts.round(), atol=1e-5, rtol=0)
    assert (degraded[image <= 0] == 0).all()
    assert (degraded >= 0).all()


def challenging_moments(value: float, sigma: float, rate: float) -> tuple[float, float]:
    """Mean and variance of the chain on a constant image, in closed form, by quadrature over the Gaussian."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    rectified = np.maximum(value + sigma * nodes, 0)
    mean = np.average(rectified, weights=weights)
    variance = np.average((rectified - mean) ** 2, weights=weights) + rate * mean
    taps = np.exp(-0.5 * (np.arange(-1, 2) / 2.0) ** 2)
    taps /= taps.sum()
    return float(mean), float(variance * (taps**2).sum() ** 2)


@pytest.mark.parametrize(
    ("settings", "agrees"),
    [
        ({}, True),
        ({"sigma": 0.3 * 1.05}, False),
        ({"sigma": 0.3 * 0.95}, False),
        ({"rate": 0.1 * 1.05}, False),
        ({"rate": 0.1 * 0.95}, False),
        ({"sigma": 0.0}, False),
        ({"blur_sigma": 1.0}, False),
    ],
)
def test_challenging_moments(settings: dict, agrees: bool) -> None:
    # Half the tolerance, for Poisson noise makes up only part of the variance. The image is large enough for that:
    # mirrored borders and the blur's correlations together stay below 0.5 %.
    degraded = apply(challenging(**settings), torch.full((3, 1024, 1024), 0.4))
    mean, variance = challenging_moments(0.4, 0.3, 0.1)
    assert abs(degraded.mean().item() - mean) < 0.02
    assert (abs(degraded.double().var().item() / variance - 1) < TOLERANCE / 2) is agrees


def test_challenging_order() -> None:
    assert [type(step) for step in challenging()] == [GaussianNoise, PoissonNoise, GaussianBlur]


def test_noise_is_white_and_independent_between_channels() -> None:
    noise = apply([GaussianNoise(0.1)], torch.zeros(PIXELS)).numpy()

    def correlation(first: np.ndarray, second: np.ndarray) -> float:
        return abs(np.corrcoef(first.ravel(), second.ravel())[0, 1])

    assert correlation(noise[0], noise[1]) < 0.01
    assert correlation(noise[:, 1:], noise[:, :-1]) < 0.01
    assert correlation(noise[..., 1:], noise[..., :-1]) < 0.01
    assert correlation(*(ndimage.uniform_filter(noise[0], 3)[:, s] for s in (slice(1, None), slice(-1)))) > 0.01


def test_a_range_is_drawn_uniformly_for_each_image_and_reported() -> None:
    transform = Degraded("label", "image", [GaussianNoise((0.05, 0.3))], clip=False, seed=0)
    items = [transform({"id": str(i), "label": torch.zeros(1, 64, 64)}) for i in range(300)]
    sigmas = np.array([item["sigma"] for item in items])
    measured = np.array([item["image"].std().item() for item in items])
    assert abs(measured / sigmas - 1).max() < 0.06
    assert sigmas.min() > 0.05
    assert sigmas.max() < 0.3
    assert abs(sigmas.mean() - 0.175) < 0.015
    assert abs(sigmas.std() - 0.25 / 12**0.5) < 0.01


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), "0.1", True, (0.1,), (0.3, 0.1), (-0.1, 0.1), None])
def test_bad_sigma(sigma: object) -> None:
    with pytest.raises(InputError, match="sigma of GaussianNoise must"):
        GaussianNoise(sigma)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0, -0.1, float("inf"), "0.1"])
def test_bad_rate(rate: object) -> None:
    with pytest.raises(InputError, match="rate of PoissonNoise must"):
        PoissonNoise(rate)  # type: ignore[arg-type]


def test_calls_change_neither_state_nor_image() -> None:
    kinds = [GaussianNoise, LocalVarianceNoise, SpeckleNoise, RicianNoise]
    noise = [*(kind((0.1, 0.2)) for kind in kinds), PoissonNoise(0.1), SaltAndPepperNoise(0.1)]
    for degradation in [*noise, GaussianBlur(3, 2.0)]:
        image = torch.rand(1, 37, 31)
        before, kept = repr(vars(degradation)), image.clone()
        degradation(image, np.random.default_rng(0))
        assert repr(vars(degradation)) == before
        assert torch.equal(image, kept)


@pytest.mark.parametrize("kind", [GaussianNoise, LocalVarianceNoise, SpeckleNoise, RicianNoise])
def test_another_sigma_leaves_the_kind_of_noise(kind: type[GaussianNoise]) -> None:
    noise = kind((0.1, 0.2))
    image = torch.rand(1, 37, 31)
    other = noise.with_sigma(0.3)
    assert torch.equal(apply([other], image), apply([kind(0.3)], image))
    assert (repr(other), repr(noise)) == (repr(kind(0.3)), repr(kind((0.1, 0.2))))
    assert noise.with_sigma((0.3, 0.4)).draw(np.random.default_rng(0))["sigma"] > 0.3
    with pytest.raises(InputError, match=f"sigma of {kind.__name__} must"):
        noise.with_sigma(-1)


def test_degradations_without_a_sigma_of_noise_stay_as_they_are() -> None:
    for degradation in (SaltAndPepperNoise(0.1), PoissonNoise(0.1), GaussianBlur(3, 2.0)):
        assert degradation.with_sigma(0.3) is degradation
    assert LocalVarianceNoise(0.1, [[1, 2]]).with_sigma(0.3).local_vars.tolist() == [[1, 2]]
