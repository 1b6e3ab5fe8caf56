"""Stop a training run that is beyond help because of values that are not finite, and say which images were there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.engine.events import RemovableEventHandle
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor

from shared.handlers.exceptions import at_exception
from shared.handlers.published import ends_every, is_time_to_read, plain, read

MAX_SKIPPED = 20
"""Steps in a row that a loss scaler may skip. It halves the scale at each and begins at 2^16, so that after 16 nothing
is scaled any more; 20 in a row are a factor of a million, more than a gradient can have grown from one step to the
next."""

MIN_SCALE = 2.0**-16
"""Loss scale below which gradients would have to be larger than 2^32 to overflow in half precision; ordinary ones
vanish. It is also reached by steps that are skipped now and then, because of one bad image."""

Place = tuple[int, int, Any]
"""Epoch, iteration and the ids of a batch."""


class NonFiniteError(FloatingPointError):
    """A loss, gradient or weight is NaN or infinite."""


def batch_ids(engine: Engine) -> str:
    """Return the ids of the current batch as words for a message."""
    return _words(_place(engine))


def loss_scaler(engine: Engine) -> Any:
    """Return the scaler that multiplies the loss of a trainer with mixed precision, None where there is none.

    The stock trainer has one on a CPU too, switched off.
    """
    scaler: Any = getattr(engine, "scaler", None)
    return scaler if getattr(scaler, "is_enabled", lambda: scaler is not None)() else None


def loss_scale(scaler: Any, device: torch.device) -> Tensor:
    """Return the factor of a loss scaler as a tensor without dimensions; ``get_scale`` would wait for the device."""
    return scaler.scale(torch.ones((), device=device))


class FiniteLoss:
    """Handler that raises :class:`NonFiniteError` when a trainer's loss is not finite.

    Losses are collected on the device and read together: every :data:`~shared.handlers.published.READ_EVERY` steps,
    and after the last step of an epoch, before anything happens at its end. So the error comes late, and tells epoch,
    iteration and images of the first loss that was not finite. No weights are written in between, but by a handler
    that does so within an epoch. Another error that ends the run before, as of a loss function that refuses NaN, gives
    way to this one.

    With a loss scaler in use (mixed precision) an overflow is expected now and then: the scaler skips the step and
    lowers its scale. That ends after ``MAX_SKIPPED`` steps in a row, or below the scale ``MIN_SCALE``: it is not the
    scale then.

    A trainer has one, the first that is attached; handlers that train a network beside the trainer's bring it along,
    and note the gradient of the trainer's loss as well (:func:`note_gradient`).
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._found: list[tuple[str, Place, Tensor]] = []
        self._gradient_of: tuple[int, int] | None = None
        self._scale: Tensor | None = None
        self._scales: list[tuple[Place, Tensor, Tensor]] = []
        self._last: RemovableEventHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; a second one does nothing."""
        if vars(engine.state).setdefault("finite_loss", self) is not self:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_scale)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._compare_scale)
        # The last step of an epoch is known as such only where the epoch's length is.
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check)
        engine.add_event_handler(Events.COMPLETED, self.check)
        at_exception(engine, self._explain)

    def __call__(self, engine: Engine) -> None:
        """Collect the loss of this iteration."""
        output: Any = engine.state.output
        if loss_scaler(engine) is None:
            loss = plain(output[CommonKeys.LOSS]).detach()
            text = "loss: expected a finite value, found {value} {where}; look at these images, or lower learning_rate"
            self._found.append((text, _place(engine), loss))

    def note_gradient(self, engine: Engine, norm: Callable[[], Tensor]) -> None:
        """Collect the norm of the main gradient, once per iteration; not asked for where there is a loss scaler."""
        now = engine.state.epoch, engine.state.iteration
        if loss_scaler(engine) is None and self._gradient_of != now:
            self._gradient_of = now
            text = "gradient of the enhancement loss: found {value}, {where}"
            self._found.append((text, _place(engine), norm().detach()))

    def check(self, engine: Engine | None = None) -> None:
        """Read what was collected.

        Raises:
            NonFiniteError: naming the first value that is not finite, epoch, iteration and the ids of the batch.
        """
        found, self._found = self._found, []
        for (text, place, _), value in zip(found, read([value for *_, value in found]), strict=True):
            if not math.isfinite(value):
                raise NonFiniteError(text.format(value=value, where=_words(place)))
        scales, self._scales = self._scales, []
        before, after = read([s for _, s, _ in scales]), read([s for *_, s in scales])
        for (place, _, _), earlier, later in zip(scales, before, after, strict=True):
            self._count_skipped(place, earlier, later)

    def _start(self, engine: Engine) -> None:
        self._found, self._scales, self._scale, self._gradient_of = [], [], None, None
        # Registered now, it comes after the handlers that show the losses of this step.
        if self._last is not None:
            self._last.remove()
        self._last = engine.add_event_handler(Events.ITERATION_COMPLETED, self._check_now_and_then)

    def _check_now_and_then(self, engine: Engine) -> None:
        if is_time_to_read(engine):
            self.check()

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.check()

    def _note_scale(self, engine: Engine) -> None:
        scaler = loss_scaler(engine)
        if scaler is not None and self._scale is None:
            self._scale = loss_scale(scaler, _device(engine))

    def _compare_scale(self, engine: Engine) -> None:
        if self._scale is None or not _has_stepped(engine):
            return
        scale = loss_scale(loss_scaler(engine), _device(engine))
        self._scales.append((_place(engine), self._scale, scale))
        self._scale = scale

    def _count_skipped(self, place: Place, before: float, after: float) -> None:
        """Count the steps in a row before which the scaler found a gradient that is not finite."""
        if after > 0 and after >= before:
            self.skipped = 0
            return
        self.skipped += 1
        if self.skipped >= MAX_SKIPPED or after < MIN_SCALE:
            many = f"{self.skipped} steps in a row" if self.skipped >= MAX_SKIPPED else "step after step"
            raise NonFiniteError(
                f"gradients: expected finite ones, found {many} without, and a loss scale of {after:g}, "
                f"{_words(place)}; look at these images, lower learning_rate, or give --amp False"
            )


def note_gradient(engine: Engine, norm: Callable[[], Tensor]) -> None:
    """Let the trainer's :class:`FiniteLoss` check the norm of the gradient that its optimizer is about to use."""
    watch: FiniteLoss = engine.state.finite_loss  # type: ignore[attr-defined]
    watch.note_gradient(engine, norm)


def _device(engine: Engine) -> torch.device:
    state: Any = engine.state
    return state.device


def _place(engine: Engine) -> Place:
    batch: Any = engine.state.batch
    if isinstance(batch, dict):
        ids = batch.get("id", [])
    else:
        ids = [item["id"] for item in batch or [] if isinstance(item, dict) and "id" in item]
    return engine.state.epoch, engine.state.iteration, ids


def _words(place: Place) -> str:
    epoch, iteration, ids = place
    where = f"in epoch {epoch}, iteration {iteration}"
    return f"{where}, images {', '.join(map(str, ids))}" if len(ids) else where


def _has_stepped(engine: Engine) -> bool:
    """Whether this iteration ended an accumulation window, as the stock trainer counts them."""
    return ends_every(engine, getattr(engine, "accumulation_steps", 1))
