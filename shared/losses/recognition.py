"""What recognition networks learn by: one supervised loss per kind of recognition."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

LABEL_KEYS = {"diagnosis": "class", "segmentation": "mask"}
"""Kinds of recognition, and the batch key of their ground truth."""


def supervised_loss(kind: str) -> nn.Module:
    """Return cross-entropy for a diagnosis, cross-entropy + Dice for a segmentation."""
    return nn.CrossEntropyLoss() if kind == "diagnosis" else DiceCELoss(to_onehot_y=True, softmax=True)


class RecognitionLoss(nn.Module):
    """Sum of the supervised losses of all tasks; the networks share no parameter, so each has its own gradient.

    This stage uses labels also where the cascade does without (the "unsupervised" rows): a network that never saw
    a label could tell the enhancement network nothing.
    """

    def forward(self, logits: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> Tensor:
        """Return the loss; ``truth`` holds "class" [B] and "mask" [B, 1, H, W] as far as the tasks need them."""
        losses = [supervised_loss(kind)(value, truth[LABEL_KEYS[kind]]) for kind, value in logits.items()]
        return torch.stack(losses).sum()
