"""Figures that show enhanced images: strategies side by side, data sets below each other, undegraded images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from shared.errors import InputError
from shared.reporting.display import detail, error_map, error_scale, upright
from shared.reporting.panels import Picture, Row, draw_pictures, image_picture
from shared.reproduction.comparison import BOX, comparison, draw_methods
from shared.reproduction.trained_run import Sample, TrainedRun, any_phantom, legend, load_all, same_samples


def figure4(runs: Mapping[str, str | Path], images: int = 3) -> bytes:
    """Draw strategies side by side on the same test images, with an enlarged detail and error maps (figure 4).

    Args:
        runs: folders of finished runs by label, all of one data set, degradation and seed.
        images: number of test images, spread over the test set.

    Returns:
        A PNG file.

    Raises:
        InputError: when a run cannot be read, or runs were tested on other images.
    """
    trained = load_all(runs)
    samples = same_samples(trained, images)
    orientation = next(iter(trained.values())).orientation
    enhanced = [_enhanced(sample, trained) for sample in samples]
    errors = [[error_map(image, s.clean) for image in (s.degraded, *answers)]
              for s, answers in zip(samples, enhanced, strict=True)]
    # Of the enhanced images alone: what the degraded one has more would darken all others.
    scale = error_scale(error for row in errors for error in row[1:])
    rows = []
    for sample, answers, maps in zip(samples, enhanced, errors, strict=True):
        rows += comparison(sample, answers, orientation)
        rows.append(Row([*(Picture(upright(error, orientation), scale=scale) for error in maps), None]))
    sentences = [
        "Test images, degraded, enhanced by networks of each training strategy, and clean; PSNR and SSIM against the "
        "clean image.", BOX, "Last row of each image: absolute error, averaged over the channels."
    ]
    return draw_pictures(["degraded", *trained, "clean"], rows, legend(sentences, any_phantom(trained)), scale)


def figure6(runs: Mapping[str, str | Path], images: int = 1) -> bytes:
    """Draw methods side by side on several data sets (figure 6).

    Args:
        runs: folders of finished runs by label, see :func:`shared.reproduction.comparison.draw_methods`.
        images: number of test images per data set.

    Raises:
        InputError: as :func:`shared.reproduction.comparison.draw_methods`.
    """
    seen = "Test images of each data set, degraded, enhanced by networks of each training strategy, and clean"
    return draw_methods(runs, seen, images)


def figure7(runs: Mapping[str, str | Path], images: int = 3) -> bytes:
    """Draw what networks trained for noise make of images to which none was added (figure 7).

    Args:
        runs: folders of finished runs by label, of networks that keep an image's size.
        images: number of test images, spread over the test set.

    Raises:
        InputError: when a run cannot be read, or enlarges images.
    """
    trained = load_all(runs)
    shown: list[tuple[str, Sample, Tensor, str]] = []
    for label, run in trained.items():
        for sample in run.samples(images):
            enhanced = run.enhance(sample.clean)
            if enhanced.shape != sample.clean.shape:
                raise InputError(
                    f"{run.folder} ({label}): found a network that makes {tuple(enhanced.shape)} of "
                    f"{tuple(sample.clean.shape)}, expected one that keeps the size"
                )
            shown.append((label, sample, enhanced, run.orientation))
    scale = error_scale(error_map(enhanced, sample.clean) for _, sample, enhanced, _ in shown)
    rows = []
    for label, sample, enhanced, orientation in shown:
        box = detail(sample.clean)
        pictures = [image_picture(image, orientation, box=box) for image in (sample.clean, enhanced)]
        pictures.append(Picture(upright(error_map(enhanced, sample.clean), orientation), scale=scale))
        pictures += [image_picture(box.crop(image), orientation) for image in (sample.clean, enhanced)]
        rows.append(Row(pictures, f"{sample.id}  {label}"))
    columns = ["input, undegraded", "enhanced", "|enhanced - input|", "detail of input", "detail of enhanced"]
    sentences = [
        "Test images as they were recorded, without added degradation, and what the network makes of them; nobody "
        "knows the truth here. The red box, where the input varies most, is shown enlarged."
    ]
    return draw_pictures(columns, rows, legend(sentences, any_phantom(trained)), scale, "absolute difference")


def _enhanced(sample: Sample, runs: Mapping[str, TrainedRun]) -> list[Tensor]:
    return [run.enhance(sample.image) for run in runs.values()]
