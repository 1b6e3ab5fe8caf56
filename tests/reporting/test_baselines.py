"""Classical methods: against plain loops, on real slices, and as rows of a report."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from shared.data import mni152
from shared.data.augmentation import CropToMultipled
from shared.degradations import BicubicDownsample, Degraded, GaussianNoise
from shared.errors import InputError
from shared.metrics import psnr, ssim
from shared.networks import enlarge_to
from shared.reporting import (
    EnhancementReport,
    bm3d_if_installed,
    enlarged_non_local_means,
    median,
    non_local_means,
)
from tests.reporting.evaluation import evaluate, make_items, read

SIGMA = 0.05


def noisy_square(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy image and its clean counterpart."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((channels, 61, 47), 0.3)
    clean[:, 20:40, 10:30] = 0.7
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1), clean


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_denoises(channels: int) -> None:
    noisy, clean = noisy_square(channels)
    kept = noisy.clone()
    denoised = non_local_means(noisy, sigma=0.1)
    assert denoised.shape == clean.shape
    assert denoised.dtype == torch.float32
    assert psnr(denoised, clean) > psnr(noisy, clean) + 6
    assert torch.equal(noisy, kept)
    assert torch.equal(non_local_means(noisy.numpy(), 0.1), denoised)
    # Told a much lower noise level it does next to nothing.
    assert psnr(non_local_means(noisy, sigma=0.01), clean) < psnr(noisy, clean) + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_median_is_that_of_each_window(channels: int) -> None:
    image = torch.rand(channels, 7, 6, generator=torch.Generator().manual_seed(0))
    padded = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)), "symmetric")
    for size in (3, 5):
        found, edge = median(image, size), 2 - size // 2
        for channel, row, column in np.ndindex(*image.shape):
            top, left = row + edge, column + edge
            window = padded[channel, top : top + size, left : left + size]
            assert found[channel, row, column] == np.median(window)


@pytest.fixture(scope="module")
def slices() -> list[dict]:
    """The test slices of the template at a quarter of their size, with noise."""
    load, crop = mni152.LoadMNI152Sliced(), CropToMultipled(["label", "region"], 4)
    degrade = Degraded("label", "image", [BicubicDownsample(4), GaussianNoise(SIGMA)], seed=0)
    return [degrade(crop(load(item))) for item in mni152.datalist(mni152.package_dir(), "test")]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (lambda image: image, (25.52, 0.527)),
        (lambda image: non_local_means(image, SIGMA), (26.26, 0.490)),
        (lambda image: enlarged_non_local_means(image, 4, SIGMA), (26.57, 0.534)),
        (median, (24.37, 0.633)),
    ],
    ids=["bicubic", "NLM, then bicubic", "bicubic, then NLM", "median, then bicubic"],
)
def test_on_slices_of_a_brain(
    slices: list[dict], method: Callable[[torch.Tensor], torch.Tensor], expected: tuple[float, float]
) -> None:
    """Mean PSNR and SSIM over the test slices."""
    found = []
    for item in slices:
        image = enlarge_to(method(item["image"])[None], item["label"].shape[1:])[0]
        found.append((psnr(image, item["label"]), ssim(image, item["label"])))
    means = np.mean(found, axis=0)
    assert means[0] == pytest.approx(expected[0], abs=0.01)
    assert means[1] == pytest.approx(expected[1], abs=0.001)


def test_what_enlargement_does_to_noise_forbids_to_subtract_it(slices: list[dict]) -> None:
    item = slices[0]
    kept, subtracted = (
        enlarged_non_local_means(item["image"], 4, SIGMA, subtract_noise=subtract) for subtract in (False, True)
    )
    assert psnr(kept, item["label"]) > psnr(subtracted, item["label"]) + 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_without_noise_the_image_stays_as_it_is(channels: int) -> None:
    image, _ = noisy_square(channels)
    assert torch.equal(non_local_means(image, 0), image)
    assert torch.equal(enlarged_non_local_means(image, 2, 0.0), enlarge_to(image[None], (122, 94))[0])


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_a_noise_level_that_is_none(sigma: float) -> None:
    for name, method in (
        ("non_local_means", lambda: non_local_means(torch.zeros(1, 16, 16), sigma)),
        ("non_local_means", lambda: enlarged_non_local_means(torch.zeros(1, 16, 16), 2, sigma)),
        ("bm3d_if_installed", lambda: bm3d_if_installed(sigma)),
    ):
        with pytest.raises(InputError, match=f"sigma of {name} must be a number >= 0, found"):
            method()


@pytest.fixture
def fake_bm3d(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A package bm3d that adds the noise level to an image, and notes the sizes and noise levels that it was given."""
    calls: list[tuple] = []

    def bm3d(image: np.ndarray, sigma_psd: float) -> np.ndarray:
        calls.append((*image.shape, sigma_psd))
        return image.astype(np.float64) + sigma_psd

    module = ModuleType("bm3d")
    module.__spec__ = ModuleSpec("bm3d", None)
    module.bm3d = bm3d  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bm3d", module)
    return calls


