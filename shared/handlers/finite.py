"""Stop a training run that is beyond help because of values that are not finite, and say which images were there."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

MAX_SKIPPED = 20
"""Steps in a row that a loss scaler may skip. It halves the scale at each and begins at 2^16, so that after 16 nothing
is scaled any more; 20 in a row are a factor of a million, more than a gradient can have grown from one step to the
next."""

MIN_SCALE = 2.0**-16
"""Loss scale below which gradients would have to be larger than 2^32 to overflow in half precision; ordinary ones
vanish. It is also reached by steps that are skipped now and then, because of one bad image."""


class NonFiniteError(FloatingPointError):
    """A loss, gradient or weight is NaN or infinite."""


def batch_ids(engine: Engine) -> str:
    """Return the ids of the current batch as words for a message."""
    batch: Any = engine.state.batch
    if isinstance(batch, dict):
        ids = batch.get("id", [])
    else:
        ids = [item["id"] for item in batch or [] if isinstance(item, dict) and "id" in item]
    where = f"epoch {engine.state.epoch}, iteration {engine.state.iteration}"
    return f"in {where}, images {', '.join(map(str, ids))}" if len(ids) else f"in {where}"


def loss_scaler(engine: Engine) -> Any:
    """Return the scaler that multiplies the loss of a trainer with mixed precision, None where there is none.

    The stock trainer has one on a CPU too, switched off.
    """
    scaler: Any = getattr(engine, "scaler", None)
    return scaler if getattr(scaler, "is_enabled", lambda: scaler is not None)() else None


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

    With a loss scaler in use (mixed precision) an overflow is expected now and then: the scaler skips the step and
    lowers its scale. That ends after ``MAX_SKIPPED`` steps in a row, or below the scale ``MIN_SCALE``: it is not the
    scale then.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._scale: float | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_scale)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count_skipped)

    def __call__(self, engine: Engine) -> None:
        """Check the loss of this iteration."""
        if loss_scaler(engine) is None:
            check_loss(engine)

    def _note_scale(self, engine: Engine) -> None:
        scaler = loss_scaler(engine)
        self._scale = None if scaler is None else scaler.get_scale()

    def _count_skipped(self, engine: Engine) -> None:
        """Count the steps in a row before which the scaler found a gradient that is not finite."""
        if self._scale is None or not _has_stepped(engine):
            return
        scale = loss_scaler(engine).get_scale()
        if scale > 0 and scale >= self._scale:
            self.skipped = 0
            return
        self.skipped += 1
        if self.skipped >= MAX_SKIPPED or scale < MIN_SCALE:
            many = f"{self.skipped} steps in a row" if self.skipped >= MAX_SKIPPED else "step after step"
            raise NonFiniteError(
                f"gradients: expected finite ones, found {many} without, and a loss scale of {scale:g}, "
                f"{batch_ids(engine)}; look at these images, lower learning_rate, or give --amp False"
            )


def _has_stepped(engine: Engine) -> bool:
    """Whether this iteration ended an accumulation window, as the stock trainer counts them."""
    steps, length = getattr(engine, "accumulation_steps", 1), engine.state.epoch_length
    done = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return done % steps == 0 or done == length
