"""The same training step by TorchJD's multi-task backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchjd.aggregation import GramianWeightedAggregator, Weighting
from torchjd.autojac import jac_to_grad, mtl_backward
from torchjd.linalg import PSDMatrix

from shared.benchmark.handwritten import Batches, HandWrittenStep
from shared.benchmark.system import System


class PromotionWeighting(Weighting[PSDMatrix]):
    """GradProm's gate over the rows G_IP and G_VR: weights 1 and, while they agree, lambda.

    Args:
        weight: lambda.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, gramian: PSDMatrix, /) -> Tensor:
        """Return the weights of both rows, [2], for their Gramian [2, 2]."""
        return torch.stack([torch.ones_like(gramian[0, 1]), self.weight * (gramian[0, 1] >= 0)])


class TorchJDStep(HandWrittenStep):
    """GradProm by ``torchjd.autojac.mtl_backward``, which takes IP(X) for the features that both losses share.

    Args:
        system: networks and optimizers.
        batches: endless.
        chunk_size: rows that TorchJD differentiates at once; None: both, by ``torch.vmap``, which is its default.
    """

    def __init__(self, system: System, batches: Batches, chunk_size: int | None) -> None:
        super().__init__(system, batches)
        self.chunk_size = chunk_size
        self.aggregator = GramianWeightedAggregator(PromotionWeighting(system.weight))

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        prediction, enhancement_loss = self.enhance(batch)
        recognition_loss = self.recognise(prediction, batch)
        mtl_backward(
            [enhancement_loss, recognition_loss],
            features=prediction,
            tasks_params=[[], self.system.phi],
            shared_params=self.system.theta,
            parallel_chunk_size=self.chunk_size,
        )
        jac_to_grad(self.system.theta, self.aggregator)
        return enhancement_loss, recognition_loss
