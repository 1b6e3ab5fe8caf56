"""What tables call metrics, their figures over the test images, and the versions of an image."""

from __future__ import annotations

from shared.metrics.image_metric import REGION
from shared.reporting.quality import STANDARD_METRICS

ENDINGS = {
    "variance": "variance", "std": "standard_deviation", "minimum": "minimum", "maximum": "maximum", "range": "range",
}
"""Of names such as "psnr_std", and the figures that they stand for."""

FIGURES = {
    f"{name}{region}_{ending}": (f"{name}{region}", figure)
    for region in ("", REGION)
    for name in STANDARD_METRICS
    for ending, figure in ENDINGS.items()
}
"""The metric and its figure over the test images behind such a name: ("psnr", "standard_deviation")."""


def _headings() -> dict[str, str]:
    headings = {}
    for region in ("", REGION):
        for name, metric in STANDARD_METRICS.items():
            title, unit = metric.title(name + region), f" [{metric.unit}]" if metric.unit else ""
            headings[name + region] = title
            for ending, figure in ENDINGS.items():
                own = unit.replace("]", "²]") if figure == "variance" else unit
                words = figure.replace("_", " ")
                headings[f"{name}{region}_{ending}"] = f"{title.removesuffix(unit)} {words}{own}"
    return headings


HEADINGS = {
    **_headings(),
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mean_iou": "mean IoU",
}
"""Of metrics by name, in the order of their columns."""

LABELS = {
    "degraded": "input (degraded)", "non_local_means": "NLM", "bicubic_non_local_means": "bicubic, then NLM",
    "bm3d": "BM3D",
}
"""Of versions whose name does not say it by itself."""


def version_label(version: str, enlarged: bool = False) -> str:
    """Return how tables call a version of the images.

    Args:
        version: "degraded", "enhanced" or the name of a baseline.
        enlarged: whether it was smaller than the clean image and enlarged by bicubic interpolation.
    """
    if enlarged and version == "degraded":
        return "bicubic"
    label = LABELS.get(version, version.replace("_", " "))
    return f"{label}, then bicubic" if enlarged else label
