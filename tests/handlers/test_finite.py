"""Training stops when it is beyond help, and says at which images; with a loss scaler too."""

import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from shared.handlers import FiniteLoss, GradPromHandler, NonFiniteError, ResumableCheckpoint
from shared.handlers.finite import MAX_SKIPPED, loss_scaler
from shared.handlers.published import READ_EVERY
from tests.handlers.reference import System, batches
from tests.handlers.test_gradprom import Scaler


def spoilt(count, bad, **kwargs):
    """Batches with a NaN in those whose number ``bad`` says yes to."""
    data = batches(count, dtype=torch.float32, **kwargs)
    for k, batch in enumerate(data):
        if bad(k):
            batch["image"][0, 0, 0, 0] = math.nan
    return data


def train(data, handlers, scaler=None, epochs=1, accumulation_steps=1, system=None, **kwargs):
    system = system or System(dtype=torch.float32)
    before = [] if scaler is None else [Scaler(**scaler)]
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=data, network=system.network, optimizer=system.optimizer,
        loss_function=nn.MSELoss(), train_handlers=[*before, *handlers], decollate=False,
        accumulation_steps=accumulation_steps, **kwargs,
    )
    trainer.run()
    return trainer


PATTERNS = {
    "from the fourth batch on": (lambda k: k >= 3, 1, MAX_SKIPPED + 3),
    "from the fourth batch on, in windows of two": (lambda k: k >= 3, 2, 2 * MAX_SKIPPED + 2),
    "a good one after nearly as many": (lambda k: k != MAX_SKIPPED - 1, 1, 2 * MAX_SKIPPED),
}


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("name", PATTERNS)
def test_too_many_skipped_steps_in_a_row_end_the_run_at_the_images(name, gate):
    bad, steps, at = PATTERNS[name]
    system, seen = System(dtype=torch.float32), []
    handlers = [GradPromHandler(system.tasks) if gate else FiniteLoss()]
    data = spoilt(60, bad)
    with pytest.raises(NonFiniteError) as caught:
        train(data, [*handlers, Seen(seen)], {"init_scale": 2.0**40}, system=system, accumulation_steps=steps)
    message = str(caught.value)
    assert message.startswith(f"gradients: expected finite ones, found {MAX_SKIPPED} steps in a row without, and")
    assert f"in epoch 1, iteration {at}, images image_{at - 1}_0, image_{at - 1}_1; look at these images" in message
    # Scales are read together, so that the run goes on until then.
    assert len(seen) == READ_EVERY
    assert torch.isfinite(system.weights()).all()


class Seen:
    """Note every iteration that goes through; list it last."""

    def __init__(self, seen):
        self.seen = seen

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: self.seen.append(e.state.iteration))


def test_skipped_steps_that_are_counted_go_on_in_the_next_epoch():
    data = spoilt(8, lambda k: k >= 2)
    seen = []
    # Two good steps at the start of every epoch: never 20 in a row.
    train(data, [FiniteLoss(), Seen(seen)], {"init_scale": 2.0**60}, epochs=5)
    assert len(seen) == 40
    with pytest.raises(NonFiniteError, match="in epoch 3, iteration 20"):
        train(spoilt(8, lambda k: True), [FiniteLoss()], {"init_scale": 2.0**60}, epochs=5)


def test_steps_skipped_now_and_then_end_the_run_when_gradients_have_vanished():
    """One bad image of two: the scale falls until nothing is left of a gradient in half precision."""
    with pytest.raises(NonFiniteError, match=r"found step after step without, and a loss scale of 7.6\d+e-06"):
        train(spoilt(60, lambda k: k % 2), [FiniteLoss()], {"init_scale": 1.0})


def test_an_overflow_now_and_then_is_the_scalers_business():
    train(spoilt(40, lambda k: k % 4 == 0), [FiniteLoss()], {"init_scale": 2.0**16})


