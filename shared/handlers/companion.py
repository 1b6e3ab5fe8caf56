"""A network that is trained beside a trainer's own: gradients, loss scale, averaging over ranks, step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.optim import Optimizer

from shared.distributed import agree, average, broadcast
from shared.handlers.conditional_step import ConditionalStep
from shared.handlers.finite import loss_scale, loss_scaler


class Companion:
    """A network that is trained beside a trainer's own: its gradients over an accumulation window, and its step.

    Args:
        network: must not be wrapped in DistributedDataParallel; its gradients are averaged over ranks here.
        optimizer: steps the network's parameters phi. None leaves the network as it is.
        own_scaler: in mixed precision its losses are multiplied by a scale of their own, which falls when its own
            gradients overflow, so that it then waits alone. Without, they are multiplied by the trainer's loss scale.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer | None = None, own_scaler: bool = False) -> None:
        self.network = network
        self.optimizer = optimizer
        self.own_scaler = own_scaler
        self.scaler: torch.amp.GradScaler | None = None
        self._scaler_state: dict[str, Any] = {}
        self._step = None if optimizer is None else ConditionalStep(optimizer)
        self._engine: SupervisedTrainer | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters phi that the optimizer steps; none without one."""
        return [] if self.optimizer is None else trained_parameters(self.optimizer)

    def start(self, engine: SupervisedTrainer) -> None:
        """Move the network to the trainer's device; all ranks get the weights of rank 0."""
        self._engine = engine
        self.network.to(engine.state.device)
        broadcast([*self.network.parameters(), *self.network.buffers()])
        if self.own_scaler and loss_scaler(engine) is not None and self.scaler is None:
            self.scaler = torch.amp.GradScaler(engine.state.device.type)
            if self._scaler_state:
                self.scaler.load_state_dict(self._scaler_state)

    def clear(self) -> None:
        """Drop dL/dphi: a new accumulation window starts."""
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=True)

    def learn(self, loss: Tensor, at: Tensor | None = None, retain_graph: bool = False) -> Tensor | None:
        """Add dloss/dphi to ``.grad``, as this iteration's share of the accumulation window.

        Args:
            loss: a scalar that depends on the network.
            at: what its gradient is returned at, in the same backward pass.
            retain_graph: whether the graph is needed again.

        Returns:
            dloss/dat, still multiplied by the loss scale (:meth:`unscaled`); None without ``at``.
        """
        inputs = [*([] if at is None else [at]), *self.parameters]
        if not inputs:
            return None
        gradients = list(torch.autograd.grad(self._scaled(loss), inputs, retain_graph=retain_graph, allow_unused=True))
        at_input = None if at is None else gradients.pop(0)
        if self.scaler is None:
            _accumulate(self.parameters, gradients, self._divided(self.share))
        else:
            # They stay scaled until the step, where the scaler looks for an overflow and divides them in place: each
            # parameter needs a tensor of its own, and autograd may return one for two.
            _accumulate(self.parameters, [None if g is None else g.clone() for g in gradients], self.share)
        return at_input

    def gradient(self, loss: Tensor, at: Tensor, retain_graph: bool = False) -> Tensor:
        """Return dloss/dat, free of the loss scale, in single precision or better; phi learns nothing from it."""
        (found,) = torch.autograd.grad(self._scaled(loss), [at], retain_graph=retain_graph)
        return self.unscaled(found)

    def unscaled(self, gradient: Tensor) -> Tensor:
        """Divide a gradient by the loss scale, in single precision or better: half precision vanishes below 6e-8."""
        scale = self._scale()
        gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
        return gradient if scale is None else gradient / scale

    def through(self, prediction: Tensor, parameters: Sequence[nn.Parameter], at: Tensor) -> list[Tensor]:
        """Return this iteration's share of the gradient at the main network's parameters, for ``at`` of :meth:`learn`.

        The graph of the prediction is kept for the trainer's own backward pass.
        """
        found = torch.autograd.grad(prediction, parameters, at, retain_graph=True, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
        return scaled(gradients, self._divided(self.share))

    def finish(self) -> Tensor:
        """Close the window: average dL/dphi over ranks; all of them get the network's statistics of rank 0.

        Returns:
            Whether dL/dphi is finite, a boolean tensor without dimensions.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        average(gradients)
        broadcast([b for b in self.network.buffers() if b.is_floating_point()])
        if self.scaler is not None and self.optimizer is not None and gradients:
            self.scaler.unscale_(self.optimizer)
            self.scaler.update()
        return is_finite(gradients, self._running.state.device)

    def step(self, allowed: Tensor) -> None:
        """Step the optimizer where a boolean tensor without dimensions is true."""
        if self._step is not None:
            self._step(allowed)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scale of its own; network and optimizer are their owner's to save."""
        return self._scaler_state if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self._scaler_state = dict(state)
        if self.scaler is not None and state:
            self.scaler.load_state_dict(dict(state))

    @property
    def share(self) -> float:
        """Share of one iteration in the accumulation window."""
        return 1.0 / self._running.accumulation_steps

    @property
    def _running(self) -> SupervisedTrainer:
        if self._engine is None:
            raise RuntimeError("start: expected to be called when the trainer starts, found no trainer")
        return self._engine

    def _scale(self) -> Tensor | None:
        scaler = loss_scaler(self._running) if self.scaler is None else self.scaler
        return None if scaler is None else loss_scale(scaler, self._running.state.device)

    def _scaled(self, loss: Tensor) -> Tensor:
        scale = self._scale()
        return loss if scale is None else loss * scale

    def _divided(self, factor: float) -> float | Tensor:
        scale = self._scale()
        return factor if scale is None else factor / scale


def add_to_loss(engine: SupervisedTrainer, prediction: Tensor, gradient: Tensor, weight: float) -> None:
    """Let the trainer's backward pass carry weight * gradient, given at the prediction, into the main network.

    Adds weight * <gradient, prediction> to the loss, and takes its value off again, so that the logged loss stays.
    """
    inner = weight * (gradient * prediction.to(gradient.dtype)).sum()
    loss = engine.state.output[CommonKeys.LOSS]
    engine.state.output[CommonKeys.LOSS] = loss + (inner - inner.detach()).to(loss.dtype)


def finite_or_zero(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return a gradient, zeros where any value on any rank is not finite, and whether all are."""
    finite = agree(gradient.isfinite().all())
    return torch.where(finite, gradient, 0.0), finite


def trained_parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return what an optimizer steps."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def is_finite(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return whether all values are finite (and their norm is), a boolean tensor without dimensions."""
    if not tensors:
        return torch.ones((), dtype=torch.bool, device=device)
    return nn.utils.get_total_norm(tensors).isfinite()


def scaled(gradients: Sequence[Tensor], factor: float | Tensor) -> list[Tensor]:
    """Return the gradients times a factor; never in place, since autograd may return one tensor for two parameters."""
    if not gradients or (isinstance(factor, float) and factor == 1.0):
        return list(gradients)
    return list(torch._foreach_mul(list(gradients), factor))


def _accumulate(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None], factor: float | Tensor
) -> None:
    """Add the gradients times a factor to ``.grad``."""
    pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    added = scaled([g for _, g in pairs], factor)
    for (parameter, _), gradient in zip(pairs, added, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
