"""Terms of a loss in the bar, the log and the curves, and in a run that is continued."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from shared.errors import InputError
from shared.handlers import (
    EpochLog,
    GradPromHandler,
    LossTerms,
    Progress,
    ResumableCheckpoint,
    TensorBoardCurves,
)
from shared.losses import FeatureLoss, PixelLoss, TotalVariation, WeightedTerms
from shared.recognition import RecognitionTask
from shared.recognition.perceptual import RecognitionFeatures
from tests.handlers.reference import System, batches
from tests.handlers.test_waiting import Reads

WEIGHTS = {"pixel": 2.0, "smooth": 0.1}


def loss() -> WeightedTerms:
    return WeightedTerms({"pixel": PixelLoss(), "smooth": TotalVariation()}, WEIGHTS)


def trainer_of(system: System, loss: nn.Module, handlers: Sequence[Any], epochs: int = 1, **options: Any) -> Any:
    return SupervisedTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=batches(5, dtype=system.dtype), network=system.network,
        optimizer=system.optimizer, loss_function=loss, decollate=False, train_handlers=handlers, **options,
    )


class ByHand:
    """Computes the terms once more, from the images of each step."""

    def __init__(self) -> None:
        self.terms: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output: Any = engine.state.output
        prediction, target = output["pred"].detach(), output["label"]
        smooth = prediction.diff(dim=2).abs().sum() + prediction.diff(dim=3).abs().sum()
        self.terms.append({
            "pixel": float((prediction - target).abs().mean()), "smooth": float(smooth / prediction.numel()),
        })

    def mean(self, term: str, steps: slice) -> float:
        found = [values[term] for values in self.terms[steps]]
        return math.fsum(found) / len(found)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_terms_are_shown_everywhere_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, accumulation_steps: int
) -> None:
    terms, by_hand, progress = loss(), ByHand(), Progress("x")
    handlers = [
        LossTerms(terms, "parts"), by_hand, EpochLog(str(tmp_path / "history.csv"), "x"),
        TensorBoardCurves(str(tmp_path)),
    ]
    with caplog.at_level(logging.INFO):
        trainer = trainer_of(System(), terms, handlers, epochs=2, accumulation_steps=accumulation_steps)
        trainer.run()
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "parts_pixel", "parts_smooth"]
    for row, steps in zip(rows, (slice(0, 5), slice(5, 10)), strict=True):
        means = {term: by_hand.mean(term, steps) for term in WEIGHTS}
        assert {term: float(row[f"parts_{term}"]) for term in WEIGHTS} == pytest.approx(means, rel=1e-12)
        assert float(row["loss"]) == pytest.approx(2 * means["pixel"] + 0.1 * means["smooth"], rel=1e-12)
    lines = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.epoch_log"]
    assert f"  L_pixel {by_hand.mean('pixel', slice(5, 10)):.4g}  L_smooth " in lines[1]
    shown = progress.losses(trainer)
    assert list(shown) == ["loss", "L_pixel", "L_smooth"]
    assert shown["L_pixel"] == pytest.approx(by_hand.terms[-1]["pixel"], rel=1e-12)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    curves = {tag for tag in events.Tags()["scalars"] if "/" in tag}
    assert curves == {"enhancement/loss", "parts/pixel", "parts/smooth"}
    assert [p.value for p in events.Scalars("parts/smooth")] == pytest.approx(
        [values["smooth"] for values in by_hand.terms], rel=1e-6
    )


def test_terms_left_out_are_not_shown() -> None:
    terms = WeightedTerms({"pixel": PixelLoss(), "smooth": TotalVariation(), "absent": None},
                          {"pixel": 1, "smooth": 0, "absent": 1})
    trainer = trainer_of(System(), terms, [LossTerms(terms)])
    trainer.run()
    assert list(trainer.state.terms["terms"]) == list(trainer.state.terms_epoch["terms"]) == ["pixel"]


def test_training_is_as_without_it() -> None:
    """The weighted sum is the trainer's loss, whether it is watched or not, and beside GradPromHandler too."""
    found = []
    for watched in (False, True):
        system, terms = System(), loss()
        handlers = [LossTerms(terms)] if watched else []
        trainer_of(system, terms, [*handlers, GradPromHandler(system.tasks)]).run()
        found.append(system.weights())
    assert torch.equal(*found)


def test_nothing_is_read_in_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, reads, found = System(dtype=torch.float32), Reads(monkeypatch), []
    terms = with_features(recognition_task(torch.float32))
    handlers = [LossTerms(terms), EpochLog(str(tmp_path / "history.csv"), "x"), TensorBoardCurves(str(tmp_path))]
    trainer = trainer_of(system, terms, handlers)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: setattr(reads, "count", 0))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.append(reads.count))
    with reads:
        trainer.run()
    assert found[:4] == [0, 0, 0, 0]
    assert found[4] > 0


def test_loss_of_another_trainer() -> None:
    with pytest.raises(ValueError, match="expected the trainer's loss function, found WeightedTerms beside .* MSELoss"):
        trainer_of(System(), nn.MSELoss(), [LossTerms(loss())]).run()


class Recognition(nn.Module):
    """An encoder that returns its features in a list, as MONAI's do; what would come after it is not needed."""

    class Encoder(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [super().forward(images)]

    def __init__(self) -> None:
        super().__init__()
        self.encoder = self.Encoder(1, 4, 3)


def recognition_task(dtype: torch.dtype = torch.float64) -> RecognitionTask:
    torch.manual_seed(0)
    return RecognitionTask(Recognition().to(dtype), nn.MSELoss(), name="segmentation")


def with_features(task: RecognitionTask) -> WeightedTerms:
    terms = {"pixel": PixelLoss(), "smooth": TotalVariation(), "perceptual": FeatureLoss(RecognitionFeatures(task))}
    return WeightedTerms(terms, {**WEIGHTS, "perceptual": 5.0})


class Moves:
    """A recognition network that goes on learning: its weights change at every step."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.mul_(1.05)


def run_to(epochs: int, folder: Path, resume: bool) -> tuple[torch.Tensor, dict[str, Any]]:
    """Train with the features of a network that moves; returns the weights and the checkpoint's terms."""
    system, task = System(), recognition_task()
    shown = LossTerms(with_features(task))
    objects = {"network": system.network, "optimizer": system.optimizer, "moving": task.network, "terms": shown}
    checkpoint = ResumableCheckpoint(str(folder), "cascade", objects, resume=resume)
    trainer_of(system, shown.loss, [shown, Moves(task.network), checkpoint], epochs).run()
    return system.weights(), shown.state_dict()


def test_a_run_that_continues_equals_one_that_was_not_stopped(tmp_path: Path) -> None:
    straight, _ = run_to(2, tmp_path / "straight", resume=False)
    run_to(1, tmp_path / "parts", resume=False)
    continued, state = run_to(2, tmp_path / "parts", resume=True)
    assert torch.equal(continued, straight)
    assert state["statistics"] == {"totals": {"terms": {"steps": 10, "skipped": 0}}}


def test_state_of_a_loss_with_other_features() -> None:
    terms = LossTerms(WeightedTerms({"pixel": PixelLoss(), "seen": nn.PReLU()}, {"pixel": 1, "seen": 1}))
    with pytest.raises(InputError, match="loss: weights of another network: found 'terms.seen.weight'"):
        LossTerms(loss()).load_state_dict(terms.state_dict())
