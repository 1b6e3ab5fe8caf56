"""The figures of the RIRGAN paper that show images or curves, and one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from shared.bundle import provenance
from shared.reporting.per_image import read_quality
from shared.reporting.stability import CURVES, stability_curves
from shared.reproduction.comparison import SEPARATOR, draw_methods
from shared.reproduction.description import Figure, Run
from shared.reproduction.papers.rirgan.runs import (
    DNCNN,
    RDN,
    RIRGAN,
    SRGAN,
    SRRESNET,
    TAIL,
    TEST_SIGMA,
    on_mni152,
    super_resolution,
    without_noise,
)
from shared.reproduction.trained_run import legend

Draw = Callable[[Mapping[str, str | Path]], bytes]

METHODS = {"SRResNet": SRRESNET, "SRGAN": SRGAN, "RDN": RDN, "RIRGAN": RIRGAN}
ALONE = super_resolution(8)
CLEAN, NOISY = "LR", "LR + noise"


def _tested(clean: Mapping[str, Run], noisy: Mapping[str, Run]) -> dict[str, Run]:
    """Return runs by the labels of figures 8 and 9: what they were tested on, and their name."""
    return {
        f"{seen}{SEPARATOR}{name}": run for seen, runs in ((CLEAN, clean), (NOISY, noisy)) for name, run in runs.items()
    }


def _comparison(seen: str, images: int = 3, baselines: Mapping[str, str] | None = None) -> Draw:
    return partial(draw_methods, seen=seen, images=images, baselines=baselines)


def draw_curves(runs: Mapping[str, str | Path]) -> bytes:
    """Draw PSNR and SSIM of 40 test images for bicubic interpolation and each run (figure 7).

    Args:
        runs: folders of finished runs by label, all tested on the same images; the last gives the interpolation.

    Raises:
        InputError: when a run cannot be read, or runs were tested on other images.
    """
    files = {label: Path(folder) / "eval/per_image.csv" for label, folder in runs.items()}
    *_, last = files.values()
    methods = {"Bicubic": read_quality(last, "degraded"), **{label: read_quality(f) for label, f in files.items()}}
    phantom = any((provenance.read(Path(folder) / "models") or {}).get("phantom", False) for folder in runs.values())
    return stability_curves(methods, legend=legend([CURVES], phantom))


FIGURES: Mapping[str, Figure] = {
    "figure6": Figure(
        "Test images of low resolution with noise, by method",
        METHODS,
        _comparison("Test images of low resolution with noise, restored by each method, and clean"),
    ),
    "figure7": Figure("Image quality of 40 test images, by method", METHODS, draw_curves),
    "figure8": Figure(
        "Test images by networks trained with noise or without",
        _tested(
            {f"trained on {CLEAN}": ALONE, f"trained on {NOISY}": RIRGAN.evaluated(test_sigma=0.0)},
            {f"trained on {CLEAN}": ALONE.evaluated(test_sigma=TEST_SIGMA), f"trained on {NOISY}": RIRGAN},
        ),
        _comparison(f"Test images of low resolution ({CLEAN}), also with noise, restored by RIRGAN, and clean", 2),
    ),
    "figure9": Figure(
        "Test images by methods for one task and by RIRGAN",
        _tested(
            {name: without_noise(run) for name, run in METHODS.items() if run is not RIRGAN},
            {"DnCNN": DNCNN, "RIRGAN": RIRGAN},
        ),
        _comparison(
            f"Test images of low resolution ({CLEAN}), also with noise, restored by each method, and clean", 2,
            {"NLM": "non_local_means", "median filter": "median"},
        ),
    ),
    "figure-mni152": Figure(
        f"What the discriminator adds: slices of the MNI152 template, σ = {TEST_SIGMA:g}",
        {"pixel loss": on_mni152(), "pixel loss, then adversarial": on_mni152(adversarial_epochs=TAIL)},
        _comparison(
            "Test slices of low resolution with noise, restored by non-local means and by networks, and clean",
            2, {"NLM": "bicubic_non_local_means"},
        ),
        paper=False,
    ),
}
