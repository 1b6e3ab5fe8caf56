"""Metrics by name, with and without a clean image; stability figures; images on which a metric is not defined."""

from __future__ import annotations

import json
import logging
import math
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from shared.errors import InputError
from shared.metrics import PSNR, SSIM, ImageMetric, psnr
from shared.reporting import EnhancementReport
from tests.reporting.evaluation import evaluate, make_items, read, tasks


def gradient(image: torch.Tensor) -> float:
    down, across = image[:, 1:, :-1] - image[:, :-1, :-1], image[:, :-1, 1:] - image[:, :-1, :-1]
    return float(((down**2 + across**2) / 2).sqrt().mean())


def contrast(image: torch.Tensor, mask: torch.Tensor) -> float:
    inside = mask > 0.5
    return float(image[:, inside[0]].max()) if inside.any() else math.nan


METRICS = {
    "average_gradient": ImageMetric(gradient),
    "signal": ImageMetric(contrast, mask_key="mask", heading="Signal", unit="dB", digits=1),
}


def halved(item: dict[str, Any]) -> torch.Tensor:
    return 0.5 * item["image"] + 0.25


def without_label(items: list[dict[str, Any]], *others: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key not in ("label", *others)} for item in items]


@pytest.mark.parametrize("decollate", [True, False])
def test_images_without_clean_ones_are_measured_by_metrics_that_need_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, decollate: bool
) -> None:
    items = without_label(make_items(1, 37, 31), "class")
    report = EnhancementReport(tmp_path, tasks(), {"half": lambda x: x / 2}, metrics=METRICS)
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(report, items, decollate=decollate)
    rows, summary = read(tmp_path)
    by_id = {item["id"]: item for item in items}
    columns = [f"{metric}_{version}" for metric in METRICS for version in ("degraded", "half", "enhanced")]
    assert list(rows[0])[2:8] == columns
    for row in rows:
        item = by_id[row["id"]]
        versions = {"degraded": item["image"], "half": item["image"] / 2, "enhanced": halved(item)}
        for version, image in versions.items():
            assert float(row[f"average_gradient_{version}"]) == pytest.approx(gradient(image), abs=1e-6)
            assert float(row[f"signal_{version}"]) == pytest.approx(contrast(image, item["mask"]), abs=1e-6)
    mean = statistics.fmean(gradient(halved(item)) for item in items)
    assert summary["image_quality"]["enhanced"]["average_gradient"] == pytest.approx(mean, rel=1e-6)
    # Of the recognition tasks, the one that has its ground truth sees what there is: no clean image.
    assert set(summary["recognition"]["lesion"]) == {"kind", "number_of_images", "degraded", "enhanced"}
    assert "stability" not in summary
    assert "excluded" not in summary
    header = caplog.messages[-1].splitlines()[2]
    assert header.split("  ")[-2:] == ["average gradient", "Signal [dB]"]
    with Image.open(tmp_path / "panel.png") as panel:
        assert panel.width > 400


def test_without_clean_images_the_enhanced_image_gives_the_size(tmp_path: Path) -> None:
    items = without_label(make_items(1, 36, 32, factor=2), "region", "mask")
    metrics = {"pixels": ImageMetric(lambda image: image.numel())}
    evaluate(EnhancementReport(tmp_path, metrics=metrics, panel_rows=0), items, nn.Upsample(scale_factor=2))
    assert {row["pixels_degraded"] for row in read(tmp_path)[0]} == {f"{36 * 32:.6f}"}


def test_a_metric_that_lacks_its_clean_image_or_mask_is_one_clear_error(tmp_path: Path) -> None:
    items = without_label(make_items(1, 37, 31, count=2))
    message = r"^test image 'image 2': the report's metrics psnr, ssim need the clean image \(batch key 'label'\)"
    with pytest.raises(InputError, match=message):
        evaluate(EnhancementReport(tmp_path), items)
    with pytest.raises(InputError, match="metrics psnr need the clean image"):
        evaluate(EnhancementReport(tmp_path, metrics={"psnr": PSNR, **METRICS}, panel_rows=0), items)
    with pytest.raises(InputError, match=r"metric signal needs a mask \(batch key 'mask'\), found none"):
        evaluate(EnhancementReport(tmp_path, metrics=METRICS), without_label(items, "mask"))
    assert not list(tmp_path.iterdir())


