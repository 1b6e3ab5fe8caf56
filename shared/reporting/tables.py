"""Values of an evaluation as plain-text tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from shared.metrics import ImageMetric
from shared.metrics.image_metric import REGION
from shared.reporting.headings import HEADINGS, version_label
from shared.reporting.quality import STANDARD_METRICS
from shared.reporting.summary import STABILITY


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


def quality_table(
    image_quality: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
    enlarged: Collection[str] = (),
) -> str:
    """Return the table of image quality: a line for the input, each baseline and the enhanced image.

    Args:
        image_quality: values by version and metric.
        metrics: by name.
        enlarged: versions that were enlarged by bicubic interpolation, see :func:`version_label`.
    """
    names = list(dict.fromkeys(name for values in image_quality.values() for name in values))
    lines = [["", *(_metric(metrics, name).title(name) for name in names)]]
    for version, values in image_quality.items():
        cells = [_number(values.get(name), _metric(metrics, name).digits) for name in names]
        lines.append([version_label(version, version in enlarged), *cells])
    return text_table(lines, numbers=True)


def stability_table(
    stability: Mapping[str, Mapping[str, Mapping[str, float]]],
    metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
    enlarged: Collection[str] = (),
) -> str:
    """Return the table of figures over the test images: a line for each version and metric, a column per figure.

    Args:
        stability: values by version, metric and figure.
        metrics: by name.
        enlarged: see :func:`quality_table`.
    """
    lines = [["", *(figure.replace("_", " ") for figure in STABILITY)]]
    for version, each in stability.items():
        for name, values in each.items():
            metric = _metric(metrics, name)
            # Rounded like the values themselves, a variance would mostly be 0.
            cells = [_number(values[figure], metric.digits + 2) for figure in STABILITY]
            lines.append([f"{version_label(version, version in enlarged)}: {metric.title(name)}", *cells])
    return text_table(lines, numbers=True)


def group_table(
    by_group: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
    enlarged: Collection[str] = (),
) -> str:
    """Return the table of each group's means: a line for each group and metric, a column for each version.

    Args:
        by_group: number of images and values by group, as :func:`~shared.reporting.summary.summarise` gives them.
        metrics: by name.
        enlarged: see :func:`quality_table`.
    """
    versions = list(dict.fromkeys(version for each in by_group.values() for version in each["image_quality"]))
    lines = [["", "images", *(version_label(version, version in enlarged) for version in versions)]]
    for group, each in by_group.items():
        quality = each["image_quality"]
        for name in dict.fromkeys(name for values in quality.values() for name in values):
            metric = _metric(metrics, name)
            cells = [_number(quality.get(version, {}).get(name), metric.digits) for version in versions]
            lines.append([f"{group}: {metric.title(name)}", str(each["number_of_images"]), *cells])
    return text_table(lines, numbers=True)


def excluded_lines(
    excluded: Mapping[str, Mapping[str, int]],
    metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
    enlarged: Collection[str] = (),
) -> list[str]:
    """Return a sentence for each metric and version that is not defined on some of the images."""
    return [
        f"{_metric(metrics, name).title(name)} of {version_label(version, version in enlarged)}: "
        f"not defined on {number} {'image, which is' if number == 1 else 'images, which are'} left out of it."
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


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _metric(metrics: Mapping[str, ImageMetric], name: str) -> ImageMetric:
    return metrics[name.removesuffix(REGION)]
