"""The handlers around a training run: log, progress, checkpoint, best model, seed, curves."""

import csv
import logging
import math
import re

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, from_engine
from monai.handlers.regression_metrics import PeakSignalToNoiseRatio
from monai.optimizers import WarmupCosineSchedule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from shared.errors import InputError
from shared.handlers import (
    EpochLog,
    FiniteLoss,
    GradPromHandler,
    NonFiniteError,
    Progress,
    ResumableCheckpoint,
    TensorBoardCurves,
    progress,
)
from shared.networks import weights
from tests.handlers.reference import System, batches


def trainer_of(system: System, handlers, epochs=2, count=3, decollate=True) -> SupervisedTrainer:
    return SupervisedTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=batches(count), network=system.network,
        optimizer=system.optimizer, loss_function=nn.MSELoss(), train_handlers=handlers, decollate=decollate,
    )


def evaluator_of(network: nn.Module, handlers=()) -> SupervisedEvaluator:
    metric = PeakSignalToNoiseRatio(max_val=1.0, output_transform=from_engine(["pred", "label"]))
    return SupervisedEvaluator(
        device="cpu", val_data_loader=batches(1, size=1, seed=9), network=network, key_val_metric={"psnr": metric},
        val_handlers=handlers,
    )


class Validate:
    def __init__(self, evaluator):
        self.evaluator = evaluator

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: self.evaluator.run(e.state.epoch))


@pytest.mark.parametrize("decollate", [True, False])
def test_epoch_log_writes_what_was_measured(tmp_path, caplog, decollate):
    system, losses = System(), []
    evaluator = evaluator_of(system.network)
    log = EpochLog(str(tmp_path / "log" / "history.csv"), "cascade", evaluator)
    trainer = trainer_of(system, [GradPromHandler(system.tasks), Validate(evaluator), log], decollate=decollate)

    @trainer.on(Events.ITERATION_COMPLETED)
    def record(engine):
        output = engine.state.output
        losses.append(float((output[0] if decollate else output)["loss"]))

    with caplog.at_level(logging.INFO):
        trainer.run()
    with open(tmp_path / "log" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["loss"]) for row in rows] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])], rel=1e-12)
    assert float(rows[1]["val_psnr"]) == evaluator.state.metrics["psnr"]
    assert float(rows[1]["class_acceptance"]) == trainer.state.gradprom_epoch["class"]["acceptance"]
    lines = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.epoch_log"]
    assert len(lines) == 2
    assert lines[1].startswith("cascade epoch 2/2  loss ")
    assert "PSNR" in lines[1]
    assert "class accepted" in lines[1]


def test_epoch_log_forgets_what_came_after_the_checkpoint(tmp_path):
    log = EpochLog(str(tmp_path / "history.csv"), "x")
    log.rows = [{"epoch": 1.0, "loss": 0.5}]
    state = log.state_dict()
    log.rows.append({"epoch": 2.0, "loss": 0.4})
    log.load_state_dict(state)
    assert (tmp_path / "history.csv").read_text() == "epoch,loss\n1,0.5\n"


def test_progress_is_plain_lines_without_a_terminal(monkeypatch, caplog):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    system = System()
    with caplog.at_level(logging.INFO, "shared.handlers.progress"):
        trainer_of(system, [GradPromHandler(system.tasks), Progress("cascade")], epochs=1).run()
    lines = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.progress"]
    assert len(lines) == 3
    assert lines[1].startswith("cascade step 2/3  loss ")
    assert "L_VR class" in lines[1]
    assert lines[1].endswith("s left")