@pytest.mark.filterwarnings("ignore")
def test_the_scaler_that_a_cpu_switches_off_is_none():
    """The stock trainer makes one for ``amp`` on a CPU too."""
    with pytest.raises(NonFiniteError, match="loss: expected a finite value, found nan in epoch 1, iteration 2"):
        train(spoilt(4, lambda k: k == 1), [FiniteLoss()], amp=True)
    system = System(dtype=torch.float32)
    with pytest.raises(NonFiniteError, match="loss: expected a finite value, found nan in epoch 1, iteration 2"):
        train(spoilt(4, lambda k: k == 1), [GradPromHandler(system.tasks)], amp=True, system=system)


def test_a_scaler_that_is_switched_on():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))])
    engine = SupervisedTrainer("cpu", 1, [], nn.Identity(), optimizer, nn.MSELoss())
    assert loss_scaler(engine) is None
    engine.scaler = torch.amp.GradScaler("cpu")
    assert loss_scaler(engine) is engine.scaler


@pytest.mark.parametrize("scaler", [None, {"init_scale": 2.0**16}])
def test_the_last_good_checkpoint_stays_when_a_step_spoils_the_weights(tmp_path, scaler):
    """Two steps an epoch, and the one that spoils them is finite: no loss, no skipped step tells before the end."""
    system = System(dtype=torch.float32)
    keep = ResumableCheckpoint(str(tmp_path), "cascade", {"network": system.network}, stages=("cascade",))
    files = []

    class Explode:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: files.append(keep.path.read_bytes()))
            engine.add_event_handler(Events.ITERATION_STARTED(once=4), self.raise_rate)

        def raise_rate(self, engine):
            system.optimizer.param_groups[0]["lr"] = 3e38

    data = spoilt(2, lambda k: False)
    data[1]["label"] *= 1e3
    where = "in epoch 2, iteration 4, images image_1_0, image_1_1"
    with pytest.raises(NonFiniteError, match=rf"network\.\d\.\w+: found values that are not finite, {where}"):
        train(data, [FiniteLoss(), keep, Explode()], scaler, epochs=3, system=system)
    assert files == [keep.path.read_bytes()]


@pytest.mark.parametrize(("bad", "count", "seen_until"), [(3, 6, 6), (3, 60, READ_EVERY), (55, 60, 60)])
@pytest.mark.parametrize("gate", [False, True])
def test_losses_are_read_together_and_the_first_bad_one_is_named(tmp_path, gate, bad, count, seen_until):
    system, seen = System(dtype=torch.float32), []
    keep = ResumableCheckpoint(str(tmp_path), "cascade", {"network": system.network}, stages=("cascade",))
    handlers = [GradPromHandler(system.tasks)] if gate else []
    data = spoilt(count, lambda k: k == bad - 1)
    where = rf"in epoch 1, iteration {bad}, images image_{bad - 1}_0, image_{bad - 1}_1; look"
    with pytest.raises(NonFiniteError, match=f"loss: expected a finite value, found nan {where}"):
        train(data, [keep, *handlers, FiniteLoss(), Seen(seen)], system=system)
    assert len(seen) == seen_until
    assert not list(tmp_path.iterdir())
    assert all(p.isfinite().all() for p in system.tasks[0].network.parameters())


def test_a_trainer_is_checked_once():
    system = System(dtype=torch.float32)
    first = FiniteLoss()
    train(spoilt(3, lambda k: False), [first, GradPromHandler(system.tasks), FiniteLoss(), Collected(first)],
          system=system)


class Collected:
    """After two of three steps two losses and two gradients wait, each once."""

    def __init__(self, watch):
        self.watch = watch

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), self)

    def __call__(self, engine):
        assert [(text.split(":")[0], place[1]) for text, place, _ in self.watch._found] == [
            ("loss", 1), ("gradient of the enhancement loss", 1), ("loss", 2), ("gradient of the enhancement loss", 2),
        ]
        assert engine.state.finite_loss is self.watch


def test_overflow_now_and_then_is_not_read_at_every_step():
    """The scales that were collected give the count that reading each of them would give."""
    watch, pattern = FiniteLoss(), [True, False, True, True, False, True, True, True, False]
    train(spoilt(len(pattern), lambda k: pattern[k]), [watch], {"init_scale": 2.0**16})
    assert watch.skipped == 0
    pattern.append(True)
    train(spoilt(len(pattern), lambda k: pattern[k]), [watch := FiniteLoss()], {"init_scale": 2.0**16})
    assert watch.skipped == 1
