"""The file `per_image.csv` of an evaluation, one line for each test image: written and read."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.files import csv_lines, short_path, unescape_cell
from shared.metrics import mean_iou
from shared.metrics.image_metric import REGION
from shared.reporting.rows import ImageRow
from shared.reporting.summary import metrics_of, tasks_of, versions_of


def per_image_csv(rows: Sequence[ImageRow]) -> str:
    """Return one line for each image.

    Columns: `id`, `group`, `<metric>_<version>` (psnr_degraded, ..., `_region` at the end of those of a region),
    then for each task `<task>_target` and `<task>_<version>` (class indices) of a diagnosis, or
    `<task>_mean_iou_<version>` of a segmentation. A value that an image does not have stays empty. An id or a group
    that a spreadsheet would take for a formula begins with an apostrophe (:func:`~shared.files.escape_cell`).
    """
    lines = [_flat(row) for row in rows]
    quality = [quality_column(metric, version) for metric in metrics_of(rows) for version in versions_of(rows)]
    tasks = [
        column
        for task in tasks_of(rows)
        for column in dict.fromkeys(
            column for row in rows if task in row.recognition for column in _recognition_columns(row, task)
        )
    ]
    columns = ["id", "group", *quality, *tasks]
    return csv_lines(columns, [dict(zip(columns, columns, strict=True)), *lines], ("id", "group"))


def quality_column(metric: str, version: str) -> str:
    """Return the name of the column with a metric of a version, for example "psnr_enhanced_region"."""
    name = metric.removesuffix(REGION)
    return f"{name}_{version}" + metric[len(name) :]


def read_per_image(path: Path) -> list[dict[str, str]]:
    """Return the lines of the file by column, as they stand there but for `id` and `group`, which are unescaped.

    Raises:
        InputError: when the file is missing, no such table, or has an id twice.
    """
    name = short_path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except OSError as err:
        raise InputError(f"{name} cannot be read: {err.strerror or err}; expected a finished run") from err
    except (csv.Error, UnicodeDecodeError) as err:
        raise InputError(f"{name}: found no CSV ({err}), expected one line for each test image") from err
    if not rows or not {"id", "group"} <= rows[0].keys():
        raise InputError(f"{name}: expected a line for each test image with its id and group, found none")
    for line, row in enumerate(rows, start=2):
        # A line that is too short or too long has None among its values or keys.
        if None in row or None in row.values():
            raise InputError(f"{name}, line {line}: found another number of values than columns")
        row.update({key: unescape_cell(row[key]) for key in ("id", "group")})
    if len({row["id"] for row in rows}) < len(rows):
        raise InputError(f"{name}: found an image id twice, expected unique ids")
    return rows


def numbers_of(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], path: Path, what: str
) -> dict[str, list[float]]:
    """Return the numbers of some columns by image id; an image that lacks one of them is not there.

    Args:
        rows: from :func:`read_per_image`.
        columns: their names.
        path: of the file, for messages.
        what: they are, for messages, for example "psnr of enhanced images".

    Raises:
        InputError: when a column is missing, a cell is no number, or no image has all of them.
    """
    name = short_path(path)
    if missing := [column for column in columns if column not in rows[0]]:
        raise InputError(f"{name}: found no column {', '.join(missing)}, expected {what}")
    found = {}
    for row in rows:
        cells = [row[column] for column in columns]
        if all(cells):
            try:
                numbers = [float(cell) for cell in cells]
            except ValueError as err:
                raise InputError(f"{name}, image {row['id']!r}: found {cells}, expected numbers") from err
            if any(math.isnan(number) for number in numbers):
                raise InputError(f"{name}, image {row['id']!r}: found {cells}, expected numbers")
            found[row["id"]] = numbers
    if not found:
        raise InputError(f"{name}: found no image with {what}, expected at least one")
    return found


def read_quality(
    path: Path, version: str = "enhanced", metrics: Sequence[str] = ("psnr", "ssim")
) -> dict[str, dict[str, float]]:
    """Return the image quality of one version of the images in a file, by metric and image id.

    Args:
        path: of the file, `eval/per_image.csv` of a run.
        version: "enhanced", "degraded" or the name of a baseline.
        metrics: which are read.

    Raises:
        InputError: when the file cannot be read or lacks a metric of this version.
    """
    rows = read_per_image(path)
    return {
        metric: {
            image: number
            for image, (number,) in numbers_of(
                rows, [quality_column(metric, version)], path, f"{metric} of {version} images"
            ).items()
        }
        for metric in metrics
    }


def _flat(row: ImageRow) -> dict[str, Any]:
    values: dict[str, Any] = {"id": row.id, "group": row.group}
    for version, quality in row.quality.items():
        values |= {
            quality_column(metric, version): f"{value:.6f}"
            for metric, value in quality.items()
            if not math.isnan(value)
        }
    for task in row.recognition:
        values |= _recognition_columns(row, task)
    return values


def _recognition_columns(row: ImageRow, task: str) -> dict[str, Any]:
    answer = row.recognition[task]
    if answer.classes:
        return {f"{task}_{name}": value for name, value in answer.classes.items()}
    return {f"{task}_mean_iou_{version}": f"{mean_iou(matrix):.6f}" for version, matrix in answer.confusion.items()}
