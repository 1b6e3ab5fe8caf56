"""Values of an evaluation as a CSV file and as plain-text tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.files import csv_lines
from shared.metrics import mean_iou
from shared.reporting.rows import ImageRow
from shared.reporting.summary import metrics_of, tasks_of, versions_of

HEADINGS = {
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "psnr_region": "PSNR region [dB]",
    "ssim_region": "SSIM region",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mean_iou": "mean IoU",
}


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


def quality_table(image_quality: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table of image quality: a line for the input, each baseline and the enhanced image."""
    metrics = list(dict.fromkeys(name for values in image_quality.values() for name in values))
    lines = [["", *(HEADINGS[name] for name in metrics)]]
    for version, values in image_quality.items():
        label = "input (degraded)" if version == "degraded" else version.replace("_", " ")
        cells = [_number(values.get(name), 2 if name.startswith("psnr") else 4) for name in metrics]
        lines.append([label, *cells])
    return _aligned(lines)


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
    return _aligned(lines)


def _column(metric: str, version: str) -> str:
    name = metric.removesuffix("_region")
    return f"{name}_{version}" + metric[len(name) :]


def _flat(row: ImageRow) -> dict[str, Any]:
    values: dict[str, Any] = {"id": row.id, "group": row.group}
    for version, quality in row.quality.items():
        values |= {_column(metric, version): f"{value:.6f}" for metric, value in quality.items()}
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


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
