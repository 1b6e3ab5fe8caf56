"""What tables call metrics, figures and versions."""

from __future__ import annotations

import pytest

from shared.reporting.headings import FIGURES, HEADINGS, version_label
from shared.reporting.summary import STABILITY


def test_headings_of_figures_stand_behind_that_of_their_metric_with_its_unit():
    names = list(HEADINGS)
    assert names[:6] == ["psnr", "psnr_variance", "psnr_std", "psnr_minimum", "psnr_maximum", "psnr_range"]
    assert HEADINGS["psnr_variance"] == "PSNR variance [dB²]"
    assert HEADINGS["psnr_region_std"] == "PSNR region standard deviation [dB]"
    assert HEADINGS["ssim_range"] == "SSIM range"


def test_every_figure_but_the_mean_has_a_name_for_every_metric():
    for name in ("psnr", "ssim", "psnr_region", "ssim_region"):
        assert {figure for metric, figure in FIGURES.values() if metric == name} == set(STABILITY) - {"mean"}
    assert FIGURES["psnr_region_std"] == ("psnr_region", "standard_deviation")


@pytest.mark.parametrize(
    ("version", "enlarged", "label"),
    [
        ("degraded", False, "input (degraded)"), ("degraded", True, "bicubic"),
        ("non_local_means", False, "NLM"), ("non_local_means", True, "NLM, then bicubic"),
        ("bicubic_non_local_means", False, "bicubic, then NLM"), ("median", True, "median, then bicubic"),
        ("bm3d", True, "BM3D, then bicubic"), ("enhanced", False, "enhanced"),
        ("total_variation", False, "total variation"),
    ],
)
def test_labels_of_versions(version: str, enlarged: bool, label: str):
    assert version_label(version, enlarged) == label
