"""One auxiliary recognition task: its network, loss, optimizer and kind of supervision."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

GROUND_TRUTH = {2: "class", 4: "mask"}
"""Batch key of the ground truth by the number of dimensions of a recognition network's output."""


class RecognitionTask:
    """A recognition network VR (diagnosis or segmentation) that helps to train an enhancement network.

    Supervised, ``label_key`` names the ground truth in the batch and L_VR = loss(VR(IP(X)), S) (equation 4).
    Unsupervised, ``label_key=None`` and L_VR = loss(softmax VR(IP(X)), softmax VR0(Y)) (equation 3), where VR0 is a
    frozen copy of VR, taken when the cascade begins. The paper uses the live VR as its own target; then the loss can
    be brought to zero by forgetting everything, which is what happens in practice.

    Args:
        network: maps images [B, C, H, W] to logits, [B, K] for a diagnosis or [B, K, H, W] for a segmentation.
        loss_function: called ``loss(logits, ground truth)``, or with two tensors of class probabilities when
            unsupervised (usually ``torch.nn.MSELoss``).
        optimizer: steps the network's parameters along dL_VR/dphi, free of lambda. None leaves the network as it
            is and in evaluation mode (the strategy ``frozen``).
        label_key: batch key of the ground truth ("class" int64 [B], "mask" [B, 1, H, W]), or None.
        weight: lambda of equation 1.
        name: how states, logs and files call the task.
        divisible_by: images are padded (replicating the border) to multiples of this size and logits cropped back;
            32 for MONAI's FlexibleUNet.
        channels: of the images that the network looks at. None takes them as they are; 1 takes the mean over the
            channels, the grey image that an enhancement network of three channels gives out, so that each channel
            gets a third of the gradient.

    Raises:
        ValueError: when ``weight`` is negative or not finite, ``divisible_by`` is smaller than 1, or ``channels`` is
            neither None nor 1.
    """

    def __init__(
        self,
        network: nn.Module,
        loss_function: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer | None = None,
        label_key: str | None = None,
        weight: float = 1e-4,
        name: str = "recognition",
        divisible_by: int = 1,
        channels: int | None = None,
    ) -> None:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight: expected a finite value >= 0, found {weight}")
        if divisible_by < 1:
            raise ValueError(f"divisible_by: expected at least 1, found {divisible_by}")
        if channels not in (None, 1):
            raise ValueError(f"channels: expected None or 1, found {channels}")
        self.network = network
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.label_key = label_key
        self.weight = weight
        self.name = name
        self.divisible_by = divisible_by
        self.channels = channels
        self.target_network: nn.Module | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters phi that the optimizer steps; none for a frozen task."""
        if self.optimizer is None:
            return []
        return [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]

    def predict(self, images: Tensor) -> Tensor:
        """Return the logits for images [B, C, H, W]; leaves training mode and gradient mode as they are."""
        return self._forward(self.network, images)

    def loss(self, images: Tensor, clean: Tensor | None, batch: Mapping[str, Any]) -> Tensor:
        """Return the scalar L_VR.

        Args:
            images: what VR looks at, IP(X), [B, C, H, W].
            clean: Y, the target image of the unsupervised form, [B, C, H, W]; the supervised form needs none.
            batch: holds the ground truth of the supervised form.

        Raises:
            KeyError: when the batch lacks ``label_key``, or the unsupervised form a clean image.
        """
        if self.label_key is None:
            if clean is None:
                raise KeyError(
                    f"recognition task {self.name!r}: without a label_key it needs the clean image 'label', found none"
                )
            # The target comes first: a forward pass in training mode would already touch the batch statistics of VR0.
            with torch.no_grad():
                target = self._forward(self.freeze_target(), clean).softmax(1)
            return self.loss_function(self.predict(images).softmax(1), target)
        if self.label_key not in batch:
            raise KeyError(
                f"recognition task {self.name!r}: the batch has no key {self.label_key!r}, only {sorted(batch)}"
            )
        logits = self.predict(images)
        return self.loss_function(logits, batch[self.label_key].to(logits.device, non_blocking=True))

    def set_mode(self) -> None:
        """Put the network into training mode, or evaluation mode when it is frozen."""
        self.network.train(self.optimizer is not None)

    def freeze_target(self) -> nn.Module:
        """Return VR0, copying the network on the first call."""
        if self.target_network is None:
            self.target_network = copy.deepcopy(self.network).eval().requires_grad_(False)
        return self.target_network

    def state_dict(self) -> dict[str, Any]:
        """Return the state of network, optimizer and VR0 (None where there is none)."""
        return {
            "network": self.network.state_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "target_network": None if self.target_network is None else self.target_network.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.network.load_state_dict(state["network"])
        if self.optimizer is not None and state["optimizer"] is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self.target_network = None
        if state["target_network"] is not None:
            self.freeze_target().load_state_dict(state["target_network"])

    def as_input(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] as the network takes them: of its channels, padded at the bottom and right."""
        if self.channels == 1 and images.shape[1] > 1:
            images = images.mean(dim=1, keepdim=True)
        height, width = images.shape[-2:]
        bottom, right = -height % self.divisible_by, -width % self.divisible_by
        if bottom or right:
            images = nn.functional.pad(images, (0, right, 0, bottom), mode="replicate")
        return images

    def _forward(self, network: nn.Module, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        logits = network(self.as_input(images))
        return logits[..., :height, :width] if logits.ndim == 4 else logits
