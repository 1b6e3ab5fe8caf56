"""Which weights a run keeps and reports, with real engines; those of other runs are never taken for its own."""

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler, from_engine
from monai.handlers.regression_metrics import PeakSignalToNoiseRatio
from torch import nn

from shared.bundle import provenance
from shared.errors import InputError
from shared.handlers import BestModel, GradPromHandler, LoadBestModel, NonFiniteError, ResumableCheckpoint
from shared.networks import weights
from shared.recognition.ensemble import RecognitionEnsemble
from tests.bundles.test_resume import flat
from tests.handlers.reference import System, batches

ORIGIN = {"phantom": True, "data": "test"}
FILES = {"model.pt", "recognition.pt", "provenance.json", "checkpoint.pt"}


class Training:
    """A run of the stock engines that keeps its best weights in a folder; ``rates``: learning rate of each epoch.

    A negative rate climbs the loss, so that validation becomes worse.
    """

    def __init__(self, folder: Path, rates, interval=1, seed=0, resume=False, ckpt_path=None, origin=ORIGIN):
        self.system = System()
        self.validation = batches(2, size=1, seed=9)
        self.scores: list[float] = []
        self.biases: list[float] = []
        ensemble = RecognitionEnsemble(self.system.tasks)
        self.best = BestModel(str(folder), self.system.network, ensemble, origin)
        metric = PeakSignalToNoiseRatio(max_val=1.0, output_transform=from_engine(["pred", "label"]))
        self.evaluator = SupervisedEvaluator(
            device="cpu", val_data_loader=self.validation, network=self.system.network,
            key_val_metric={"psnr": metric}, val_handlers=[self.best],
        )
        gate = GradPromHandler(self.system.tasks)
        objects = {"network": self.system.network, "optimizer": self.system.optimizer, "gradprom": gate}
        checkpoint = ResumableCheckpoint(
            str(folder), "cascade", objects, resume=resume, ckpt_path=ckpt_path, evaluator=self.evaluator,
            best_model=self.best,
        )
        self.trainer = SupervisedTrainer(
            device="cpu", max_epochs=len(rates), train_data_loader=batches(3, seed=seed), network=self.system.network,
            optimizer=self.system.optimizer, loss_function=nn.MSELoss(),
            train_handlers=[gate, ValidationHandler(interval, self.evaluator), checkpoint],
        )

        @self.trainer.on(Events.EPOCH_STARTED)
        def set_rate(engine):
            self.system.optimizer.param_groups[0]["lr"] = rates[engine.state.epoch - 1]

        @self.trainer.on(Events.EPOCH_COMPLETED)
        def measure(engine):
            with torch.no_grad():
                errors = [((self.system.network(b["image"]) - b["label"]) ** 2).mean() for b in self.validation]
            self.scores.append(sum(-10 * math.log10(float(e)) for e in errors) / len(errors))
            self.biases.append(float(self.system.network[0].bias[0].detach()))

        self.load = LoadBestModel(str(folder), self.system.network, ensemble, "bundles/x")

    def run(self) -> "Training":
        self.trainer.run()
        return self


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def state(path: Path) -> dict[str, object]:
    leaves = flat(weights.read(path))
    return {name: leaf.tolist() if isinstance(leaf, torch.Tensor) else leaf for name, leaf in leaves.items()}


