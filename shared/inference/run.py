"""The run of an inference bundle."""

from __future__ import annotations

from typing import Any

from shared.inference.large.images import LargeImages


def enhance_all(evaluator: Any, large_images: LargeImages) -> None:
    """Enhance the images that fit into memory by the evaluator, then the large ones.

    Args:
        evaluator: MONAI's ``SupervisedEvaluator`` over the data set of ordinary images.
        large_images: the others.
    """
    # Ignite refuses to run over no data.
    if len(evaluator.data_loader):
        evaluator.run()
    large_images.run()
