"""A step that is not logged reads no value back from the device."""

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from shared.handlers import (
    AdversarialHandler,
    EpochLog,
    FiniteLoss,
    GradPromHandler,
    Progress,
    TensorBoardCurves,
    conditional_step,
)
from shared.losses import RelativisticAverage
from tests.handlers.game import discriminator
from tests.handlers.reference import System, batches
from tests.handlers.test_gradprom import Scaler

RUNS = {
    "none": ("none", ("class",)),
    "joint": ("joint", ("class",)),
    "frozen": ("frozen", ("class",)),
    "gradprom": ("gradprom", ("class",)),
    "gradprom_cosine": ("gradprom_cosine", ("class",)),
    "two tasks": ("gradprom", ("class", "mask")),
    "adversarial": ("none", ("class",)),
}


class Reads(TorchDispatchMode):
    """Count values that come back from the device, one by one or in lists."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.count = 0
        for name in ("tolist", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, self.counted(getattr(torch.Tensor, name)))

    def counted(self, method):
        def call(tensor, *args, **kwargs):
            # MONAI's Dice loss lists the numbers of its axes, which never were on a device.
            self.count += tensor.dtype != torch.int64
            return method(tensor, *args, **kwargs)

        return call

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def reads_per_step(tmp_path, monkeypatch, run, optimizer, before=()) -> list[int]:
    """Reads in each of six steps with everything that a bundle's trainer has; the last one ends the epoch."""
    # As on a GPU, where a flag cannot be looked at without waiting.
    monkeypatch.setattr(conditional_step, "_is_at_hand", lambda flag: False)
    strategy, kinds = RUNS[run]
    system = System(kinds=kinds, trainable=strategy != "frozen", dtype=torch.float32)
    system.optimizer = optimizer(system.network.parameters())
    for task in system.tasks:
        task.optimizer = None if task.optimizer is None else optimizer(task.network.parameters())
    gate = [] if strategy == "none" else [GradPromHandler(system.tasks, strategy)]
    if run == "adversarial":
        network = discriminator(torch.float32)
        gate = [AdversarialHandler(network, optimizer(network.parameters()), RelativisticAverage(), 0.1)]
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=batches(6, dtype=torch.float32), network=system.network,
        optimizer=system.optimizer, loss_function=nn.MSELoss(), decollate=False,
        train_handlers=[
            *before, *gate, FiniteLoss(), Progress("x"), EpochLog(str(tmp_path / "history.csv"), "x"),
            TensorBoardCurves(str(tmp_path)),
        ],
    )
    reads, found = Reads(monkeypatch), []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: setattr(reads, "count", 0))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.append(reads.count))
    with reads:
        trainer.run()
    return found


@pytest.mark.parametrize("run", RUNS)
def test_nothing_of_ours_is_read(tmp_path, monkeypatch, run):
    """SGD reads nothing itself."""
    found = reads_per_step(tmp_path, monkeypatch, run, lambda p: torch.optim.SGD(p, lr=0.01))
    assert found[1:5] == [0, 0, 0, 0]


def test_adam_reads_its_own_numbers_of_steps_only(tmp_path, monkeypatch):
    found = reads_per_step(tmp_path, monkeypatch, "two tasks", torch.optim.Adam)
    system, own = System(kinds=("class", "mask"), dtype=torch.float32), []
    networks = [system.network, *(task.network for task in system.tasks)]
    reads = Reads(monkeypatch)
    for network in networks:
        optimizer = torch.optim.Adam(network.parameters())
        for p in network.parameters():
            p.grad = torch.ones_like(p)
        before = reads.count
        with reads:
            optimizer.step()
        own.append(reads.count - before)
    assert found[2] == sum(own) > 0


@pytest.mark.parametrize("run", ["joint", "gradprom", "adversarial"])
def test_loss_scale_is_not_read_either(tmp_path, monkeypatch, run):
    """A fused optimizer: for another one the scaler itself reads whether it may step."""
    found = reads_per_step(
        tmp_path, monkeypatch, run, lambda p: torch.optim.SGD(p, lr=0.01, fused=True), [Scaler(init_scale=2.0**10)]
    )
    assert found[1:5] == [0, 0, 0, 0]
