"""Engines that were cut short tell how long the whole run takes."""

import time
from dataclasses import replace

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn

from shared.reproduction import timing
from shared.reproduction.commands import config_files
from shared.reproduction.description import Run
from shared.reproduction.papers.gradprom.tables import RECOGNITION, trained
from shared.reproduction.profiles import PROFILES
from shared.reproduction.runs import Runner
from shared.reproduction.timing import CutShort, Seconds, measure

EPOCHS, STEPS, IMAGES = 6, 10, 7


class Clock:
    """A clock that stands still but for what engines do."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def engines(clock: Clock, interval: int) -> tuple[SupervisedTrainer, SupervisedEvaluator]:
    """Steps take 2 s, the very first 5 s more; a validation 1 s and 3 s an image; the end of an epoch half a second."""
    network = nn.Linear(1, 1)
    batch = {"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}
    evaluator = SupervisedEvaluator(torch.device("cpu"), [batch] * IMAGES, network)
    evaluator.add_event_handler(Events.STARTED, lambda: clock.wait(1))
    evaluator.add_event_handler(Events.ITERATION_STARTED, lambda: clock.wait(3))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    trainer = SupervisedTrainer(torch.device("cpu"), EPOCHS, [batch] * STEPS, network, optimizer, nn.MSELoss())
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda: clock.wait(5))
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: clock.wait(2))
    ValidationHandler(interval, evaluator).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: clock.wait(0.5))
    return trainer, evaluator


@pytest.mark.parametrize(("interval", "validations"), [(1, 6), (3, 2)])
def test_what_is_left_out_is_reckoned_from_what_was_made(interval, validations, monkeypatch):
    clock = Clock()
    engines(clock, interval)[0].run()
    whole = clock.now
    clock = Clock()
    monkeypatch.setattr(timing, "_now", clock)
    trainer, evaluator = engines(clock, interval=1)
    short, validation = CutShort(trainer, 4), CutShort(evaluator, 4)
    trainer.run()
    assert trainer.state.iteration == evaluator.state.iteration == 4
    assert (short.span, short.iteration, validation.iteration) == (5 + 4 * 2 + 1 + 4 * 3 + 0.5, 2, 3)
    # The ends of epochs without a validation do not count.
    unseen = 0.5 * (EPOCHS - validations)
    assert short.span + short.left(validations, validation) == pytest.approx(whole - unseen)


def test_an_epoch_that_is_shorter_than_the_cut_is_made_whole(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "_now", clock)
    _, evaluator = engines(clock, interval=1)
    short = CutShort(evaluator, 100)
    evaluator.run()
    assert (short.span, short.left()) == (3 * IMAGES, 0)
    _, evaluator = engines(clock, interval=1)
    short = CutShort(evaluator, 1)
    evaluator.run()
    assert (short.span, short.left()) == (3, 3 * (IMAGES - 1))


@pytest.mark.parametrize(("epochs", "after"), [(3, 0), (0, 20)])
def test_a_discriminator_plays_in_the_few_iterations_if_it_ever_does(epochs, after):
    key, value = next((key, value) for key, value in timing.AT_ONCE.items() if key.startswith("adversarial"))
    parser = ConfigParser(ConfigParser.load_config_files(config_files(Run("rirgan_brats"))))
    assert key in parser
    parser.update({"max_epochs": 20, "adversarial_epochs": epochs, key: value})
    assert parser.get_parsed_content(key) == after


SIZE = {
    "network_def#num_blocks": 2,
    "network_def#features": 16,
    "val_interval": 1,
    "train#dataset#data": "$@train#datalist[:12]",
    "validate#dataset#data": "$@validate#datalist[:2]",
    "test#dataset#data": "$@test#datalist[:2]",
}


def small(max_epochs: int, pretrain_epochs: int = 2) -> Run:
    run = trained("gradprom_mni152", "segmentation", "gradprom", sigma=0.1).under(PROFILES["smoke"])
    return run.with_overrides(**SIZE, max_epochs=max_epochs, pretrain_epochs=pretrain_epochs)


@pytest.fixture
def processor_time(monkeypatch) -> None:
    """Time of this process alone, whatever else the machine does."""
    monkeypatch.setattr(timing, "_now", time.process_time)


@pytest.mark.slow
def test_a_run_takes_as_long_as_was_estimated(tmp_path, processor_time):
    runner = Runner(tmp_path)

    def measured(run: Run) -> Seconds:
        return measure(run, lambda each: runner.overrides(each, 0))

    run = small(max_epochs=4)
    few = measured(run)
    assert not (tmp_path / "runs").exists()
    began = time.process_time()
    runner.make(run, 0)
    assert few.own + few.stages["recognition"] == pytest.approx(time.process_time() - began, rel=0.6)
    # In so many epochs, nothing but steps and validations counts.
    many, twice = measured(small(200, 200)), measured(small(400, 400))
    assert many.own > 10 * few.own
    assert 1.5 < twice.own / many.own < 2.7
    assert 1.5 < twice.stages["recognition"] / many.stages["recognition"] < 2.7


@pytest.mark.slow
def test_runs_that_train_no_enhancement_are_measured(tmp_path, processor_time):
    runner = Runner(tmp_path)
    alone = replace(small(1, pretrain_epochs=300), kind="recognition", shares=(), trainers=(RECOGNITION.trainer,))
    alone = replace(alone, overlays=("recognition_alone.json", *alone.overlays))
    trains = measure(alone, lambda run: runner.overrides(run, 0))
    tests = measure(small(300).evaluated(), lambda run: runner.overrides(run, 0))
    assert trains.stages == tests.stages == {}
    assert 0 < 5 * tests.own < trains.own
