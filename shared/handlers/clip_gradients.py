"""The handler that bounds the step of a training iteration."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from shared.errors import InputError
from shared.handlers.companion import trained_parameters


class ClipGradients:
    """Scale the gradient of a trainer's network down where its norm over all parameters exceeds a bound.

    A single batch with a large gradient can throw a network out of the range in which it learns: Adam's step is large
    while its second moment still remembers small gradients. It acts when the trainer's optimizer is about to step, so
    after accumulation, averaging over ranks and division by the loss scale. List it behind handlers that change the
    gradient. Nothing waits for the device.

    Args:
        max_norm: the bound, above 0.

    Raises:
        InputError: ``max_norm`` is not a number above 0.
    """

    def __init__(self, max_norm: float) -> None:
        if isinstance(max_norm, bool) or not isinstance(max_norm, int | float) or not 0 < max_norm < math.inf:
            raise InputError(f"max_norm: expected a finite number > 0, found {max_norm!r}")
        self.max_norm = max_norm
        self._hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """On STARTED: hook onto the optimizer."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = engine.optimizer.register_step_pre_hook(self._clip)

    def _clip(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        parameters = trained_parameters(optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # A fused optimizer gets gradients that are still multiplied by the loss scale.
        scale = getattr(optimizer, "grad_scale", None)
        bound: Any = self.max_norm if scale is None else self.max_norm * scale.reshape(())
        nn.utils.clip_grads_with_norm_(parameters, bound, norm)
