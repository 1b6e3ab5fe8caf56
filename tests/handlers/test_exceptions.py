"""An exception that ends a run in the middle of an epoch: nothing collected is lost, and the best reason is given."""

import math

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from shared.handlers import FiniteLoss, NonFiniteError, TensorBoardCurves
from shared.handlers.exceptions import at_exception
from tests.handlers.reference import batches


class Loss(nn.Module):
    """Mean squared error, which raises at one of its calls."""

    def __init__(self, error, at):
        super().__init__()
        self.error, self.at, self.count = error, at, 0

    def forward(self, prediction, label):
        self.count += 1
        if self.count == self.at:
            raise self.error
        return nn.functional.mse_loss(prediction, label)


def train(handlers, loss, bad=None):
    data = batches(8, dtype=torch.float32)
    if bad is not None:
        data[bad - 1]["image"][0, 0, 0, 0] = math.nan
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid())
    SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=network, loss_function=loss, decollate=False,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1), train_handlers=handlers,
    ).run()


def cross_entropy(prediction, label):
    return nn.functional.binary_cross_entropy(prediction, label.clamp(0, 1))


def test_a_loss_that_refuses_nan_does_not_hide_where_it_came_from():
    """It refuses the prediction of a network that a loss, not read yet, has spoilt."""

    class Refusing(Loss):
        def forward(self, prediction, label):
            self.count += 1
            return nn.functional.mse_loss(prediction, label) if self.count <= 3 else cross_entropy(prediction, label)

    with pytest.raises(NonFiniteError, match="found nan in epoch 1, iteration 3, images image_2_0, image_2_1") as found:
        train([FiniteLoss()], Refusing(None, 0), bad=3)
    assert "between 0 and 1" in str(found.value.__context__)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_curves_hold_the_steps_before_it(tmp_path, error):
    with pytest.raises(type(error)) as found:
        train([TensorBoardCurves(str(tmp_path)), FiniteLoss()], Loss(error, at=5))
    assert found.value is error
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [p.step for p in events.Scalars("enhancement/loss")] == [1, 2, 3, 4]


def test_a_person_who_stops_a_run_is_told_nothing_else():
    with pytest.raises(KeyboardInterrupt):
        train([FiniteLoss()], Loss(KeyboardInterrupt(), at=5), bad=3)


def test_all_are_called_and_the_last_reason_goes_on():
    engine, called = Engine(lambda e, batch: 1 / 0), []

    def replace(error):
        called.append(("second", type(error)))
        if isinstance(error, ZeroDivisionError):
            raise ValueError("better")

    at_exception(engine, lambda error: called.append(("first", type(error))))
    at_exception(engine, replace)
    at_exception(engine, lambda error: called.append(("third", type(error))))
    with pytest.raises(ValueError, match="better"):
        engine.run([0])
    assert called[:3] == [("first", ZeroDivisionError), ("second", ZeroDivisionError), ("third", ValueError)]
