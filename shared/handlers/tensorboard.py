"""TensorBoard curves of a training run: its loss, validation metrics, and whatever handlers publish."""

from __future__ import annotations

import math
import time
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import TensorBoardStatsHandler

from shared.handlers.exceptions import at_exception
from shared.handlers.published import Value, is_time_to_read, last_loss, publishers, read


class TensorBoardCurves(TensorBoardStatsHandler):
    """Write the loss and what handlers publish of every step, and what they publish of an epoch, with validation.

    List it after the handlers that publish these (:mod:`shared.handlers.published`). Every step becomes a point of its
    own; they are read and written together, every :data:`~shared.handlers.published.READ_EVERY` steps, at the end of
    an epoch, and when an exception ends the run.

    Args:
        log_dir: folder of the TensorBoard events.
        evaluator: validation engine, whose metrics are written as ``validation/<name>``.
        title: prefix of the loss curve, tells the stages of a run apart.
    """

    def __init__(self, log_dir: str, evaluator: Engine | None = None, title: str = "enhancement") -> None:
        super().__init__(log_dir=log_dir)
        self.evaluator = evaluator
        self.title = title
        self._points: list[tuple[str, Value, int, float]] = []

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        super().attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._write)
        at_exception(engine, self._close)

    def _default_iteration_writer(self, engine: Engine, writer: Any) -> None:
        curves = {f"{self.title}/loss": last_loss(engine)}
        for publisher in publishers(engine):
            curves |= publisher.step_curves(engine)
        now = time.time()
        self._points += [(name, value, engine.state.iteration, now) for name, value in curves.items()]
        if is_time_to_read(engine):
            self._write()

    def _default_epoch_writer(self, engine: Engine, writer: Any) -> None:
        self._write()
        epoch = engine.state.epoch
        for publisher in publishers(engine):
            for name, value in publisher.epoch_curves(engine).items():
                writer.add_scalar(name, float(value), epoch)
        state: Any = None if self.evaluator is None else self.evaluator.state
        if state is not None and state.epoch == epoch:
            for name, value in state.metrics.items():
                writer.add_scalar(f"validation/{name}", float(value), epoch)
        writer.flush()

    def _close(self, error: BaseException) -> None:
        self._write()
        self._writer.flush()

    def _write(self, engine: Engine | None = None) -> None:
        points, self._points = self._points, []
        values = read([value for _, value, _, _ in points])
        for (name, _, step, when), value in zip(points, values, strict=True):
            # The loss is written as it is; a published value that is not finite was not measured.
            if math.isfinite(value) or name == f"{self.title}/loss":
                self._writer.add_scalar(name, value, step, when)
