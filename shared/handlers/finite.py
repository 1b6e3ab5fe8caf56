"""Stop a training run at the first non-finite loss, and say which images were in the batch."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


class NonFiniteError(FloatingPointError):
    """A loss or gradient is NaN or infinite."""


def batch_ids(engine: Engine) -> str:
    """Return the ids of the current batch as words for a message."""
    batch: Any = engine.state.batch
    if isinstance(batch, dict):
        ids = batch.get("id", [])
    else:
        ids = [item["id"] for item in batch or [] if isinstance(item, dict) and "id" in item]
    where = f"epoch {engine.state.epoch}, iteration {engine.state.iteration}"
    return f"in {where}, images {', '.join(map(str, ids))}" if len(ids) else f"in {where}"


def check_loss(engine: Engine) -> None:
    """Raise when the loss of this iteration is not finite.

    Raises:
        NonFiniteError: naming the value found, epoch, iteration and the ids of the batch.
    """
    output: Any = engine.state.output
    loss = output[CommonKeys.LOSS]
    if not torch.isfinite(loss).all():
        raise NonFiniteError(
            f"loss: expected a finite value, found {loss.item()} {batch_ids(engine)}; look at these images, "
            "or lower learning_rate"
        )


class FiniteLoss:
    """Handler that raises :class:`NonFiniteError` as soon as a trainer's loss is not finite.

    With a loss scaler in use (mixed precision) an overflow is expected now and then, and the scaler deals with it.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the loss of this iteration."""
        if getattr(engine, "scaler", None) is None:
            check_loss(engine)
