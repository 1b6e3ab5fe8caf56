"""The stated rule from stored intensities to [0, 1], and its life in provenance.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shared import InputError
from shared.images import IntensityScaling, Picture
from shared.images.scaling import by_parts, outside, restored, scale, scaled, unscale
from shared.inference import load_scaling


@pytest.mark.parametrize(
    ("dtype", "bits", "lowest", "highest", "expected"),
    [
        ("uint8", 8, 0, 90, (0, 255)),
        ("uint16", 16, 0, 255, (0, 255)),
        ("uint16", 16, 7, 256, (0, 1023)),
        ("uint16", 16, 0, 1000, (0, 1023)),
        ("uint16", 16, 0, 4095, (0, 4095)),
        ("uint16", 16, 0, 4096, (0, 2**14 - 1)),
        ("uint16", 16, 0, 2**14, (0, 65535)),
        ("uint16", 13, 0, 8191, (0, 8191)),
        ("int16", 16, 0, 4095, (0, 4095)),
        ("int16", 16, -1, 511, (-512, 511)),
        ("int16", 12, -2048, 3, (-2048, 2047)),
    ],
)
def test_integer_images_go_by_the_bits_that_they_use(
    dtype: str, bits: int, lowest: int, highest: int, expected: tuple[int, int]
) -> None:
    pixels = np.array([[[lowest, highest]]], dtype)
    for real in ("percentile", "minmax", "window", "bits"):
        found = IntensityScaling(real).measure(Picture(pixels, bits=bits))
        assert (found.black, found.white) == expected
        assert found.bits == round(np.log2(expected[1] - expected[0]))
    inverted = IntensityScaling().bounds(Picture(pixels, bits=bits, inverted=True))
    assert inverted == expected[::-1]


def test_a_depth_can_be_fixed() -> None:
    dark, bright = (Picture(np.full((1, 2, 2), value, np.uint16), bits=16) for value in (900, 5000))
    assert IntensityScaling(bits=12).bounds(dark) == (0, 4095)
    assert IntensityScaling(bits=12).bounds(Picture(np.ones((1, 2, 2), np.uint8), bits=8)) == (0, 255)
    with pytest.raises(InputError, match="bits: found 12, but values from 5000 to 5000, expected 14"):
        IntensityScaling(bits=12).bounds(bright)
    assert IntensityScaling(bits=14).describe(bright, IntensityScaling(bits=14).measure(bright)) == (
        "14 bits: 0 to 16383"
    )


@pytest.mark.parametrize(("integer", "expected"), [("bits", (0, 1023)), ("window", (100, 600)), ("real", (0, 1000))])
def test_integer_images_by_another_rule(integer: str, expected: tuple[int, int]) -> None:
    pixels = np.arange(1001, dtype=np.uint16).reshape(1, 7, 143)
    rule = IntensityScaling("minmax", integer=integer)
    assert rule.bounds(Picture(pixels, bits=16, window=(100, 600))) == expected
    without = IntensityScaling("minmax", integer="window").bounds(Picture(pixels, bits=16))
    assert without == (0, 1023)


@pytest.mark.parametrize(
    ("values", "slope", "expected"),
    [
        (np.array([0, 255], np.int16), 1.0, (0, 255)),
        (np.array([3, 4000], np.uint16), 1.0, (0, 4095)),
        (np.array([0, 1], np.float32), 1.0, (0, 1)),
        (np.array([0, 0.2], np.float64), 1.0, (0, 1)),
        (np.array([0, 500.5], np.float32), 1.0, (0, 1023)),
        (np.array([0, 510], np.int16), 0.5, (0, 510)),
        (np.array([-255, 0], np.int16), -1.0, (0, -255)),
    ],
)
def test_real_images_by_the_bits_that_they_use(values: np.ndarray, slope: float, expected: tuple[int, int]) -> None:
    assert IntensityScaling("bits").bounds(Picture(values.reshape(1, 1, 2), slope=slope)) == expected


@pytest.mark.parametrize(
    ("dtype", "ends", "expected"),
    [
        ("float32", (0, 1.0001), (0, 1)),
        ("float32", (-0.001, 0.999), (0, 1)),
        ("float32", (-1, 1), (-1, 1)),
        ("float32", (0, 1e5), (0, 1e5)),
        ("int16", (-1, 255), (0, 255)),
        ("int16", (-3, 262), (0, 255)),
        ("int16", (0, 300), (0, 1023)),
        ("int16", (-500, 500), (-512, 511)),
        ("int32", (0, 100_000), (0, 100_000)),
    ],
)
def test_resampled_values_are_of_the_depth_that_they_were_of(
    dtype: str, ends: tuple[float, float], expected: tuple[float, float]
) -> None:
    values = np.linspace(*ends, 400).reshape(1, 20, 20).astype(dtype)
    assert IntensityScaling("bits").bounds(Picture(values)) == pytest.approx(expected)
    values[0, 7, 7] = 30_000 if dtype == "int16" else 1e7
    assert IntensityScaling("bits").bounds(Picture(values)) == pytest.approx(expected, rel=0.01)


def brain(dtype: str = "float32") -> np.ndarray:
    """A bright ball on a background of 0, [1, 40, 40, 40], 0 to 1000."""
    grid = np.indices((40, 40, 40)) - 19.5
    inside = (grid**2).sum(axis=0) < 250
    texture = np.random.default_rng(0).uniform(200, 1000, inside.shape)
    return np.where(inside, texture, 0)[None].astype(dtype)


@pytest.mark.parametrize("rule", [IntensityScaling("minmax"), IntensityScaling()])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("factor", [10, 1000, -10, -1000])
def test_one_hot_voxel_decides_nothing(rule: IntensityScaling, factor: int, inverted: bool) -> None:
    clean = brain("float64") * (-1 if inverted else 1)
    hot = clean.copy()
    hot[0, 5, 6, 7] = factor * clean.flat[np.abs(clean).argmax()]
    slope = -1.0 if inverted else 1.0
    expected, found = (rule.measure(Picture(pixels, slope=slope)) for pixels in (clean, hot))
    np.testing.assert_allclose((found.black, found.white), (expected.black, expected.white), rtol=5e-3)
    others = np.ones(hot.shape, bool)
    others[0, 5, 6, 7] = False
    np.testing.assert_allclose(scaled(hot, found)[others], scaled(clean, expected)[others], atol=5e-3)
    # The network gets to see nothing that could shine into the voxels around it.
    assert np.abs(scaled(hot, found)).max() <= 1.5
    assert outside(hot, found).sum() == 1
    halved = restored(scaled(hot, found) / 2, found, hot)
    assert halved[0, 5, 6, 7] == hot[0, 5, 6, 7]
    assert np.abs(halved[others]).max() < np.abs(clean).max() * 0.6


def test_a_few_hot_voxels_among_millions_and_one_among_hundreds() -> None:
    large = np.tile(brain(), (1, 2, 2, 2))
    large[0, ::30, ::30, ::30] = 5e4
    small = np.linspace(0, 1000, 300).reshape(1, 15, 20)
    small[0, 3, 3] = 1e6
    for pixels in (large, small):
        for rule in (IntensityScaling("minmax"), IntensityScaling()):
            black, white = rule.bounds(Picture(pixels))
            assert (black, white) == pytest.approx((0, 1000), abs=11)


def test_minimum_and_maximum_are_exact_without_outliers() -> None:
    pixels = brain()
    assert IntensityScaling("minmax").bounds(Picture(pixels)) == (0, pixels.max())
    gradient = np.linspace(-3, 812, 1000, dtype=np.float32).reshape(1, 10, 100)
    assert IntensityScaling("minmax").bounds(Picture(gradient)) == (-3, 812)


def test_missing_values_have_no_part_in_the_scaling() -> None:
    pixels = np.linspace(100, 900, 10_000).reshape(1, 100, 100)
    missing = np.zeros(pixels.shape, bool)
    missing[:, :, :90] = True
    expected = IntensityScaling().bounds(Picture(pixels[:, :, 90:]))
    assert IntensityScaling().bounds(Picture(pixels, missing=missing)) == expected


def test_frames_of_different_kinds_have_scales_of_their_own() -> None:
    pixels = np.stack([np.linspace(0, 1000, 100), np.linspace(-9, 9, 100)] * 2, axis=-1).reshape(1, 10, 10, 4)
    picture = Picture(pixels, affine=np.eye(4), parts=(0, 1, 0, 1))
    intensities = IntensityScaling("minmax").measure_parts(picture)
    assert [(each.black, each.white) for each in intensities] == [(0, 1000), (-9, 9)]
    values = by_parts(pixels, picture.parts, intensities, scaled)
    assert values.dtype == np.float32
    for frame in range(4):
        np.testing.assert_allclose(values[..., frame].ravel(), np.linspace(0, 1, 100), atol=1e-6)


def test_percentiles_of_all_values_do_not_follow_outliers() -> None:
    values = np.linspace(-50, 150, 100_001).reshape(1, -1, 1)
    values[0, 0, 0] = -1e9
    values[0, -1, 0] = 1e9
    black, white = IntensityScaling("percentile", 1, 99).bounds(Picture(values))
    assert (black, white) == pytest.approx((-48, 148), abs=0.01)
    scaled = scale(values, black, white)
    assert scaled.dtype == np.float32
    assert scaled[0, 50_000, 0] == pytest.approx(0.5, abs=1e-6)
    assert scaled.max() > 1e6, "values beyond the percentiles must not be clipped on the way in"


def test_percentiles_that_coincide_fall_back_to_the_range() -> None:
    values = np.zeros((1, 100, 100), np.float32)
    values[0, 3, 3] = 8
    assert IntensityScaling("percentile", 1, 99).bounds(Picture(values)) == (0, 8)


@pytest.mark.parametrize("rule", [IntensityScaling(), IntensityScaling("minmax")])
def test_constant_image_goes_to_zero_and_back(rule: IntensityScaling) -> None:
    values = np.full((1, 3, 3), 7.5, np.float32)
    black, white = rule.bounds(Picture(values))
    scaled = scale(values, black, white)
    np.testing.assert_array_equal(scaled, 0)
    np.testing.assert_array_equal(unscale(scaled + 0.3, black, white, 7.5, 7.5, values.dtype), values)


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_window_is_in_the_unit_of_the_image(slope: float) -> None:
    picture = Picture(np.array([[[0, 2000]]], np.int16), slope=slope, intercept=-100)
    black, white = IntensityScaling("window", -200, 300).bounds(picture)
    in_unit = np.array([black, white]) * slope - 100
    np.testing.assert_allclose(in_unit, (-200, 300))


def test_negative_slope_turns_the_image_the_right_way_round() -> None:
    stored = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    rule = IntensityScaling("minmax")
    plain = scale(stored, *rule.bounds(Picture(stored)))
    turned = scale(-stored, *rule.bounds(Picture(-stored, slope=-1)))
    np.testing.assert_allclose(turned, plain)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_scale_and_back_is_exact_for_integers(dtype: str) -> None:
    info = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(
        max(info.min, -(2**20)), min(info.max, 2**20), (1, 50, 50), dtype
    )
    low, high = float(stored.min()), float(stored.max())
    back = unscale(scale(stored, low, high), low, high, low, high, stored.dtype)
    assert back.dtype == stored.dtype
    np.testing.assert_array_equal(back, stored)


def test_rule_survives_provenance(tmp_path: Path) -> None:
    rule = IntensityScaling("window", -160, 240)
    assert IntensityScaling.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    (tmp_path / "provenance.json").write_text(json.dumps({"seed": 1, "intensity_scaling": rule.to_dict()}))
    assert load_scaling(str(tmp_path / "model.pt"), IntensityScaling("minmax")) == rule


def test_default_without_provenance(tmp_path: Path) -> None:
    default = IntensityScaling("minmax")
    assert load_scaling(str(tmp_path / "model.pt"), default) == default
    (tmp_path / "provenance.json").write_text('{"seed": 1}')
    assert load_scaling(str(tmp_path / "model.pt"), default) == default
    assert load_scaling(str(tmp_path / "model.pt")) == IntensityScaling("percentile", 0.1, 99.9)


@pytest.mark.parametrize(
    "text", ["not JSON", "[1]", '{"intensity_scaling": {"rule": "x"}}', '{"intensity_scaling": 3}']
)
def test_damaged_provenance_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(InputError, match=r"provenance\.json"):
        load_scaling(str(tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("median",), "real is 'median', expected one of percentile, minmax, window"),
        (("percentile", 5, 5), "lower 5 is not below upper 5"),
        (("percentile", -1, 99), r"percentiles -1, 99 are not in \[0, 100\]"),
        (("window", "low", 5), "lower is 'low', expected a finite number"),
        (("window", 0, float("inf")), "upper is inf, expected a finite number"),
        (("window", False, 2), "lower is False, expected a finite number"),
    ],
)
def test_bad_rule(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        IntensityScaling(*arguments)


def test_small_differences_of_large_values_survive() -> None:
    stored = (10**9 + np.arange(100, dtype=np.int32)).reshape(1, 10, 10)
    black, white = IntensityScaling("minmax").bounds(Picture(stored))
    back = unscale(scale(stored, black, white), black, white, black, white, stored.dtype)
    np.testing.assert_array_equal(back, stored)
