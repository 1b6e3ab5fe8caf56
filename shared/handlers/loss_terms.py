"""The handler that shows what each term of a loss is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from shared.handlers.published import Publisher, Shown, is_time_to_read
from shared.handlers.statistics import StepStatistics
from shared.losses import WeightedTerms
from shared.networks.weights import load_into


class LossTerms:
    """Publish every term of a trainer's loss, without its weight.

    On ``engine.state.<name>`` there are the values of the last iteration, of this process's batch alone, as tensors
    without dimensions; on ``engine.state.<name>_epoch`` their means over the epoch. Nothing waits for the device. List
    it before handlers that show them. A checkpoint that holds it holds the state of the loss too, for example the
    features of a :class:`~shared.losses.FeatureLoss`.

    Args:
        loss: the trainer's loss function.
        name: attribute of ``engine.state`` to publish on, and group of the curves and of the columns of the log.

    Raises:
        ValueError: (at the start) when the trainer has another loss function.
    """

    def __init__(self, loss: WeightedTerms, name: str = "terms") -> None:
        self.loss = loss
        self.statistics = StepStatistics([name], list(loss.weights))
        words = {term: f"L_{term}" for term in loss.weights}
        self.publisher = Publisher(name, Shown(words, {term: f"{word} {{value:.4g}}" for term, word in words.items()}))

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._read_now_and_then)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish_epoch)

    def __call__(self, engine: Engine) -> None:
        """Publish the terms of this iteration."""
        self.statistics.add(self.publisher.name, self.loss.values, skipped=False)
        self.publisher.publish_step(engine, {self.publisher.name: self.loss.values})

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the state of the loss."""
        return {"statistics": self.statistics.state_dict(), "loss": self.loss.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state is that of a handler of another name.
            InputError: when it is that of a loss with other features.
        """
        self.statistics.load_state_dict(state["statistics"])
        load_into(self.loss, state["loss"], "loss")

    def _start(self, engine: SupervisedTrainer) -> None:
        if engine.loss_function is not self.loss:
            raise ValueError(
                f"loss: expected the trainer's loss function, found {type(self.loss).__name__} beside the trainer's "
                f"{type(engine.loss_function).__name__}"
            )
        self.publisher.start(engine)

    def _read_now_and_then(self, engine: Engine) -> None:
        if is_time_to_read(engine):
            self.statistics.read()

    def _publish_epoch(self, engine: Engine) -> None:
        epoch = self.statistics.close_epoch()
        terms = {name: {term: means[term] for term in self.loss.weights} for name, means in epoch.items()}
        self.publisher.publish_epoch(engine, terms)