def test_metrics_with_and_without_reference_stand_side_by_side(tmp_path: Path) -> None:
    items = make_items(1, 37, 31)
    metrics = {"own": ImageMetric(lambda image, clean: -psnr(image, clean), needs_reference=True), **METRICS}
    evaluate(EnhancementReport(tmp_path, metrics=metrics, panel_rows=0), items)
    rows, summary = read(tmp_path)
    # No metric of these is taken inside the region, which the images have.
    assert list(summary["image_quality"]["enhanced"]) == ["own", "average_gradient", "signal"]
    item = next(item for item in items if item["id"] == rows[0]["id"])
    assert float(rows[0]["own_enhanced"]) == pytest.approx(-psnr(halved(item), item["label"]), abs=1e-5)
    assert float(rows[0]["average_gradient_enhanced"]) == pytest.approx(gradient(halved(item)), abs=1e-6)


def test_images_on_which_a_metric_is_not_defined_are_excluded_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = make_items(1, 37, 31)
    for item in items[:2]:
        item["mask"] = torch.zeros(1, 37, 31)
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, metrics=METRICS, panel_rows=0), items)
    rows, summary = read(tmp_path)
    empty = {item["id"] for item in items[:2]}
    assert {row["id"] for row in rows if row["signal_enhanced"] == ""} == empty
    expected = statistics.fmean(contrast(halved(item), item["mask"]) for item in items[2:])
    assert summary["image_quality"]["enhanced"]["signal"] == pytest.approx(expected, rel=1e-6)
    assert summary["excluded"] == {"degraded": {"signal": 2}, "enhanced": {"signal": 2}}
    assert "Signal [dB] of enhanced: not defined on 2 images, which are left out of it." in caplog.text


def test_a_metric_that_is_defined_on_no_image_has_no_value(tmp_path: Path) -> None:
    items = [item | {"mask": torch.zeros(1, 37, 31)} for item in make_items(1, 37, 31)]
    evaluate(EnhancementReport(tmp_path, metrics=METRICS, stability=True, panel_rows=0), items)
    _, summary = read(tmp_path)
    assert list(summary["image_quality"]["enhanced"]) == list(summary["stability"]["enhanced"]) == ["average_gradient"]
    assert summary["excluded"]["enhanced"] == {"signal": 5}


def test_stability_over_the_test_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = make_items(3, 37, 31)
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, stability=True, panel_rows=0), items)
    _, summary = read(tmp_path)
    values = [psnr(halved(item), item["label"]) for item in items]
    expected = {
        "mean": statistics.fmean(values),
        "variance": statistics.pvariance(values),
        "standard_deviation": statistics.pstdev(values),
        "minimum": min(values),
        "maximum": max(values),
        "range": max(values) - min(values),
    }
    found = summary["stability"]["enhanced"]["psnr"]
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == list(expected)
    assert found["variance"] != pytest.approx(statistics.variance(values), rel=1e-3)
    assert list(summary["stability"]) == ["degraded", "enhanced"]
    assert list(summary["stability"]["degraded"]) == ["psnr", "ssim", "psnr_region", "ssim_region"]
    line = next(line for line in caplog.messages[-1].splitlines() if line.startswith("enhanced: PSNR [dB]"))
    assert line.split()[3:] == [f"{value:.4f}" for value in expected.values()]


def test_stability_of_every_method_and_metric_against_numpy(tmp_path: Path) -> None:
    baselines = {"half": lambda image: image / 2, "constant": lambda image: torch.full((1, 36, 32), 0.5)}
    items = make_items(1, 36, 32, factor=2)
    report = EnhancementReport(tmp_path, baselines=baselines, stability=True, panel_rows=0)
    evaluate(report, items, nn.Upsample(scale_factor=2))
    rows, summary = read(tmp_path)
    figures = (np.mean, np.var, np.std, np.min, np.max, np.ptp)
    assert list(summary["stability"]) == ["degraded", "half", "constant", "enhanced"]
    for version, each in summary["stability"].items():
        assert list(each) == ["psnr", "ssim", "psnr_region", "ssim_region"]
        for metric, found in each.items():
            name = metric.removesuffix("_region")
            values = np.array([float(row[f"{name}_{version}{metric[len(name):]}"]) for row in rows])
            assert list(found.values()) == pytest.approx([figure(values) for figure in figures], rel=1e-4, abs=1e-6)
        # Of a population: that of a sample would be a quarter larger with five images.
        assert each["psnr"]["variance"] < 0.9 * np.var([float(row[f"psnr_{version}"]) for row in rows], ddof=1)


