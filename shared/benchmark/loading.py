"""How long a training step waits for its batch, with the data pipeline of a bundle."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from ignite.engine import Engine, Events
from monai.data import DataLoader

from shared import bundle_root
from shared.benchmark.settings import Settings
from shared.benchmark.system import System
from shared.benchmark.timing import synchronize
from shared.benchmark.trainer import build_trainer
from shared.bundle.reading import read_configs

BUNDLE = "gradprom_isic"


@dataclass
class Waiting:
    """Seconds of every step that counts.

    Attributes:
        num_workers: of the data loader.
        waiting: from asking for a batch until it is there.
        training: the iteration itself.
    """

    num_workers: int
    waiting: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)


def training_loader(settings: Settings) -> DataLoader:
    """Return the training data loader of the ISIC bundle: its reader, augmentation, degradation and workers.

    Data are what the bundle finds: real ones where MONAI_DATA_DIRECTORY points at them, else its phantom.
    """
    values = {"image_size": settings.image_size, "batch_size": settings.batch_size}
    parser = read_configs(Path(bundle_root(BUNDLE)), "train", **values)
    loader: DataLoader = parser.get_parsed_content("train#dataloader")
    return loader


def measure_waiting(settings: Settings) -> Waiting:
    """Train some steps with GradProm on the stock trainer and take the time of both parts of a step."""
    loader = training_loader(settings)
    trainer = build_trainer(System(settings), settings, "gradprom", loader)
    clock = _Clock(settings, Waiting(loader.num_workers))
    clock.attach(trainer)
    trainer.run()
    return clock.result


class _Clock:
    """Handler that fills a :class:`Waiting` and ends the run."""

    def __init__(self, settings: Settings, result: Waiting) -> None:
        self.settings = settings
        self.result = result
        self._asked = self._got = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._complete)

    def _ask(self, engine: Engine) -> None:
        self._asked = self._now()

    def _get(self, engine: Engine) -> None:
        self._got = self._now()

    def _complete(self, engine: Engine) -> None:
        if engine.state.iteration > self.settings.warmup_rounds:
            self.result.waiting.append(self._got - self._asked)
            self.result.training.append(self._now() - self._got)
        if len(self.result.training) >= self.settings.loading_steps:
            engine.terminate()

    def _now(self) -> float:
        synchronize(self.settings.device)
        return time.perf_counter()
