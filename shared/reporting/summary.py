"""From rows of single images to the values of a test set."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.metrics import accuracy, balanced_accuracy, majority_baseline, mean_iou
from shared.reporting.rows import ImageRow

STABILITY: dict[str, Callable[[np.ndarray], np.floating]] = {
    "mean": np.mean,
    "variance": np.var,
    "standard_deviation": np.std,
    "minimum": np.min,
    "maximum": np.max,
    "range": np.ptp,
}
"""How much a metric varies over the test images; variance and standard deviation are those of a population."""


def summarise(rows: Sequence[ImageRow], stability: bool = False, by_group: bool = False) -> dict[str, Any]:
    """Return the test set's values: means of image quality, recognition from summed confusion matrices.

    Args:
        rows: at least one image.
        stability: whether to add the figures of `STABILITY`.
        by_group: whether to add the means of each group (patient, lesion).

    Returns:
        `number_of_images`, `number_of_groups`, `image_quality` {version: {metric: mean}}, with `stability` also
        `stability` {version: {metric: {figure: value}}}, with `by_group` also `by_group` {group: {number_of_images,
        image_quality as above}}, where there are any `excluded` {version: {metric: number of
        images}}, and `recognition` {task: {kind, number_of_images, majority_baseline (diagnosis), version: {metric:
        value}}}. Images on which a metric is not defined (NaN) are excluded from it and counted. Metrics of a region
        are means over the images that have one.

    Raises:
        InputError: when there are no rows.
    """
    if not rows:
        raise InputError("the test set holds no image; expected at least one")
    quality: dict[str, dict[str, float]] = {version: {} for version in versions_of(rows)}
    varying: dict[str, dict[str, dict[str, float]]] = {version: {} for version in quality}
    excluded: dict[str, dict[str, int]] = {}
    for version, metric in itertools.product(quality, metrics_of(rows)):
        measured = [row.quality[version][metric] for row in rows if metric in row.quality.get(version, {})]
        values = np.array([value for value in measured if not math.isnan(value)], dtype=np.float64)
        if len(values):
            quality[version][metric] = float(np.mean(values))
            varying[version][metric] = figures_of(values)
        if len(values) < len(measured):
            excluded.setdefault(version, {})[metric] = len(measured) - len(values)
    return {
        "number_of_images": len(rows),
        "number_of_groups": len({row.group for row in rows}),
        "image_quality": quality,
        **({"stability": varying} if stability else {}),
        **({"by_group": _by_group(rows)} if by_group else {}),
        **({"excluded": excluded} if excluded else {}),
        "recognition": {task: _recognition(rows, task) for task in tasks_of(rows)},
    }


def _by_group(rows: Sequence[ImageRow]) -> dict[str, Any]:
    found = {}
    for group in sorted({row.group for row in rows}):
        whole = summarise([row for row in rows if row.group == group])
        found[group] = {key: whole[key] for key in ("number_of_images", "image_quality")}
    return found


def figures_of(values: np.ndarray) -> dict[str, float]:
    """Return the figures of `STABILITY` of values [N], N >= 1; with an infinite value some are infinite or NaN."""
    with np.errstate(invalid="ignore"):
        return {name: float(figure(values)) for name, figure in STABILITY.items()}


def versions_of(rows: Sequence[ImageRow]) -> list[str]:
    """Return the versions with quality values, in the order in which they were first measured."""
    return list(dict.fromkeys(version for row in rows for version in row.quality))


def metrics_of(rows: Sequence[ImageRow]) -> list[str]:
    """Return the names of the quality metrics, in the order in which they were first measured."""
    return list(dict.fromkeys(name for row in rows for values in row.quality.values() for name in values))


def tasks_of(rows: Sequence[ImageRow]) -> list[str]:
    """Return the names of the recognition tasks, in the order in which they were first measured."""
    return list(dict.fromkeys(task for row in rows for task in row.recognition))


def finite_or_none(value: Any) -> Any:
    """Replace numbers that JSON cannot hold (the infinite PSNR of equal images) by None, at any depth."""
    if isinstance(value, dict):
        return {key: finite_or_none(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _recognition(rows: Sequence[ImageRow], task: str) -> dict[str, Any]:
    answers = [row.recognition[task] for row in rows if task in row.recognition]
    versions = dict.fromkeys(version for answer in answers for version in answer.confusion)
    totals = {
        version: np.sum([answer.confusion[version] for answer in answers if version in answer.confusion], axis=0)
        for version in versions
    }
    values: dict[str, Any] = {"kind": answers[0].kind, "number_of_images": len(answers)}
    if answers[0].kind == "diagnosis":
        values["majority_baseline"] = majority_baseline(next(iter(totals.values())))
    for version, total in totals.items():
        if answers[0].kind == "diagnosis":
            values[version] = {"accuracy": accuracy(total), "balanced_accuracy": balanced_accuracy(total)}
        else:
            values[version] = {"mean_iou": mean_iou(total)}
    return values
