"""All recognition networks of a run as one, for their training before the cascade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines.utils import PrepareBatch
from torch import Tensor, nn

from shared.losses.recognition import LABEL_KEYS
from shared.networks import enlarge_to
from shared.recognition.task import RecognitionTask


class RecognitionEnsemble(nn.Module):
    """All recognition networks of a run as one module, for their training before the cascade.

    Args:
        tasks: kinds "diagnosis" and "segmentation" by name; none for a run without recognition.
    """

    def __init__(self, tasks: Sequence[RecognitionTask]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.networks = nn.ModuleDict({task.name: task.network for task in tasks})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits per task for images [B, C, H, W]."""
        return {task.name: task.predict(images) for task in self.tasks}


class PrepareRecognitionBatch(PrepareBatch):
    """Give a stock trainer images [B, C, H, W] and all ground truth of a batch, on the device.

    Args:
        images: batch key of what the networks look at: "label" (clean) or "image" (degraded; enlarged by bicubic
            interpolation to the size of the clean image where it is smaller, since the ground truth is of that size).
    """

    def __init__(self, images: str = "label") -> None:
        self.images = images

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Return images and a dictionary of ground truth; ``kwargs`` go to ``Tensor.to``."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, non_blocking=non_blocking, **kwargs)

        truth: Any = {key: move(batchdata[key]) for key in LABEL_KEYS.values() if key in batchdata}
        return enlarge_to(move(batchdata[self.images]), batchdata["label"].shape[-2:]), truth
