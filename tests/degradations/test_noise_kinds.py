"""Kinds of noise against scikit-image's ``random_noise``, in distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from skimage.transform import resize
from skimage.util import random_noise

from shared.degradations import (
    Degradation,
    Degraded,
    GaussianNoise,
    LocalVarianceNoise,
    SaltAndPepperNoise,
    SpeckleNoise,
)
from shared.errors import InputError

SIZE = (512, 512)
KS = 0.007
"""Largest difference of two distributions: samples of 400,000 give 0.004 or less, a strength off by 5 % 0.01."""
MODES = {"gaussian": GaussianNoise, "localvar": LocalVarianceNoise, "speckle": SpeckleNoise}


def apply(noise: Degradation, image: np.ndarray) -> np.ndarray:
    return noise(torch.from_numpy(image).float(), np.random.default_rng(0)).double().numpy()


def ramp(low: float = 0.05, high: float = 1.0) -> np.ndarray:
    return np.broadcast_to(np.linspace(low, high, SIZE[1]), (3, *SIZE)).copy()


def same_distribution(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two sets of noise are alike in the left half of an image and in the right one."""
    halves = [(each[..., : SIZE[1] // 2].ravel(), each[..., SIZE[1] // 2 :].ravel()) for each in (found, expected)]
    return all(ks_2samp(ours, theirs, method="asymp").statistic < KS for ours, theirs in zip(*halves, strict=True))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("strength", "agrees"), [(1.0, True), (0.95, False), (1.05, False), (0.0, False)])
def test_noise_is_that_of_scikit_image_with_its_defaults(mode: str, strength: float, agrees: bool) -> None:
    oracle = random_noise(ramp(), mode, rng=1, clip=False)
    degraded = apply(MODES[mode](0.1 * strength), ramp())
    assert same_distribution(degraded - ramp(), oracle - ramp()) is agrees


def test_kinds_of_noise_differ() -> None:
    speckle = random_noise(ramp(), "speckle", rng=1, clip=False)
    assert not same_distribution(apply(GaussianNoise(0.1), ramp()) - ramp(), speckle - ramp())


@pytest.mark.parametrize(("power", "agrees"), [(1.0, True), (0.9, False), (0.0, False)])
def test_local_variances_of_the_images_size_are_those_of_scikit_image(power: float, agrees: bool) -> None:
    variances = ramp(0.2, 2.0)
    oracle = random_noise(ramp(), "localvar", rng=1, clip=False, local_vars=0.01 * variances)
    degraded = apply(LocalVarianceNoise(0.1, (variances[0] ** power).tolist()), ramp())
    assert same_distribution(degraded - ramp(), oracle - ramp()) is agrees


@pytest.mark.parametrize("local_vars", [[[1, 4], [0, 9]], [[0.5, 1, 2]], [[3.0]]])
@pytest.mark.parametrize("size", [(37, 31), (4, 4)])
def test_a_small_map_of_variances_is_enlarged_bilinearly(local_vars: list[list[float]], size: tuple[int, int]) -> None:
    black = np.zeros((2, *size))
    ratio = apply(LocalVarianceNoise(0.1, local_vars), black) / apply(GaussianNoise(0.1), black)
    expected = resize(np.array(local_vars, dtype=float), size, order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(ratio, np.broadcast_to(expected**0.5, ratio.shape), rtol=1e-4, atol=1e-4)


def test_equal_variances_are_gaussian_noise_value_by_value() -> None:
    np.testing.assert_array_equal(apply(LocalVarianceNoise(0.1), ramp()), apply(GaussianNoise(0.1), ramp()))


@pytest.mark.parametrize("local_vars", [[[1, -1]], [[1], [1, 2]], [1, 2], [[]], 1.0, [["a"]], [[float("nan")]], None])
def test_bad_local_variances(local_vars: Any) -> None:
    with pytest.raises(InputError, match="local_vars of LocalVarianceNoise must be rows of numbers >= 0"):
        LocalVarianceNoise(0.1, local_vars)


def test_speckle_leaves_black_black_and_draws_from_a_range() -> None:
    assert not apply(SpeckleNoise(0.5), np.zeros((1, 8, 8))).any()
    item = Degraded("label", "image", [SpeckleNoise((0.1, 0.2))], clip=False, seed=0)(
        {"id": "a", "label": torch.full((1, 256, 256), 0.5)}
    )
    assert item["image"].std().item() == pytest.approx(0.5 * item["sigma"], rel=0.02)
    assert 0.1 < item["sigma"] < 0.2


@pytest.mark.parametrize(("mode", "share"), [("s&p", 0.5), ("s&p", 0.3), ("salt", 1.0), ("pepper", 0.0)])
@pytest.mark.parametrize("probability", [0.05, 0.5, 1.0])
@pytest.mark.parametrize(
    ("strength", "shift", "agrees"), [(1.0, 0.0, True), (0.95, 0.0, False), (1.0, 0.05, False), (1.0, -0.05, False)]
)
def test_salt_and_pepper_are_as_frequent_as_in_scikit_image(
    mode: str, share: float, probability: float, strength: float, shift: float, agrees: bool
) -> None:
    if not 0 <= share + shift <= 1:
        shift = -shift
    image = np.full((3, *SIZE), 0.4)
    options = {"salt_vs_pepper": share} if mode == "s&p" else {}
    oracle = random_noise(image, mode, rng=1, clip=False, amount=probability, **options)
    degraded = apply(SaltAndPepperNoise(probability * strength, share + shift), image)
    differences = [abs((degraded == value).mean() - (oracle == value).mean()) for value in (0.0, 1.0)]
    assert bool(max(differences) <= 0.02 * probability) is agrees


@pytest.mark.parametrize(("share", "left"), [(0.5, (0.0, 1.0)), (1.0, (1.0,)), (0.0, (0.0,))])
def test_salt_and_pepper_replace_values_independently_and_leave_the_others(share: float, left: tuple[float]) -> None:
    image = np.full((2, *SIZE), np.float32(0.4), dtype=float)
    degraded = apply(SaltAndPepperNoise(0.2, share), image)
    assert sorted(np.unique(degraded)) == sorted([*left, float(np.float32(0.4))])
    hit = degraded != image
    assert abs(np.corrcoef(hit[0].ravel(), hit[1].ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(apply(SaltAndPepperNoise(0.0, share), image), image)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.1", None, True])
def test_bad_probability_or_share(value: Any) -> None:
    with pytest.raises(InputError, match="probability of SaltAndPepperNoise must be"):
        SaltAndPepperNoise(value)
    with pytest.raises(InputError, match="salt_share of SaltAndPepperNoise must be"):
        SaltAndPepperNoise(0.1, value)


def test_errors_name_the_kind_of_noise() -> None:
    with pytest.raises(InputError, match="sigma of SpeckleNoise must"):
        SpeckleNoise(-1)
