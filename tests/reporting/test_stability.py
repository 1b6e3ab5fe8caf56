"""Curves over test images: which images are drawn, where their values lie, and what the charts are called."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shared.errors import InputError
from shared.reporting import stability_curves
from shared.reporting.charts import COLOURS
from shared.reporting.stability import CURVES, stability_figure
from tests.reporting.pictures import description, pixels, texts


def quality(count: int, level: float) -> dict[str, dict[str, float]]:
    """Values that tell their image, in an order that is not that of the ids."""
    images = [f"scan_{number:03d}" for number in reversed(range(count))]
    return {
        "psnr": {image: level + int(image[-3:]) for image in images},
        "ssim": {image: int(image[-3:]) / 1000 for image in images},
    }


def curves(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_xydata(), dtype=float) for line in axes.lines}


def test_all_images_of_a_small_test_set_in_order_of_their_ids():
    figure = stability_figure({"bicubic": quality(7, 20.0), "RIRGAN": quality(7, 30.0)})
    psnr, ssim = figure.axes
    assert [psnr.get_title(loc="left"), ssim.get_title(loc="left")] == ["PSNR [dB]", "SSIM"]
    assert psnr.get_xlabel() == ssim.get_xlabel() == "image number"
    found = curves(psnr)
    np.testing.assert_array_equal(found["bicubic"], [[n + 1, 20 + n] for n in range(7)])
    np.testing.assert_array_equal(found["RIRGAN"], [[n + 1, 30 + n] for n in range(7)])
    np.testing.assert_array_equal(curves(ssim)["RIRGAN"], [[n + 1, n / 1000] for n in range(7)])
    assert [line.get_color() for line in psnr.lines] == list(COLOURS[:2])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["bicubic", "RIRGAN"]


def test_of_many_images_forty_are_drawn_from_the_first_to_the_last():
    figure = stability_figure({"a": quality(118, 0.0)})
    values = curves(figure.axes[0])["a"]
    np.testing.assert_array_equal(values[:, 0], np.arange(1, 41))
    np.testing.assert_array_equal(values[:, 1], np.arange(0, 118, 3))
    assert len(curves(stability_figure({"a": quality(118, 0.0)}, images=5).axes[0])["a"]) == 5


def test_what_an_image_does_not_have_leaves_a_gap():
    first, second = quality(4, 20.0), quality(4, 30.0)
    del second["ssim"]["scan_001"]
    second["psnr"]["scan_002"] = math.inf
    psnr, ssim = stability_figure({"a": first, "b": second}).axes
    np.testing.assert_array_equal(curves(psnr)["b"][:, 1], [30, 31, math.inf, 33])
    np.testing.assert_array_equal(curves(ssim)["b"][:, 1], [0, math.nan, 0.002, 0.003])


def test_a_file_with_its_legend():
    content = stability_curves({"a": quality(3, 20.0)}, legend="One sentence.")
    assert description(content) == "One sentence."
    assert pixels(content).shape[1] == 1280
    assert " ".join(texts(stability_figure({"a": quality(3, 20.0)}))) == CURVES


def test_methods_must_be_tested_on_the_same_images():
    with pytest.raises(InputError, match="2 images that 'b' or 'a' lacks, the first 'scan_003'; expected the same"):
        stability_figure({"a": quality(5, 20.0), "b": quality(3, 20.0)})
    with pytest.raises(InputError, match="need at least one method, found none"):
        stability_figure({})
