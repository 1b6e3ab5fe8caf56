"""Image quality of the versions of one test image: degraded, by other methods, enhanced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from shared.errors import InputError
from shared.metrics import PSNR, SSIM, ImageMetric
from shared.metrics.image_metric import REGION
from shared.metrics.image_quality import BORDER
from shared.reporting.baselines import Baseline
from shared.reporting.images import enlarged, plain

STANDARD_METRICS: Mapping[str, ImageMetric] = {"psnr": PSNR, "ssim": SSIM}


def check_metrics(metrics: Mapping[str, ImageMetric]) -> None:
    """Check the metrics of a report.

    Raises:
        InputError: when there is none, a value is no `ImageMetric`, or a name ends as those of regions do.
    """
    if not metrics:
        raise InputError("metrics of EnhancementReport must hold at least one metric, found none")
    for name, metric in metrics.items():
        if not isinstance(metric, ImageMetric):
            raise InputError(f"metrics of EnhancementReport must be of class ImageMetric, found {name!r}: {metric!r}")
        if name.endswith(REGION):
            raise InputError(f"metrics of EnhancementReport must not have names that end in {REGION}, found {name!r}")


def run_baselines(
    baselines: Mapping[str, Baseline], degraded: torch.Tensor, like: torch.Tensor
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Return the image of each method, enlarged by bicubic interpolation where the method left a small image's size.

    Args:
        baselines: methods by name.
        degraded: [C, h, w], the network's input.
        like: [C, H, W], an image of the size and on the device of the results.

    Returns:
        Images [C, H, W] by name, and the names of those that were enlarged.

    Raises:
        ValueError: when a method gives an image of neither size.
    """
    images, small = {}, set()
    for name, method in baselines.items():
        image = plain(method(degraded)).to(like.device)
        if image.shape not in (like.shape, degraded.shape):
            sizes = " or ".join(dict.fromkeys(str(tuple(shape)) for shape in (like.shape, degraded.shape)))
            raise ValueError(f"{name}: the baseline must give an image of shape {sizes}, found {tuple(image.shape)}")
        if image.shape != like.shape:
            small.add(name)
        images[name] = enlarged(image, like)
    return images, small


def measure(
    metrics: Mapping[str, ImageMetric],
    versions: Mapping[str, torch.Tensor],
    clean: torch.Tensor | None,
    item: Mapping[str, Any],
    region: torch.Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Return the values of all versions of one image.

    Args:
        metrics: by name.
        versions: images [C, H, W] of one size, by name.
        clean: the clean image; None where there is none.
        item: the item of the data set, with the masks that metrics ask for.
        region: [1, H, W], where the image has one; metrics of a region are taken inside it as well.

    Returns:
        `{version: {metric: value}}`, in the order of `versions` and `metrics`, metrics of a region last. A value is
        NaN where the metric is not defined on the image.

    Raises:
        InputError: when a metric needs a clean image or a mask that is not there.
        ValueError: what a metric raises, with the name of the version before it.
    """
    if needing := [name for name, metric in metrics.items() if metric.needs_reference and clean is None]:
        raise InputError(
            f"the report's metrics {', '.join(needing)} need the clean image (batch key 'label'), found none; "
            "give metrics of EnhancementReport that need no reference image"
        )
    masks = {name: _mask(name, metric, item) for name, metric in metrics.items()}
    values = {
        version: {name: _value(version, metric, image, clean, masks[name]) for name, metric in metrics.items()}
        for version, image in versions.items()
    }
    # A slice at the edge of a body may have a region too small for a single window: no value rather than a crash.
    if region is not None and (plain(region)[..., BORDER:-BORDER, BORDER:-BORDER] > 0.5).any():
        for version, image in versions.items():
            values[version] |= {
                f"{name}{REGION}": _value(version, metric, image, clean, region)
                for name, metric in metrics.items()
                if metric.in_region
            }
    return values


def captions(metrics: Mapping[str, ImageMetric], values: Mapping[str, float]) -> str:
    """Return the first two metrics of an image as a line, without those that have no value."""
    first = [(name, metrics[name]) for name in list(metrics)[:2]]
    return ", ".join(metric.caption(name, values[name]) for name, metric in first if not math.isnan(values[name]))


def _mask(name: str, metric: ImageMetric, item: Mapping[str, Any]) -> torch.Tensor | None:
    if metric.mask_key is None:
        return None
    if item.get(metric.mask_key) is None:
        raise InputError(f"the report's metric {name} needs a mask (batch key {metric.mask_key!r}), found none")
    return plain(item[metric.mask_key])


def _value(
    version: str,
    metric: ImageMetric,
    image: torch.Tensor,
    clean: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> float:
    try:
        return metric(image, clean, mask)
    except ValueError as err:
        raise ValueError(f"{version}: {err}") from err