def values(folder: Path) -> dict[str, object]:
    """What the files hold: equal states may differ in their bytes."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: state(path) if path.suffix == ".pt" else path.read_text() for path in files}


def kept(folder: Path) -> float:
    return float(weights.read(folder / "model.pt")["0.bias"][0])


def test_best_model_keeps_the_best_epoch(tmp_path):
    """Oracle: PSNR by hand, and the weights at the end of each epoch; the last epoch is worse than the one before."""
    training = Training(tmp_path, [0.05, 0.05, -0.2]).run()
    assert training.scores[1] > max(training.scores[0], training.scores[2]) + 0.01
    assert kept(tmp_path) == training.biases[1]
    assert json.loads((tmp_path / "provenance.json").read_text()) == {
        **ORIGIN, "best_validation": {"epoch": 2, "psnr": round(training.scores[1], 4)}
    }
    bias = training.system.network[0].bias.detach()
    assert float(bias[0]) == training.biases[2]
    training.load(training.evaluator)
    assert float(bias[0]) == training.biases[1]


def test_a_fresh_run_moves_what_an_earlier_one_left_aside(tmp_path, caplog):
    Training(tmp_path, [0.05]).run()
    (tmp_path / "notes.txt").write_text("mine")
    first = contents(tmp_path)
    second = Training(tmp_path, [0.05], seed=1)
    with caplog.at_level(logging.INFO, "shared.handlers.best_model"):
        second.run()
    assert f"what an earlier run wrote here is now in {tmp_path / 'earlier-1'}" in caplog.text
    moved = contents(tmp_path / "earlier-1")
    assert moved.keys() == FILES
    assert {**moved, "notes.txt": b"mine"} == first
    assert kept(tmp_path) == second.biases[0] != kept(tmp_path / "earlier-1")
    Training(tmp_path, [0.05], seed=2).run()
    assert kept(tmp_path / "earlier-2") == second.biases[0]
    assert contents(tmp_path / "earlier-1") == moved


def nan_image(training: Training, which=0) -> None:
    training.validation[which]["image"][..., 0, 0] = math.nan


@pytest.mark.parametrize(("interval", "spoil", "reason"), [
    (5, lambda training: None, "validation never ran, lower val_interval"),
    (1, nan_image, "no validation counted, as the enhanced images were not finite: image_0_0"),
])
def test_a_run_without_weights_of_its_own_fails_and_says_where_the_earlier_ones_are(tmp_path, interval, spoil, reason):
    Training(tmp_path, [0.05]).run()
    first = contents(tmp_path)
    training = Training(tmp_path, [0.05, 0.05], interval=interval, seed=1)
    spoil(training)
    with pytest.raises(InputError) as caught:
        training.run()
    place = tmp_path / "earlier-1"
    assert str(caught.value) == (
        f"{tmp_path}: this run wrote no weights: {reason}; those of an earlier run are in {place}"
    )
    assert not (tmp_path / "model.pt").exists()
    assert contents(place) == first
    with pytest.raises(InputError, match=rf"model.pt: no such file; make .* earlier run is {place}/model.pt"):
        training.load(None)


@pytest.mark.parametrize("spoilt", [1, 3])
def test_a_validation_with_an_image_that_is_not_finite_counts_for_nothing(tmp_path, spoilt):
    """MONAI's mean leaves such an image out, takes the first value as best, and nothing is greater than NaN.

    The image left out is by far the worse one. Oracle: the best of the other epochs, by hand.
    """
    training = Training(tmp_path, [0.05, 0.05, 0.05])
    training.validation[0]["label"] += 3
    clean = training.validation[0]["image"].clone()
    training.trainer.add_event_handler(Events.EPOCH_STARTED(once=spoilt), lambda: nan_image(training))
    training.trainer.add_event_handler(
        Events.EPOCH_COMPLETED(once=spoilt), lambda: training.validation[0]["image"].copy_(clean)
    )
    training.run()
    assert [epoch for epoch, score in enumerate(training.scores, 1) if math.isnan(score)] == [spoilt]
    expected = max((score, epoch) for epoch, score in enumerate(training.scores, 1) if not math.isnan(score))[1]
    assert json.loads((tmp_path / "provenance.json").read_text())["best_validation"]["epoch"] == expected
    assert kept(tmp_path) == training.biases[expected - 1]


def test_the_metrics_of_a_validation_that_does_not_count_are_nan(tmp_path):
    training = Training(tmp_path, [0.05])
    nan_image(training)
    with pytest.raises(InputError, match="this run wrote no weights"):
        training.run()
    assert math.isnan(training.evaluator.state.metrics["psnr"])


def test_phantom_data_are_refused_before_anything_is_moved(tmp_path):
    Training(tmp_path, [0.05], origin={**ORIGIN, "phantom": False}).run()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"model\.pt: found weights trained on real data"):
        Training(tmp_path, [0.05])
    assert contents(tmp_path) == before
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


RATES = [0.05, 0.05, -0.2, -0.2]


@pytest.mark.parametrize("stopped", [1, 2, 3, 4])
def test_a_resumed_run_goes_on_with_the_weights_of_the_run_it_continues(tmp_path, stopped):
    whole = Training(tmp_path / "whole", RATES).run()
    Training(tmp_path / "broken", RATES[:stopped]).run()
    Training(tmp_path / "broken", RATES, resume=True).run()
    assert values(tmp_path / "broken") == values(tmp_path / "whole")
    assert kept(tmp_path / "whole") == whole.biases[1]
    assert not (tmp_path / "broken" / "earlier-1").exists()


@pytest.mark.parametrize("crash", ["before the checkpoint", "between the files"])
def test_a_run_killed_while_it_wrote_is_continued_as_if_nothing_had_happened(tmp_path, crash):
    Training(tmp_path / "whole", RATES).run()
    broken = tmp_path / "broken"
    Training(broken, RATES[:1]).run()
    earlier = contents(broken)
    Training(broken, RATES[:2], resume=True).run()
    (broken / "checkpoint.pt").write_bytes(earlier["checkpoint.pt"])
    if crash == "between the files":
        (broken / "model.pt").write_bytes(earlier["model.pt"])
    Training(broken, RATES, resume=True).run()
    assert values(broken) == values(tmp_path / "whole")


def test_a_checkpoint_elsewhere_brings_its_weights_along(tmp_path):
    """The folder held another run's; no epoch that is left beats the best one of the run that is continued."""
    first = Training(tmp_path / "first", RATES[:3]).run()
    Training(tmp_path / "second", [0.01], seed=1).run()
    other = contents(tmp_path / "second")
    Training(tmp_path / "second", RATES, ckpt_path=str(tmp_path / "first" / "checkpoint.pt")).run()
    assert kept(tmp_path / "second") == kept(tmp_path / "first") == first.biases[1]
    assert contents(tmp_path / "second" / "earlier-1") == other


