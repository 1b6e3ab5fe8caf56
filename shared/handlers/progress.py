"""Progress of a stage for the person who waits for it."""

from __future__ import annotations

import logging
import sys
import time

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from tqdm import tqdm

from shared.handlers.output import last_loss

logger = logging.getLogger(__name__)
PLAIN_INTERVAL = 30.0
"""Seconds between plain lines where there is no terminal."""


class Progress:
    """A progress bar with losses and the time left in the epoch; plain lines when there is no terminal.

    Args:
        title: what the bar begins with, for example "cascade".
        gradprom: attribute of ``engine.state`` on which the gate publishes.
    """

    def __init__(self, title: str, gradprom: str = "gradprom") -> None:
        self.title = title
        self.gradprom = gradprom
        self._last = 0.0
        self._began = 0.0
        self._first = 0

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; only rank 0 shows anything."""
        if getattr(engine.state, "rank", 0) > 0:
            return
        if sys.stderr.isatty():
            bar = ProgressBar(desc=self.title)
            # The bare tqdm: its notebook guess warns where ipywidgets are missing.
            bar.pbar_cls = tqdm
            bar.attach(engine, output_transform=lambda _: self.losses(engine))
        else:
            engine.add_event_handler(Events.STARTED, self._begin)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def losses(self, engine: Engine) -> dict[str, float]:
        """Return the losses of the last iteration by name."""
        tasks = getattr(engine.state, self.gradprom, {})
        return {"loss": last_loss(engine), **{f"L_VR {name}": step["loss"] for name, step in tasks.items()}}

    def __call__(self, engine: Engine) -> None:
        """Log a line when the last one is long enough ago."""
        now = time.monotonic()
        if now - self._last < PLAIN_INTERVAL:
            return
        self._last = now
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        left = (now - self._began) / max(1, engine.state.iteration - self._first) * (total - engine.state.iteration)
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses(engine).items())
        logger.info("%s step %d/%d  %s  about %d s left", self.title, engine.state.iteration, total, losses, left)

    def _begin(self, engine: Engine) -> None:
        self._began = self._last = time.monotonic()
        self._first = engine.state.iteration
