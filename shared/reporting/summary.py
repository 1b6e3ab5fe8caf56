"""From rows of single images to the values of a test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.metrics import accuracy, balanced_accuracy, majority_baseline, mean_iou
from shared.reporting.rows import ImageRow


def summarise(rows: Sequence[ImageRow]) -> dict[str, Any]:
    """Return the test set's values: means of PSNR and SSIM, recognition from summed confusion matrices.

    Args:
        rows: at least one image.

    Returns:
        `number_of_images`, `number_of_groups`, `image_quality` {version: {metric: mean}} and `recognition`
        {task: {kind, number_of_images, majority_baseline (diagnosis), version: {metric: value}}}. Metrics of a
        region are means over the images that have one.

    Raises:
        InputError: when there are no rows.
    """
    if not rows:
        raise InputError("the test set holds no image; expected at least one")
    return {
        "number_of_images": len(rows),
        "number_of_groups": len({row.group for row in rows}),
        "image_quality": {version: _mean_quality(rows, version) for version in versions_of(rows)},
        "recognition": {task: _recognition(rows, task) for task in tasks_of(rows)},
    }


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


def _mean_quality(rows: Sequence[ImageRow], version: str) -> dict[str, float]:
    means = {}
    for metric in metrics_of(rows):
        values = [row.quality[version][metric] for row in rows if metric in row.quality.get(version, {})]
        if values:
            means[metric] = float(np.mean(values, dtype=np.float64))
    return means


def _recognition(rows: Sequence[ImageRow], task: str) -> dict[str, Any]:
    answers = [row.recognition[task] for row in rows if task in row.recognition]
    totals = {
        version: np.sum([answer.confusion[version] for answer in answers], axis=0) for version in answers[0].confusion
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