def test_a_checkpoint_without_its_weights_lets_the_next_validation_be_the_best(tmp_path):
    Training(tmp_path / "first", RATES[:3]).run()
    for name in FILES - {"checkpoint.pt"}:
        (tmp_path / "first" / name).unlink()
    Training(tmp_path / "second", [0.01], seed=1).run()
    checkpoint = str(tmp_path / "first" / "checkpoint.pt")
    training = Training(tmp_path / "second", RATES, ckpt_path=checkpoint).run()
    assert kept(tmp_path / "second") == training.biases[-1]
    with pytest.raises(InputError, match="nothing was left to do, but the weights of its epoch 2 are not there"):
        Training(tmp_path / "third", RATES[:3], ckpt_path=checkpoint).run()


def test_a_checkpoint_that_does_not_fit_moves_nothing(tmp_path):
    Training(tmp_path, RATES[:2]).run()
    before = contents(tmp_path)
    with pytest.raises(InputError, match="found 2 epochs, expected at most max_epochs 1"):
        Training(tmp_path, [0.05], resume=True).run()
    torch.save({"stage": "cascade", "epoch": 1, "objects": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="found no state of 'network'"):
        Training(tmp_path, RATES, ckpt_path=str(tmp_path / "other.pt")).run()
    (tmp_path / "other.pt").unlink()
    assert contents(tmp_path) == before
    assert not (tmp_path / "earlier-1").exists()


def test_weights_that_another_process_put_there_meanwhile_are_not_reported(tmp_path):
    Training(tmp_path / "other", [0.01], seed=1).run()
    training = Training(tmp_path / "own", [0.05])

    @training.evaluator.on(Events.COMPLETED)
    def intrude(engine):
        for name, content in contents(tmp_path / "other").items():
            (tmp_path / "own" / name).write_bytes(content)

    with pytest.raises(InputError, match="found weights of another run, expected those of epoch 1"):
        training.run()


def test_an_error_in_the_first_epoch_tells_where_the_earlier_weights_are(tmp_path, caplog):
    Training(tmp_path, [0.05]).run()
    training = Training(tmp_path, [0.05])
    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.run()
    assert f"this run wrote no weights; those of an earlier run are in {tmp_path / 'earlier-1'}" in caplog.text


@pytest.mark.parametrize("where", ["network", "task"])
def test_weights_that_are_not_finite_are_written_nowhere(tmp_path, where):
    """Validation does not see the recognition network; its weights are in both files all the same."""
    Training(tmp_path, [0.05]).run()
    before = contents(tmp_path)
    training = Training(tmp_path, [0.05, 0.05], resume=True)

    @training.trainer.on(Events.ITERATION_COMPLETED)
    def spoil(engine):
        if engine.state.iteration == 6:
            network = training.system.network if where == "network" else training.system.tasks[0].network
            network[-1].bias.data[0] = math.nan

    message = {"network": r"network.2.bias: found values that are not finite, in epoch 2, iteration 6, images image_2_",
               "task": "recognition.pt.class.3.bias: found a weight that is not finite, after epoch 2"}
    with pytest.raises(NonFiniteError, match=message[where]):
        training.run()
    assert contents(tmp_path) == before


def test_provenance_of_a_crash_in_between_does_not_pass_for_older_weights(tmp_path, monkeypatch):
    training = Training(tmp_path, [0.05, 0.05])
    saved = weights.save

    def fail(content, path):
        if Path(path).name == "model.pt" and training.trainer.state.epoch == 2:
            raise OSError("disk full")
        saved(content, path)

    monkeypatch.setattr(weights, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        training.run()
    assert provenance.read(tmp_path)["best_validation"]["epoch"] == 2
    assert kept(tmp_path) == training.biases[0]
