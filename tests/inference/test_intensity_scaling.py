"""The stated rule from stored intensities to [0, 1], and its life in provenance.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shared import InputError
from shared.inference import IntensityScaling, Picture, load_scaling
from shared.inference.scaling import scale, unscale


def test_integer_images_go_by_bit_depth() -> None:
    for real in ("percentile", "minmax"):
        rule = IntensityScaling(real)
        assert rule.bounds(Picture(np.ones((1, 2, 2), np.uint8), bits=8)) == (0, 255)
        assert rule.bounds(Picture(np.ones((1, 2, 2), np.uint16), bits=16)) == (0, 65535)
        assert rule.bounds(Picture(np.ones((1, 2, 2), np.int16), bits=12)) == (-2048, 2047)


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