def test_time_left_of_a_continued_run_counts_its_own_steps(tmp_path, monkeypatch, caplog):
    """One second a step: the first of three steps that are left, after twelve that another run took."""
    seconds = iter(range(1000))
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    for epochs in (4, 5):
        caplog.clear()
        keep = ResumableCheckpoint(str(tmp_path), "cascade", {}, resume=True)
        with caplog.at_level(logging.INFO, "shared.handlers.progress"):
            trainer_of(System(), [Progress("cascade"), keep], epochs=epochs).run()
    lines = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.progress"]
    assert re.fullmatch(r"cascade step 13/15  loss \S+  about 2 s left", lines[0])


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    system = System()
    trainer_of(system, [GradPromHandler(system.tasks), Progress("cascade")], epochs=1).run()
    shown = capsys.readouterr().err
    assert "cascade" in shown
    assert "L_VR class=" in shown
    assert "<" in shown


def test_curves_hold_losses_cosine_and_validation(tmp_path):
    system = System()
    evaluator = evaluator_of(system.network)
    handlers = [GradPromHandler(system.tasks), Validate(evaluator), TensorBoardCurves(str(tmp_path), evaluator)]
    trainer = trainer_of(system, handlers)
    trainer.run()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = {"enhancement/loss": 6, "class/loss": 6, "class/cosine": 6, "class/norm_ratio": 6, "class/acceptance": 2,
            "validation/psnr": 2}
    for tag, count in tags.items():
        assert len(events.Scalars(tag)) == count, tag
    last = events.Scalars("class/cosine")[-1].value
    assert last == pytest.approx(float(trainer.state.gradprom["class"]["cosine"]), rel=1e-5)


def run_with_checkpoint(folder, system, epochs, resume=False, stage="cascade", **kwargs):
    handler = GradPromHandler(system.tasks)
    objects = {"network": system.network, "optimizer": system.optimizer, "gradprom": handler}
    evaluator = evaluator_of(system.network)
    keep = ResumableCheckpoint(str(folder), stage, objects, resume=resume, evaluator=evaluator, **kwargs)
    trainer = trainer_of(system, [handler, Validate(evaluator), keep], epochs=epochs)
    trainer.run()
    return trainer, evaluator, handler


@pytest.mark.parametrize("resume", [True, "true"])
def test_checkpoint_continues_exactly(tmp_path, resume):
    whole, broken, continued = System(), System(), System()
    trainer, evaluator, handler = run_with_checkpoint(tmp_path / "a", whole, 4)
    run_with_checkpoint(tmp_path / "b", broken, 2)
    resumed, evaluator2, handler2 = run_with_checkpoint(tmp_path / "b", continued, 4, resume=resume)
    assert torch.equal(whole.weights(), continued.weights())
    assert resumed.state.iteration == trainer.state.iteration
    assert evaluator2.state.best_metric == evaluator.state.best_metric
    assert evaluator2.state.best_metric_epoch == evaluator.state.best_metric_epoch
    assert handler2.statistics.totals == handler.statistics.totals


def cosine_and_constant(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    cosine, constant = WarmupCosineSchedule(optimizer, 2, steps), torch.optim.lr_scheduler.ConstantLR(optimizer)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [cosine, constant], [steps])


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)


@pytest.mark.parametrize("schedule", [one_cycle, cosine_and_constant])
@pytest.mark.parametrize("steps", [6, 12])
def test_a_learning_rate_cycle_of_another_length_is_refused(tmp_path, steps, schedule):
    def run(total_steps: int, epochs: int, resume: bool = False) -> None:
        system = System()
        cycle = schedule(system.optimizer, total_steps)
        step = LrScheduleHandler(cycle, print_lr=False, epoch_level=False)
        keep = ResumableCheckpoint(str(tmp_path), "cascade", {"lr_scheduler": cycle}, resume=resume)
        trainer_of(system, [step, keep], epochs=epochs).run()

    run(9, 1)
    run(9, 3, resume=True)
    with pytest.raises(InputError, match=f"found a learning-rate cycle of 9 steps, expected one of {steps}; continue"):
        run(steps, 4, resume=True)


def test_checkpoint_is_ignored_unless_asked_for(tmp_path):
    a, b = System(), System()
    run_with_checkpoint(tmp_path, a, 2)
    run_with_checkpoint(tmp_path, b, 2)
    assert torch.equal(a.weights(), b.weights())


