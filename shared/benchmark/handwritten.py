"""The same training steps without a trainer, as one would write them by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from shared.benchmark.system import System
from shared.update_rules import GradientPromotion

Batches = Iterator[dict[str, Any]]


class HandWrittenStep:
    """Base: fetches the next batch, leaves the gradients to :meth:`backward`, steps both optimizers.

    Attributes:
        losses: L_IP and L_VR of the last step, which every training loop reads to show them.
    """

    def __init__(self, system: System, batches: Batches) -> None:
        self.system = system
        self.batches = batches
        self.losses = (0.0, 0.0)

    def __call__(self) -> None:
        """Train on the next batch."""
        self.system.zero_grad()
        enhancement_loss, recognition_loss = self.backward(next(self.batches))
        self.system.step()
        self.losses = (enhancement_loss.item(), recognition_loss.item())

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        raise NotImplementedError

    def enhance(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return IP(X) and L_IP."""
        prediction = self.system.enhancement(batch["image"])
        return prediction, self.system.enhancement_loss(prediction, batch["label"])

    def recognise(self, images: Tensor, batch: dict[str, Any]) -> Tensor:
        """Return L_VR on these images."""
        return self.system.recognition_loss(self.system.recognition(images), batch["class"])


class SumOfLosses(HandWrittenStep):
    """L_IP + lambda * L_VR and one backward pass: the joint, or with a frozen VR the frozen, strategy.

    Here phi sees lambda * dL_VR/dphi, which for Adam is nearly the same step and costs the same.
    """

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        prediction, enhancement_loss = self.enhance(batch)
        recognition_loss = self.recognise(prediction, batch)
        (enhancement_loss + self.system.weight * recognition_loss).backward()
        return enhancement_loss, recognition_loss


class BareGradProm(HandWrittenStep):
    """The operations of the GradProm handler without handler, trainer and checks of what is finite."""

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        system = self.system
        prediction, enhancement_loss = self.enhance(batch)
        view = prediction.detach().requires_grad_(True)
        recognition_loss = self.recognise(view, batch)
        at_view, *at_phi = torch.autograd.grad(recognition_loss, [view, *system.phi])
        auxiliary = torch.autograd.grad(prediction, system.theta, at_view, retain_graph=True)
        main = torch.autograd.grad(enhancement_loss, system.theta)
        _promote(system, main, auxiliary, at_phi)
        return enhancement_loss, recognition_loss


class ThreePasses(HandWrittenStep):
    """GradProm the plain way: dL_IP/dtheta, dL_VR/dtheta and dL_VR/dphi, each a forward and a backward pass."""

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        system = self.system
        _, enhancement_loss = self.enhance(batch)
        main = torch.autograd.grad(enhancement_loss, system.theta)
        recognition_loss = self.recognise(self.enhance(batch)[0], batch)
        auxiliary = torch.autograd.grad(recognition_loss, system.theta)
        recognition_loss = self.recognise(self.enhance(batch)[0], batch)
        at_phi = torch.autograd.grad(recognition_loss, system.phi)
        _promote(system, main, auxiliary, at_phi)
        return enhancement_loss, recognition_loss


class ThreePassesOneGraph(HandWrittenStep):
    """GradProm with three backward passes through one retained graph of one forward pass."""

    def backward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Leave the gradients in ``.grad``; return L_IP and L_VR."""
        system = self.system
        prediction, enhancement_loss = self.enhance(batch)
        recognition_loss = self.recognise(prediction, batch)
        main = torch.autograd.grad(enhancement_loss, system.theta, retain_graph=True)
        auxiliary = torch.autograd.grad(recognition_loss, system.theta, retain_graph=True)
        at_phi = torch.autograd.grad(recognition_loss, system.phi)
        _promote(system, main, auxiliary, at_phi)
        return enhancement_loss, recognition_loss


def _promote(system: System, main: Sequence[Tensor], auxiliary: Sequence[Tensor], at_phi: Sequence[Tensor]) -> None:
    update = GradientPromotion()(main, [auxiliary], [system.weight])
    for parameter, gradient in zip(system.theta, update.gradients, strict=True):
        parameter.grad = gradient
    for parameter, gradient in zip(system.phi, at_phi, strict=True):
        parameter.grad = gradient
