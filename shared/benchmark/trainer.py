"""The stock trainer, one iteration at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from shared.benchmark.settings import Settings
from shared.benchmark.system import System
from shared.handlers import GradPromHandler
from shared.recognition import RecognitionTask

ENDLESS = 1_000_000


def build_trainer(system: System, settings: Settings, rule: str, data: Iterable[Any]) -> SupervisedTrainer:
    """Return MONAI's trainer as the bundles use it, with whole batches, the GradProm handler and nothing else."""
    task = RecognitionTask(
        system.recognition, system.recognition_loss, system.recognition_optimizer, "class", system.weight
    )
    return SupervisedTrainer(
        device=settings.device,
        max_epochs=1,
        epoch_length=ENDLESS,
        train_data_loader=data,
        network=system.enhancement,
        optimizer=system.optimizer,
        loss_function=system.enhancement_loss,
        train_handlers=[GradPromHandler(task, rule)],
        decollate=False,
    )


class TrainerStep:
    """One iteration of a trainer per call, with all that the engine does around it.

    The engine is interrupted after every iteration and goes on where it was at the next call.
    """

    def __init__(self, trainer: SupervisedTrainer) -> None:
        self.trainer = trainer
        trainer.add_event_handler(Events.ITERATION_COMPLETED, _interrupt)

    def __call__(self) -> None:
        """Train on the next batch."""
        self.trainer.run()

    def close(self) -> None:
        """Let the engine finish; one that is thrown away half-way logs an error."""
        self.trainer.terminate()
        self.trainer.run()


def _interrupt(engine: Engine) -> None:
    engine.interrupt()
