"""The run of an inference bundle."""

from __future__ import annotations

from typing import Any

from shared.inference.large.images import LargeImages
from shared.inference.listing import Images
from shared.inference.progress import ImageProgress


def enhance_all(evaluator: Any, large_images: LargeImages, images: Images | None = None) -> None:
    """Enhance the images that fit into memory by the evaluator, then the large ones, and say what was left out.

    Args:
        evaluator: MONAI's ``SupervisedEvaluator`` over the data set of ordinary images.
        large_images: the others.
        images: all of them, as ``find_images`` gave them; None to say nothing about what it left out.
    """
    # Ignite refuses to run over no data.
    if len(evaluator.data_loader):
        evaluator.run()
    large_images.run()
    if images is not None and images.left_out:
        ImageProgress().say(str(images.left_out))
