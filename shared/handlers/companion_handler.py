"""The wiring between a trainer and the networks that are trained beside its own: window, step, publishing, state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from shared.handlers.companion import Companion, trained_parameters
from shared.handlers.finite import FiniteLoss, note_gradient
from shared.handlers.published import Publisher, Value, is_time_to_read, plain, step_of_epoch
from shared.handlers.statistics import StepStatistics


class CompanionHandler(ABC):
    """Base of handlers that train networks beside that of a stock :class:`monai.engines.SupervisedTrainer`.

    On LOSS_COMPLETED a subclass runs its networks on the prediction (:meth:`collect`). When the trainer's optimizer is
    about to step, gradients are averaged over ranks, the subclass may change the main network's (:meth:`combine`), and
    each companion steps where its own gradients are finite and the trainer's optimizer steps too. Nothing here waits
    for the device. Several handlers on one trainer do not disturb each other; each needs a name of its own.

    Args:
        companions: the networks by name.
        statistics: counts what :meth:`combine` returns, per companion.
        publisher: shows it.
        prediction_key: where the main network returns a dictionary, the key of the image in it.
    """

    def __init__(
        self,
        companions: Mapping[str, Companion],
        statistics: StepStatistics,
        publisher: Publisher,
        prediction_key: str | None = None,
    ) -> None:
        self.companions = dict(companions)
        self.statistics = statistics
        self.publisher = publisher
        self.prediction_key = prediction_key
        self._collected = False
        self._engine: SupervisedTrainer | None = None
        self._step_hook: RemovableHandle | None = None

    @property
    def name(self) -> str:
        """Attribute of ``engine.state`` to publish on."""
        return self.publisher.name

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; call before it runs."""
        engine.add_event_handler(Events.STARTED, self.start)
        FiniteLoss().attach(engine)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._read_now_and_then)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish_epoch)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """On LOSS_COMPLETED: compute gradients, and keep them until the optimizer steps."""
        if _starts_window(engine):
            self.forget()
        if self.is_active(engine):
            self.collect(engine, plain(self.prediction(engine)))
            self._collected = True

    def is_active(self, engine: SupervisedTrainer) -> bool:
        """Whether the companions take part in this iteration."""
        return True

    @abstractmethod
    def collect(self, engine: SupervisedTrainer, prediction: Tensor) -> None:
        """Run the companions on the prediction, which still has its graph, and collect gradients."""

    @abstractmethod
    def combine(
        self, engine: SupervisedTrainer, optimizer: Optimizer, finite: dict[str, Tensor]
    ) -> Mapping[str, Mapping[str, Value]]:
        """Return what is published of this step, per companion; may change the ``.grad`` that the optimizer will use.

        Args:
            engine: the trainer.
            optimizer: the trainer's.
            finite: per companion, whether its gradient is; set it to false where it must not step.
        """

    def prediction(self, engine: SupervisedTrainer) -> Tensor:
        """Return the image that the main network made in this iteration, as its loss got it (perhaps a MetaTensor).

        Raises:
            KeyError: when there is no image under ``prediction_key``.
            TypeError: when there is no tensor.
        """
        prediction = engine.state.output[CommonKeys.PRED]
        if self.prediction_key is not None:
            if not isinstance(prediction, Mapping) or self.prediction_key not in prediction:
                found = sorted(prediction) if isinstance(prediction, Mapping) else type(prediction).__name__
                raise KeyError(
                    f"prediction_key: expected a key of the dictionary that the network returns, found "
                    f"{self.prediction_key!r} and {found}"
                )
            prediction = prediction[self.prediction_key]
        if not isinstance(prediction, Tensor):
            raise TypeError(
                f"prediction and label: expected tensors, found {type(prediction).__name__}; prediction_key names "
                "the image in a dictionary"
            )
        return prediction

    def start(self, engine: SupervisedTrainer) -> None:
        """On STARTED: get everything ready."""
        self._engine = engine
        self.publisher.start(engine)
        for companion in self.companions.values():
            companion.start(engine)
        if self._step_hook is not None:
            self._step_hook.remove()
        self._step_hook = engine.optimizer.register_step_pre_hook(self._before_step)
        self.forget()

    def forget(self) -> None:
        """Drop what was collected: a new accumulation window starts."""
        self._collected = False
        for companion in self.companions.values():
            companion.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics and the scales of companions that have their own."""
        scalers = {name: c.state_dict() for name, c in self.companions.items() if c.own_scaler}
        return {"statistics": self.statistics.state_dict(), **({"scalers": scalers} if scalers else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state knows other companions.
        """
        for name, companion in self.companions.items():
            if companion.own_scaler:
                companion.load_state_dict(state["scalers"][name])
        self.statistics.load_state_dict(state["statistics"])

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Hook on the trainer's optimizer."""
        engine = self._engine
        if engine is None or not self._collected:
            return
        finite = {name: companion.finish() for name, companion in self.companions.items()}
        values = self.combine(engine, optimizer, finite)
        main = [p.grad for p in trained_parameters(optimizer) if p.grad is not None]
        note_gradient(engine, lambda: nn.utils.get_total_norm(main))
        # A fused optimizer skips an overflowing step by itself.
        overflow = getattr(optimizer, "found_inf", None)
        steps = None if overflow is None else overflow.reshape(()) == 0
        for name, companion in self.companions.items():
            companion.step(finite[name] if steps is None else finite[name] & steps)
            self.statistics.add(name, values[name], ~finite[name], True if steps is None else steps)
        self.publisher.publish_step(engine, values)
        self.forget()

    def _read_now_and_then(self, engine: Engine) -> None:
        # A long epoch would fill the device's memory with numbers.
        if is_time_to_read(engine):
            self.statistics.read()

    def _publish_epoch(self, engine: Engine) -> None:
        self.publisher.publish_epoch(engine, self.statistics.close_epoch())


def _starts_window(engine: SupervisedTrainer) -> bool:
    """Whether the trainer has just cleared its gradients (it counts accumulation steps within an epoch)."""
    return (step_of_epoch(engine) - 1) % engine.accumulation_steps == 0
