"""Progress of a stage for the person who waits for it."""

from __future__ import annotations

import logging
import sys
import time

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from tqdm import tqdm

from shared.handlers.published import last_loss, publishers, read

logger = logging.getLogger(__name__)
PLAIN_INTERVAL = 30.0
"""Seconds between plain lines where there is no terminal."""


class Progress:
    """A progress bar with losses and the time left in the epoch; plain lines when there is no terminal.

    Shows what handlers publish for it (:mod:`shared.handlers.published`). Losses are read only when they are shown.

    Args:
        title: what the bar begins with, for example "cascade".
        log_every: steps between two updates of the losses that the bar shows.

    Raises:
        ValueError: when ``log_every`` is smaller than 1.
    """

    def __init__(self, title: str, log_every: int = 10) -> None:
        if log_every < 1:
            raise ValueError(f"log_every: expected at least 1, found {log_every}")
        self.title = title
        self.log_every = log_every
        self._shown: dict[str, float] = {}
        self._last = 0.0
        self._began = 0.0
        self._first: int | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; only rank 0 shows anything."""
        if getattr(engine.state, "rank", 0) > 0:
            return
        engine.add_event_handler(Events.STARTED, self._reset)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        if sys.stderr.isatty():
            bar = ProgressBar(desc=self.title)
            # The bare tqdm: its notebook guess warns where ipywidgets are missing.
            bar.pbar_cls = tqdm
            bar.attach(engine, output_transform=lambda _: self._now_and_then(engine))
        else:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def losses(self, engine: Engine) -> dict[str, float]:
        """Return the losses of the last iteration by name."""
        values = {"loss": last_loss(engine)}
        for publisher in publishers(engine):
            values |= publisher.progress(engine)
        return dict(zip(values, read(list(values.values())), strict=True))

    def __call__(self, engine: Engine) -> None:
        """Log a line when the last one is long enough ago."""
        now = time.monotonic()
        if now - self._last < PLAIN_INTERVAL:
            return
        self._last = now
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        left = (now - self._began) / max(1, self._steps(engine)) * (total - engine.state.iteration)
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses(engine).items())
        logger.info("%s step %d/%d  %s  about %d s left", self.title, engine.state.iteration, total, losses, left)

    def _now_and_then(self, engine: Engine) -> dict[str, float]:
        """Return the losses as they were when they were last read."""
        if not self._shown or (self._steps(engine) - 1) % self.log_every == 0:
            self._shown = self.losses(engine)
        return self._shown

    def _steps(self, engine: Engine) -> int:
        """Return the number of steps that this run has taken."""
        return engine.state.iteration - (self._first or 0)

    def _reset(self) -> None:
        self._first = None
        self._shown = {}

    def _begin(self, engine: Engine) -> None:
        # Not when the run starts: only then does a checkpoint say how many steps were taken before.
        if self._first is None:
            self._began = self._last = time.monotonic()
            self._first = engine.state.iteration