@pytest.fixture
def no_bm3d(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_bm3d_denoises_each_channel_and_gets_no_image_that_is_too_small(fake_bm3d: list[tuple]) -> None:
    method, image = bm3d_if_installed(0.25), torch.rand(2, 20, 9)
    assert method is not None
    torch.testing.assert_close(method(image), image + 0.25)
    assert fake_bm3d == [(20, 16, 0.25)] * 2
    without_noise = bm3d_if_installed(0.0)
    assert without_noise is not None
    assert torch.equal(without_noise(image), image)
    assert len(fake_bm3d) == 2


def test_the_real_bm3d_denoises() -> None:
    pytest.importorskip("bm3d")
    method, (noisy, clean) = bm3d_if_installed(0.1), noisy_square(1)
    assert method is not None
    assert psnr(method(noisy), clean) > psnr(noisy, clean) + 6
    assert method(noisy[:, :8, :8]).shape == (1, 8, 8)


@pytest.mark.usefixtures("no_bm3d")
def test_without_bm3d_its_row_is_left_out_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        method = bm3d_if_installed(SIGMA)
    assert method is None
    (record,) = caplog.records
    assert record.getMessage() == "BM3D is left out of the report: the package bm3d is not installed (pip install bm3d)"
    evaluate(EnhancementReport(tmp_path, baselines={"bm3d": method, "half": torch.neg}), make_items(1, 37, 31))
    assert list(read(tmp_path)[1]["image_quality"]) == ["degraded", "half", "enhanced"]


@pytest.mark.usefixtures("no_bm3d")
def test_a_configuration_names_them(tmp_path: Path) -> None:
    target, sigma = "shared.reporting", 0.2
    baselines = {
        "non_local_means": {"_target_": f"{target}.non_local_means", "_mode_": "callable", "sigma": sigma},
        "bicubic_non_local_means": {
            "_target_": f"{target}.enlarged_non_local_means", "_mode_": "callable", "factor": 2, "sigma": sigma,
        },
        "median": {"_target_": f"{target}.median", "_mode_": "callable"},
        "bm3d": {"_target_": f"{target}.bm3d_if_installed", "sigma": sigma},
    }
    settings = {"_target_": f"{target}.EnhancementReport", "output_dir": str(tmp_path), "baselines": baselines}
    report = ConfigParser({"report": settings}).get_parsed_content("report")
    evaluate(report, make_items(1, 36, 32, factor=2), nn.Upsample(scale_factor=2))
    measured = list(read(tmp_path)[1]["image_quality"])
    assert measured == ["degraded", "non_local_means", "bicubic_non_local_means", "median", "enhanced"]


@pytest.mark.usefixtures("fake_bm3d")
def test_tables_say_what_was_enlarged_and_files_keep_the_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    baselines = {
        "non_local_means": lambda image: non_local_means(image, 0.2),
        "bicubic_non_local_means": lambda image: enlarged_non_local_means(image, 2, 0.2),
        "median": median,
        "bm3d": bm3d_if_installed(0.2),
    }
    items = make_items(1, 36, 32, factor=2)
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, baselines=baselines, stability=True), items, nn.Upsample(scale_factor=2))
    names = [
        "bicubic", "NLM, then bicubic", "bicubic, then NLM", "median, then bicubic", "BM3D, then bicubic", "enhanced",
    ]
    _, quality, stability, _ = caplog.messages[-1].split("\n\n")
    assert [line.split("  ")[0] for line in quality.splitlines()[1:]] == names
    labels = list(dict.fromkeys(line.split(": ")[0] for line in stability.splitlines()[1:]))
    assert labels == names
    rows, summary = read(tmp_path)
    assert list(summary["image_quality"]) == ["degraded", *baselines, "enhanced"]
    assert {f"psnr_{name}" for name in summary["image_quality"]} <= rows[0].keys()


def test_where_nothing_is_enlarged_tables_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, baselines={"median": median}), make_items(1, 37, 31))
    quality = caplog.messages[-1].split("\n\n")[1]
    assert [line.split("  ")[0] for line in quality.splitlines()[1:]] == ["input (degraded)", "median", "enhanced"]
