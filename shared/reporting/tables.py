"""Values of an evaluation as a CSV file and as plain-text tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shared.files import csv_lines
from shared.metrics import ImageMetric, mean_iou
from shared.metrics.image_metric import REGION
from shared.reporting.quality import STANDARD_METRICS
from shared.reporting.rows import ImageRow
from shared.reporting.summary import STABILITY, metrics_of, tasks_of, versions_of

HEADINGS = {
    **{name: metric.title(name) for name, metric in STANDARD_METRICS.items()},
    **{f"{name}{REGION}": metric.title(f"{name}{REGION}") for name, metric in STANDARD_METRICS.items()},
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mean_iou": "mean IoU",
}


def text_table(rows: Sequence[Sequence[str]], numbers: bool = False, markdown: bool = False) -> str:
    """Return rows as a table of text, columns two blanks apart.

    Args:
        rows: at least one, all of one length; the first is the header.
        numbers: sets all columns but the first to the right, without a rule below the header.
        markdown: gives a Markdown table instead.
    """
    if markdown:
        first, *others = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([first, "|" + " --- |" * len(rows[0]), *others])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = rows if numbers else [rows[0], ["-" * width for width in widths], *rows[1:]]
    signs = ["<", *((">" if numbers else "<") * (len(widths) - 1))]
    return "\n".join(
        "  ".join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=True)).rstrip()
        for row in ruled
    )


def per_image_csv(rows: Sequence[ImageRow]) -> str:
    """Return one line for each image.

    Columns: `id`, `group`, `<metric>_<version>` (psnr_degraded, ..., `_region` at the end of those of a region),
    then for each task `<task>_target` and `<task>_<version>` (class indices) of a diagnosis, or
    `<task>_mean_iou_<version>` of a segmentation. A value that an image does not have stays empty. An id or a group
    that a spreadsheet would take for a formula begins with an apostrophe (:func:`~shared.files.escape_cell`).
    """
    lines = [_flat(row) for row in rows]
    quality = [_column(metric, version) for metric in metrics_of(rows) for version in versions_of(rows)]
    tasks = [
        column
        for task in tasks_of(rows)
        for column in dict.fromkeys(
            column for row in rows if task in row.recognition for column in _recognition_columns(row, task)
        )
    ]
    columns = ["id", "group", *quality, *tasks]
    return csv_lines(columns, [dict(zip(columns, columns, strict=True)), *lines], ("id", "group"))


def quality_table(
    image_quality: Mapping[str, Mapping[str, float]], metrics: Mapping[str, ImageMetric] = STANDARD_METRICS
) -> str:
    """Return the table of image quality: a line for the input, each baseline and the enhanced image."""
    names = list(dict.fromkeys(name for values in image_quality.values() for name in values))
    lines = [["", *(_metric(metrics, name).title(name) for name in names)]]
    for version, values in image_quality.items():
        cells = [_number(values.get(name), _metric(metrics, name).digits) for name in names]
        lines.append([_label(version), *cells])
    return text_table(lines, numbers=True)


def stability_table(
    stability: Mapping[str, Mapping[str, Mapping[str, float]]],
    metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
) -> str:
    """Return the table of figures over the test images: a line for each version and metric, a column per figure."""
    lines = [["", *(figure.replace("_", " ") for figure in STABILITY)]]
    for version, each in stability.items():
        for name, values in each.items():
            metric = _metric(metrics, name)
            # Rounded like the values themselves, a variance would mostly be 0.
            cells = [_number(values[figure], metric.digits + 2) for figure in STABILITY]
            lines.append([f"{_label(version)}: {metric.title(name)}", *cells])
    return text_table(lines, numbers=True)


def excluded_lines(
    excluded: Mapping[str, Mapping[str, int]], metrics: Mapping[str, ImageMetric] = STANDARD_METRICS
) -> list[str]:
    """Return a sentence for each metric and version that is not defined on some of the images."""
    return [
        f"{_metric(metrics, name).title(name)} of {_label(version)}: not defined on {number} "
        f"{'image, which is' if number == 1 else 'images, which are'} left out of it."
        for version, each in excluded.items()
        for name, number in each.items()
    ]


def recognition_table(recognition: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of recognition: a line for each task and metric, a column for each version of the image."""
    versions = list(
        dict.fromkeys(name for values in recognition.values() for name in values if isinstance(values[name], Mapping))
    )
    with_baseline = any("majority_baseline" in values for values in recognition.values())
    lines = [["", *versions, *(["majority class"] if with_baseline else [])]]
    for task, values in recognition.items():
        for metric in values[versions[0]]:
            cells = [_number(values[version][metric], 4) for version in versions]
            if with_baseline:
                cells.append(_number(values.get("majority_baseline") if metric == "accuracy" else None, 4))
            lines.append([f"{task}: {HEADINGS[metric]}", *cells])
    return text_table(lines, numbers=True)


def _column(metric: str, version: str) -> str:
    name = metric.removesuffix(REGION)
    return f"{name}_{version}" + metric[len(name) :]


def _flat(row: ImageRow) -> dict[str, Any]:
    values: dict[str, Any] = {"id": row.id, "group": row.group}
    for version, quality in row.quality.items():
        values |= {
            _column(metric, version): f"{value:.6f}" for metric, value in quality.items() if not math.isnan(value)
        }
    for task in row.recognition:
        values |= _recognition_columns(row, task)
    return values


def _recognition_columns(row: ImageRow, task: str) -> dict[str, Any]:
    answer = row.recognition[task]
    if answer.classes:
        return {f"{task}_{name}": value for name, value in answer.classes.items()}
    return {f"{task}_mean_iou_{version}": f"{mean_iou(matrix):.6f}" for version, matrix in answer.confusion.items()}


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _label(version: str) -> str:
    return "input (degraded)" if version == "degraded" else version.replace("_", " ")


def _metric(metrics: Mapping[str, ImageMetric], name: str) -> ImageMetric:
    return metrics[name.removesuffix(REGION)]
