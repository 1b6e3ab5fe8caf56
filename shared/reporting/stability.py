"""How steady methods are over the test images: a curve of each method's image quality, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.errors import InputError
from shared.reporting.canvas import png
from shared.reporting.charts import Chart, Line, chart_figure
from shared.reporting.headings import HEADINGS
from shared.reporting.images import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Quality = Mapping[str, Mapping[str, float]]
"""Values by metric and image id, as :func:`~shared.reporting.per_image.read_quality` gives them."""

CURVES = (
    "Image quality of single test images, the same ones for every method, in the order of their ids. The higher a "
    "curve, the better the images; the nearer to the horizontal, the steadier."
)


def stability_curves(methods: Mapping[str, Quality], images: int = 40, legend: str = CURVES) -> bytes:
    """Draw :func:`stability_figure` as a PNG file whose text field "Description" holds the legend."""
    return png(stability_figure(methods, images, legend), legend)


def stability_figure(methods: Mapping[str, Quality], images: int = 40, legend: str = CURVES) -> Figure:
    """Lay out a chart per metric with a line per method over the same test images (RIRGAN, figure 7).

    The paper draws 40 slices at random; here they are spread evenly over the test set in the order of their ids. A
    value that an image does not have, and the infinite PSNR of equal images, leave a gap.

    Args:
        methods: what was measured, by the method's name; at most ten.
        images: how many are drawn at most.
        legend: sentences below the charts.

    Raises:
        InputError: when there is no method, or two were not tested on the same images.
    """
    if not methods:
        raise InputError("curves of stability need at least one method, found none")
    tested = {name: _ids(quality) for name, quality in methods.items()}
    first, ids = next(iter(tested.items()))
    for name, found in tested.items():
        if other := sorted(set(found) ^ set(ids)):
            raise InputError(
                f"curves of stability: found {len(other)} images that {name!r} or {first!r} lacks, the first "
                f"{other[0]!r}; expected the same test images for all methods"
            )
    shown = [ids[position] for position in spread(len(ids), images)]
    numbers = range(1, len(shown) + 1)
    charts = [
        Chart(
            HEADINGS.get(metric, metric),
            "image number",
            {
                name: Line(numbers, [quality[metric].get(image) for image in shown])
                for name, quality in methods.items()
                if metric in quality
            },
        )
        for metric in dict.fromkeys(metric for quality in methods.values() for metric in quality)
    ]
    return chart_figure([charts], list(methods), legend)


def _ids(quality: Quality) -> list[str]:
    """Return the images of which anything is known, in the order of the report."""
    return sorted({image for values in quality.values() for image in values})