def test_stability_of_equal_images_gives_valid_json(tmp_path: Path) -> None:
    items = [item | {"image": item["label"]} for item in make_items(1, 37, 31, count=2)]
    evaluate(EnhancementReport(tmp_path, stability=True, panel_rows=0), items, nn.Identity())
    text = (tmp_path / "summary.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(name))["stability"]["enhanced"]
    assert found["psnr"]["mean"] is found["psnr"]["variance"] is None
    assert found["ssim"]["range"] == 0


def test_baselines_see_the_image_in_its_own_size(tmp_path: Path) -> None:
    items = make_items(1, 36, 32, factor=2)
    seen = []

    def halve(image: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(image.shape))
        return image / 2

    baselines = {
        "half": halve,
        "nearest": lambda image: image.repeat_interleave(2, 1).repeat_interleave(2, 2),
        "constant": lambda image: torch.full((1, 36, 32), 0.5),
    }
    evaluate(EnhancementReport(tmp_path, baselines=baselines, panel_rows=0), items, nn.Upsample(scale_factor=2))
    rows, summary = read(tmp_path)
    assert seen == [(1, 18, 16)] * 5
    assert list(summary["image_quality"]) == ["degraded", "half", "nearest", "constant", "enhanced"]
    for row in rows:
        item = next(item for item in items if item["id"] == row["id"])
        larger = nn.functional.interpolate(item["image"][None] / 2, scale_factor=2, mode="bicubic")[0]
        assert float(row["psnr_half"]) == pytest.approx(psnr(larger, item["label"]), abs=1e-5)
        assert row["psnr_nearest"] == row["psnr_enhanced"]  # torch's Upsample repeats pixels
        constant = psnr(torch.full((1, 36, 32), 0.5), item["label"])
        assert float(row["psnr_constant"]) == pytest.approx(constant, abs=1e-5)


def test_a_baseline_of_another_size_is_named(tmp_path: Path) -> None:
    report = EnhancementReport(tmp_path, baselines={"cut": lambda image: image[:, 1:]})
    message = r"cut: the baseline must give an image of shape \(1, 36, 32\) or \(1, 18, 16\), found \(1, 17, 16\)"
    with pytest.raises(InputError, match=message):
        evaluate(report, make_items(1, 36, 32, count=2, factor=2), nn.Upsample(scale_factor=2))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "must hold at least one metric"),
        ({"psnr": psnr}, "must be of class ImageMetric, found 'psnr'"),
        ({"ssim_region": SSIM}, "must not have names that end in _region, found 'ssim_region'"),
    ],
)
def test_bad_metrics(tmp_path: Path, metrics: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EnhancementReport(tmp_path, metrics=metrics)


def test_means_of_each_group(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A patient with one image counts as much in the table as one with two."""
    items = make_items(1, 37, 31)
    with caplog.at_level("INFO"):
        evaluate(EnhancementReport(tmp_path, by_group=True, panel_rows=0), items)
    rows, summary = read(tmp_path)
    assert list(summary["by_group"]) == ["patient 0", "patient 1", "patient 2"]
    for group, found in summary["by_group"].items():
        own = [row for row in rows if row["group"] == group]
        assert found["number_of_images"] == len(own)
        for version, values in found["image_quality"].items():
            for metric, value in values.items():
                name = metric.removesuffix("_region")
                column = f"{name}_{version}" + metric[len(name):]
                assert value == pytest.approx(np.mean([float(row[column]) for row in own]), abs=1e-6)
    value = summary["by_group"]["patient 2"]["image_quality"]["enhanced"]["psnr"]
    assert re.search(rf"patient 2: PSNR \[dB\] +1 .* {value:.2f}\n", caplog.text)