def test_finished_run_does_nothing_when_resumed(tmp_path):
    a, b = System(), System()
    run_with_checkpoint(tmp_path, a, 2)
    trainer, _, _ = run_with_checkpoint(tmp_path, b, 2, resume=True)
    assert torch.equal(a.weights(), b.weights())
    assert trainer.state.epoch == 2


def test_checkpoint_of_a_later_stage_skips_an_earlier_one(tmp_path):
    run_with_checkpoint(tmp_path, System(), 1)
    fresh, untouched = System(), System()
    run_with_checkpoint(tmp_path, fresh, 3, resume=True, stage="recognition")
    assert torch.equal(fresh.weights(), untouched.weights())


def test_checkpoint_of_an_earlier_stage_starts_a_later_one_anew(tmp_path):
    run_with_checkpoint(tmp_path / "a", System(), 1, stage="recognition")
    a, b = System(), System()
    run_with_checkpoint(tmp_path / "b", a, 1)
    run_with_checkpoint(tmp_path / "c", b, 1, ckpt_path=str(tmp_path / "a" / "checkpoint.pt"))
    assert torch.equal(a.weights(), b.weights())


def test_the_empty_state_of_a_scaler_that_was_switched_off_is_no_obstacle(tmp_path):
    """A checkpoint of ``amp`` on a CPU is continued on a GPU."""
    run_with_checkpoint(tmp_path, System(), 1)
    content = dict(weights.read(tmp_path / "checkpoint.pt"))
    off = torch.amp.GradScaler("cpu", enabled=False)
    weights.save({**content, "scaler": off.state_dict()}, tmp_path / "checkpoint.pt")
    system, scaler = System(), torch.amp.GradScaler("cpu")
    keep = ResumableCheckpoint(str(tmp_path), "cascade", {"network": system.network}, resume=True)
    trainer = trainer_of(system, [keep], epochs=1)
    trainer.scaler = scaler
    keep._restore(trainer)
    assert trainer.state.epoch == 1
    assert scaler.get_scale() == 2.0**16


def test_exception_leaves_the_last_checkpoint_alone(tmp_path):
    system = System()
    run_with_checkpoint(tmp_path, system, 1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    data = batches(3)
    data[2]["image"][:] = math.nan
    keep = ResumableCheckpoint(str(tmp_path), "cascade", {"network": system.network})
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=system.network, optimizer=system.optimizer,
        loss_function=nn.MSELoss(), train_handlers=[FiniteLoss(), keep],
    )
    with pytest.raises(NonFiniteError, match="images image_2_0, image_2_1"):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.pop("stage"), "expected a checkpoint of training"),
    (lambda c: c["objects"].pop("optimizer"), "found no state of 'optimizer'"),
    (lambda c: c["objects"]["network"].pop("0.weight"), "weights of another network: found no '0.weight'"),
    (lambda c: c["objects"]["optimizer"].update(param_groups=[]), "state of 'optimizer' is that of another run"),
    (lambda c: c.update(epoch=9), "found 9 epochs, expected at most max_epochs 3"),
])
def test_checkpoint_that_does_not_fit(tmp_path, change, message):
    run_with_checkpoint(tmp_path, System(), 1)
    content = dict(weights.read(tmp_path / "checkpoint.pt"))
    change(content)
    weights.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=message):
        run_with_checkpoint(tmp_path, System(), 3, resume=True)


def test_finite_loss_leaves_overflow_to_the_loss_scaler():
    engine = Engine(lambda e, b: None)
    engine.state.output, engine.state.batch = {"loss": torch.tensor(math.inf)}, {}
    engine.scaler = object()
    watch = FiniteLoss()
    watch(engine)
    watch.check()
    engine.scaler = None
    watch(engine)
    with pytest.raises(NonFiniteError, match="found inf in epoch 0"):
        watch.check()
