"""What a handler publishes under a name of its own is shown in the file, on the console, in the bar and as curves."""

import csv
import logging
import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from shared.handlers import EpochLog, GradPromHandler, Progress, TensorBoardCurves, published, tensorboard
from shared.handlers.published import Publisher, Shown, read
from tests.handlers.reference import System, batches


class Discriminator:
    """Publishes as a discriminator's handler would: numbers or tensors, every step and every epoch."""

    def __init__(self, shown=None):
        self.publisher = Publisher("adversarial", shown)

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.publisher.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: self.publisher.publish_epoch(
            e, {"D{0}": {"real": torch.tensor(0.25), "rounds": 7.0}}
        ))

    def __call__(self, engine):
        k = engine.state.iteration
        values = {"real": torch.tensor(k / 2), "fake": -float(k), "missing": math.nan}
        self.publisher.publish_step(engine, {"D{0}": values})


def train(handlers, count=3, epochs=1):
    system = System()
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=batches(count), network=system.network,
        optimizer=system.optimizer, loss_function=nn.MSELoss(), decollate=False,
        train_handlers=[GradPromHandler(system.tasks), *handlers],
    )
    trainer.run()
    return trainer


def columns(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_shown_where_nothing_is_said_about_it(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train([Discriminator(), EpochLog(str(tmp_path / "history.csv"), "x"), TensorBoardCurves(str(tmp_path))])
    (row,) = columns(tmp_path / "history.csv")
    assert list(row) == [
        "epoch", "loss", "class_cosine", "class_norm_ratio", "class_loss", "class_acceptance", "class_skipped",
        "D{0}_real", "D{0}_rounds",
    ]
    assert (row["D{0}_real"], row["D{0}_rounds"]) == ("0.25", "7.0")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.epoch_log"]
    assert "  D{0} real 0.25  D{0} rounds 7  " in line
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {tag for tag in events.Tags()["scalars"] if "/" in tag} == {
        "enhancement/loss", "class/loss", "class/cosine", "class/norm_ratio", "class/acceptance", "class/skipped",
        "D{0}/real", "D{0}/fake", "D{0}/rounds",
    }
    assert [(p.step, p.value) for p in events.Scalars("D{0}/fake")] == [(1, -1.0), (2, -2.0), (3, -3.0)]


def test_a_handler_says_what_is_shown_and_how(tmp_path, caplog, monkeypatch):
    shown = Shown({"real": "D(real) {group}"}, {"rounds": "{group} played {value:.1f}"}, ["fake"], [])
    monkeypatch.setattr("shared.handlers.progress.PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO):
        train([
            Discriminator(shown), Progress("x"), EpochLog(str(tmp_path / "history.csv"), "x"),
            TensorBoardCurves(str(tmp_path)),
        ])
    lines = {name: [r.getMessage() for r in caplog.records if r.name == f"shared.handlers.{name}"]
             for name in ("epoch_log", "progress")}
    assert "D{0} played 7.0" in lines["epoch_log"][0]
    assert "real" not in lines["epoch_log"][0]
    assert "D(real) D{0} 1  about" in lines["progress"][1]
    assert "fake" not in lines["progress"][1]
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("D")} == {"D{0}/fake"}
    assert "D{0}_real" in columns(tmp_path / "history.csv")[0]


def test_curves_hold_every_step_and_are_read_together(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(tensorboard, "read", lambda values: calls.append(len(values)) or read(values))
    monkeypatch.setattr(published, "READ_EVERY", 4)
    train([Discriminator(), TensorBoardCurves(str(tmp_path))], count=10, epochs=2)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for tag in ("enhancement/loss", "class/loss", "D{0}/real"):
        assert [p.step for p in events.Scalars(tag)] == list(range(1, 21))
    assert [p.value for p in events.Scalars("D{0}/real")] == [k / 2 for k in range(1, 21)]
    # Loss, three of the gate and three of the discriminator per step; after 4, 8 and 10 steps.
    assert [n for n in calls if n] == [28, 28, 14] * 2


def test_the_bar_reads_losses_now_and_then(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress, asked = Progress("x", log_every=4), []
    losses = progress.losses
    progress.losses = lambda engine: asked.append(engine.state.iteration) or losses(engine)
    train([progress], count=10)
    assert asked == [1, 5, 9]
    with pytest.raises(ValueError, match="log_every: expected at least 1, found 0"):
        Progress("x", log_every=0)


def test_read_keeps_the_order_of_numbers_and_tensors_of_all_types():
    values = [1.5, torch.tensor(2.5, dtype=torch.float64), torch.tensor(True), torch.tensor(0.1), 3, torch.tensor(-1.0)]
    assert read(values) == [1.5, 2.5, 1.0, pytest.approx(0.1), 3.0, -1.0]
    assert read([]) == []
