"""Recognition networks looking at the degraded, enhanced and clean version of a test image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from shared.metrics import confusion_matrix
from shared.recognition.task import GROUND_TRUTH, RecognitionTask
from shared.reporting.rows import Recognition

KINDS = {2: "diagnosis", 4: "segmentation"}


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each submodule is in the mode it was in.

    MONAI's `eval_mode` puts everything back into training mode, also what was frozen in evaluation mode.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def recognise(
    task: RecognitionTask, versions: Mapping[str, torch.Tensor], item: Mapping[str, Any]
) -> Recognition | None:
    """Return the answers of a task on all versions of one image, or None where the item has no ground truth.

    Args:
        task: a diagnosis (logits [B, K]) or a segmentation (logits [B, K, H, W]).
        versions: images [C, H, W] of one shape by the name of the version.
        item: the item's dictionary with its ground truth, `class` (a whole number) or `mask` [1, H, W].

    Raises:
        ValueError: when logits have another number of dimensions, or the ground truth a class that is not among
            the network's, or a mask another size.
    """
    with evaluation_mode(task.network):
        logits = task.predict(torch.stack(list(versions.values())))
    if logits.ndim not in KINDS:
        raise ValueError(
            f"recognition task {task.name!r} must give logits [B, K] or [B, K, H, W], found {tuple(logits.shape)}"
        )
    truth = item.get(GROUND_TRUTH[logits.ndim])
    if truth is None:
        return None
    target = torch.as_tensor(truth)
    predictions = dict(zip(versions, logits.argmax(dim=1), strict=True))
    if target.numel() != logits[0, 0].numel():
        raise ValueError(
            f"recognition task {task.name!r}: {GROUND_TRUTH[logits.ndim]!r} must have the size "
            f"{tuple(logits.shape[2:])}, found {tuple(target.shape)}"
        )
    confusion = {
        version: confusion_matrix(target, prediction, logits.shape[1]) for version, prediction in predictions.items()
    }
    classes = {}
    if logits.ndim == 2:
        classes = {"target": int(target.item())} | {name: int(value.item()) for name, value in predictions.items()}
    return Recognition(KINDS[logits.ndim], confusion, classes)
