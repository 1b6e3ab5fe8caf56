"""How a metric is called, what it is called in tables, and its arguments."""

from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser

from shared.errors import InputError
from shared.metrics import PSNR, SSIM, ImageMetric, psnr, ssim


def brightness(image: torch.Tensor, mask: torch.Tensor | None = None, level: float = 0.0) -> float:
    return float(image.mean() if mask is None else image[mask > 0.5].mean()) - level


def test_psnr_and_ssim_are_called_with_image_clean_image_and_region() -> None:
    generator = torch.Generator().manual_seed(0)
    image, clean = torch.rand(2, 1, 20, 20, generator=generator)
    region = torch.zeros(1, 20, 20)
    region[:, 5:15, 5:12] = 1
    for metric, function in ((PSNR, psnr), (SSIM, ssim)):
        assert metric(image, clean) == function(image, clean)
        assert metric(image, clean, region) == function(image, clean, mask=region) != function(image, clean)
        with pytest.raises(ValueError, match="compares with the clean image, found none"):
            metric(image)


def test_a_metric_without_reference_sees_the_image_alone() -> None:
    image, clean = torch.full((1, 4, 4), 0.25), torch.ones(1, 4, 4)
    mask = torch.zeros(1, 4, 4)
    mask[0, 0, 0] = image[0, 0, 0] = 1
    assert ImageMetric(torch.mean)(image, clean) == pytest.approx((15 * 0.25 + 1) / 16)
    assert ImageMetric(brightness, mask_key="mask")(image, None, mask) == 1.0
    assert math.isnan(ImageMetric(brightness)(image, None, torch.zeros(1, 4, 4)))


def test_titles_and_captions() -> None:
    assert PSNR.title("psnr") == "PSNR [dB]"
    assert PSNR.title("psnr_region") == "PSNR region [dB]"
    assert SSIM.title("ssim_region") == "SSIM region"
    assert ImageMetric(brightness).title("average_gradient") == "average gradient"
    assert PSNR.caption("psnr", 12.345) == "12.35 dB"
    assert SSIM.caption("ssim", 0.98765) == "SSIM 0.988"


def test_metrics_from_a_configuration() -> None:
    own = {"_target_": f"{__name__}.brightness", "_mode_": "callable", "level": 0.5}
    config = {
        "psnr": {"_target_": "shared.metrics.PSNR", "_mode_": "callable"},
        "own": {"_target_": "shared.metrics.ImageMetric", "function": own, "heading": "Brightness", "digits": 1},
    }
    found = ConfigParser({"metrics": config}).get_parsed_content("metrics")
    assert found["psnr"] is PSNR
    assert found["own"](torch.ones(1, 3, 3)) == pytest.approx(0.5)
    assert found["own"].title("own") == "Brightness"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "psnr"}, "function of ImageMetric must be callable, found 'psnr'"),
        ({"function": brightness, "digits": -1}, "digits of ImageMetric must be >= 0, found -1"),
        ({"function": brightness, "in_region": True, "mask_key": "mask"}, "must be false .* found mask_key 'mask'"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImageMetric(**arguments)
