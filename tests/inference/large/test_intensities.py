"""Range and percentiles of values that are read in parts are NumPy's, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images import IntensityScaling
from shared.images.guard import suspicious_change
from shared.images.value_statistics import PixelStatistics
from shared.inference import EnhancementInferer, LargeImages, LoadSourced
from shared.inference.large.streamed_statistics import StreamedStatistics
from tests.inference.large.case import Uneven, at_once, in_bands, write

RNG = np.random.default_rng(0)


def streamed(values: NDArray, parts: int = 7) -> StreamedStatistics:
    def begin() -> Iterator[NDArray]:
        yield from np.array_split(values, parts)

    return StreamedStatistics(begin, "image")


def values(kind: str, dtype: str, count: int) -> NDArray:
    if kind == "constant":
        return np.full(count, 3, dtype)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        if kind == "wide":
            return RNG.integers(info.min, info.max, count, dtype, endpoint=True)
        return RNG.integers(0, 9, count).astype(dtype)
    if kind == "few":
        return RNG.choice(np.array([-1.5, -0.0, 0.0, 1e-6, 2.0], dtype), count)
    limits = np.finfo(dtype)
    exponents = RNG.uniform(limits.minexp - 5, limits.maxexp - 1, count)
    return (RNG.choice([-1, 1], count) * 2.0**exponents).astype(dtype)


@pytest.mark.parametrize("count", [1, 2, 10, 4321])
@pytest.mark.parametrize("kind", ["wide", "few", "constant"])
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "uint32", "int64", "uint64"]
)
def test_statistics_are_numpys(dtype: str, kind: str, count: int) -> None:
    pixels = values(kind, dtype, count)
    statistics = streamed(pixels, min(7, count))
    assert statistics.range() == (float(pixels.min()), float(pixels.max()))
    for lower, upper in [(0.1, 99.9), (0, 100), (12.5, 50), (50, 50.0001)]:
        expected = np.percentile(pixels, (lower, upper))
        np.testing.assert_array_equal(statistics.percentiles(lower, upper), expected.astype(float))


@pytest.mark.parametrize("count", [1, 2, 10, 4321])
@pytest.mark.parametrize("kind", ["wide", "few", "constant"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint32"])
def test_statistics_for_outliers_are_those_of_values_in_memory(dtype: str, kind: str, count: int) -> None:
    pixels = values(kind, dtype, count)
    parts, whole = streamed(pixels, min(7, count)), PixelStatistics(pixels)
    assert parts.count == whole.count == count
    for lower, upper in [(0.1, 99.9), (0, 100), (12.5, 50)]:
        assert parts.inner_percentiles(lower, upper) == whole.inner_percentiles(lower, upper)
    low, high = sorted(whole.inner_percentiles(20, 70))
    assert parts.nearest_inside(low, high) == whole.nearest_inside(low, high)
    for limit in (low, high):
        for percentile in (0.1, 30, 60, 99.9):
            assert parts.percentile_beyond(limit, percentile) == whole.percentile_beyond(limit, percentile)


def test_statistics_of_a_million_values() -> None:
    pixels = RNG.normal(300, 70, (1000, 1001)).astype("float32")
    assert streamed(pixels).percentiles(0.1, 99.9) == tuple(np.percentile(pixels, (0.1, 99.9)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(value: float) -> None:
    pixels = RNG.random(100, "float32")
    pixels[[3, 50, 99]] = value
    with pytest.raises(InputError, match="image: 3 of 100 values are NaN or infinite"):
        streamed(pixels).percentiles(1, 99)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32"])
@pytest.mark.parametrize("rule", ["percentile", "minmax"])
def test_a_large_image_is_scaled_as_an_ordinary_one(tmp_path: Path, rule: str, dtype: str) -> None:
    pixels = RNG.normal(1000, 300, (90, 80, 4)).astype(dtype)
    source = write(tmp_path / "a.tif", pixels, extrasamples=["unassalpha"], tile=(32, 32))
    inferer, scaling = EnhancementInferer(3, 32), IntensityScaling(rule, 2, 90)
    found = in_bands(source, tmp_path / "b" / "a.tif", Uneven(3), inferer, scaling)
    expected = at_once(source, tmp_path / "o" / "a.tif", Uneven(3), inferer, scaling)
    atol = 1 if dtype.startswith("int") else 1e-6 * float(np.ptp(pixels))
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)
    assert (found != expected).mean() < 0.01 or atol < 1


def test_a_large_image_with_nan_leaves_nothing(tmp_path: Path) -> None:
    pixels = RNG.random((90, 80), "float32")
    pixels[70, 3] = np.nan
    with pytest.raises(InputError, match=r"a\.tif: 1 of 7200 values are NaN or infinite"):
        in_bands(write(tmp_path / "a.tif", pixels), tmp_path / "b" / "a.tif", Uneven(), EnhancementInferer(1))
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("rule", ["percentile", "minmax"])
def test_a_hot_pixel_of_a_large_image_shines_nowhere_and_stays(tmp_path: Path, rule: str) -> None:
    pixels = RNG.normal(1000, 300, (90, 80)).astype("float32")
    inferer, scaling = EnhancementInferer(1, 32), IntensityScaling(rule)
    clean = in_bands(write(tmp_path / "a.tif", pixels), tmp_path / "a" / "a.tif", Uneven(), inferer, scaling)
    pixels[40, 41] = 1e6
    source = write(tmp_path / "b.tif", pixels)
    found = in_bands(source, tmp_path / "b" / "a.tif", Uneven(), inferer, scaling)
    assert found[40, 41] == 1e6
    others = pixels < 1e5
    np.testing.assert_allclose(found[others], clean[others], atol=60)
    expected = at_once(source, tmp_path / "o" / "a.tif", Uneven(), inferer, scaling)
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize(("gain", "is_told"), [(0.9, False), (0.2, True)])
def test_a_large_image_that_changes_too_much_is_told(tmp_path: Path, gain: float, is_told: bool) -> None:
    source = write(tmp_path / "a.tif", RNG.integers(0, 4096, (600, 300), np.uint16))
    network = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(network.weight, gain)
    item = {"image": str(source), "output": str(tmp_path / "out" / "a.tif"), "large": True}
    result = LargeImages([item], network, EnhancementInferer(1), LoadSourced("image"), "cpu").enhance(item)
    assert (result.scaling, result.bits) == ("12 bits: 0 to 4095", 12)
    image = RNG.random((64, 64), "float32")
    expected = suspicious_change(image, gain * image)
    assert bool(result.notes) == is_told
    if is_told and expected is not None:
        assert result.notes[0].split(":")[0] == expected.split(":")[0]
        assert f"contrast fell to {gain:.0%}" in result.notes[0]
