"""TensorBoard curves of a training run with recognition tasks."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine
from monai.handlers import TensorBoardStatsHandler

from shared.handlers.output import last_loss


class TensorBoardCurves(TensorBoardStatsHandler):
    """Write L_IP, and per task L_VR, cosine and norm ratio, every step; acceptance and validation every epoch.

    List it after the handlers that publish these.

    Args:
        log_dir: folder of the TensorBoard events.
        evaluator: validation engine, whose metrics are written as ``validation/<name>``.
        gradprom: attribute of ``engine.state`` on which the gate publishes.
        title: prefix of the loss curve, tells the stages of a run apart.
    """

    def __init__(
        self, log_dir: str, evaluator: Engine | None = None, gradprom: str = "gradprom", title: str = "enhancement"
    ) -> None:
        super().__init__(log_dir=log_dir)
        self.evaluator = evaluator
        self.gradprom = gradprom
        self.title = title

    def _default_iteration_writer(self, engine: Engine, writer: Any) -> None:
        step = engine.state.iteration
        writer.add_scalar(f"{self.title}/loss", last_loss(engine), step)
        for task, values in getattr(engine.state, self.gradprom, {}).items():
            for name in ("loss", "cosine", "norm_ratio"):
                if math.isfinite(values[name]):
                    writer.add_scalar(f"{task}/{name}", values[name], step)

    def _default_epoch_writer(self, engine: Engine, writer: Any) -> None:
        epoch = engine.state.epoch
        for task, values in getattr(engine.state, f"{self.gradprom}_epoch", {}).items():
            for name in ("acceptance", "skipped"):
                writer.add_scalar(f"{task}/{name}", values[name], epoch)
        state: Any = None if self.evaluator is None else self.evaluator.state
        if state is not None and state.epoch == epoch:
            for name, value in state.metrics.items():
                writer.add_scalar(f"validation/{name}", float(value), epoch)
        writer.flush()
