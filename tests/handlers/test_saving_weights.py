"""Which weights a run keeps and reports, with real engines; those of other runs are never taken for its own."""

import json
import logging
import math
import os
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from monai.bundle import ConfigParser
from monai.data import decollate_batch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler, from_engine
from monai.handlers.regression_metrics import PeakSignalToNoiseRatio
from torch import nn

from shared.bundle import provenance
from shared.errors import InputError
from shared.handlers import GradPromHandler, LoadWeights, NonFiniteError, ResumableCheckpoint, SaveWeights
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
        files = {"model.pt": self.system.network, "recognition.pt": RecognitionEnsemble(self.system.tasks).networks}
        self.best = SaveWeights(str(folder), files, origin)
        metric = PeakSignalToNoiseRatio(max_val=1.0, output_transform=from_engine(["pred", "label"]))
        self.evaluator = SupervisedEvaluator(
            device="cpu", val_data_loader=self.validation, network=self.system.network,
            key_val_metric={"psnr": metric}, val_handlers=[self.best],
        )
        gate = GradPromHandler(self.system.tasks)
        objects = {"network": self.system.network, "optimizer": self.system.optimizer, "gradprom": gate}
        checkpoint = ResumableCheckpoint(
            str(folder), "cascade", objects, resume=resume, ckpt_path=ckpt_path, evaluator=self.evaluator,
            weights=self.best,
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

        self.load = LoadWeights(str(folder), files, "bundles/x")

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


def test_the_best_epoch_is_kept(tmp_path):
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
    with caplog.at_level(logging.INFO, "shared.handlers.saving_weights"):
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


@pytest.mark.parametrize("moment", ["while it writes", "while files take their places"])
def test_a_failure_replaces_no_file_or_leaves_a_provenance_that_does_not_pass_for_older_weights(
    tmp_path, monkeypatch, moment
):
    """The second epoch's recognition.pt cannot be written, or not take its place."""
    Training(tmp_path, [0.05]).run()
    before = contents(tmp_path)
    training = Training(tmp_path, [0.05, 0.05], resume=True)
    module, name = (torch, "save") if moment == "while it writes" else (os, "replace")
    original = getattr(module, name)

    def fail(source, target, **options):
        if Path(getattr(target, "name", target)).name.endswith("recognition.pt"):
            raise OSError(28, "No space left on device")
        original(source, target, **options)

    monkeypatch.setattr(module, name, fail)
    with pytest.raises(InputError, match=rf"^{tmp_path}: weights cannot be written: No space left on device$"):
        training.run()
    after = contents(tmp_path)
    changed = {name for name in before if after[name] != before[name]}
    assert after.keys() == before.keys()
    assert changed == (set() if moment == "while it writes" else {"provenance.json", "model.pt"})
    if changed:
        assert provenance.read(tmp_path)["best_validation"]["epoch"] == 2


class Last:
    """A run without validation that keeps the last weights of two networks and of an average."""

    def __init__(self, folder: Path, epochs=2, resume=False, listed=True, stage="only", stages=("only",)):
        self.system = System(kinds=("class", "mask"))
        average = EMAHandler(self.system.network, momentum=0.5)
        self.average = average.ema_model
        self.tasks = {task.name: task.network for task in self.system.tasks}
        self.files = {"model.pt": self.average, "recognition.pt": self.tasks, "discriminator.pt": None}
        self.keeps = SaveWeights(str(folder), self.files, ORIGIN, "last")
        checkpoint = ResumableCheckpoint(
            str(folder), stage, {"network": self.system.network, "average": self.average}, stages, resume,
            weights=self.keeps,
        )
        self.trainer = SupervisedTrainer(
            device="cpu", max_epochs=epochs, train_data_loader=batches(3), network=self.system.network,
            optimizer=self.system.optimizer, loss_function=nn.MSELoss(),
            train_handlers=[*([self.keeps] if listed else []), checkpoint],
        )
        average.attach(self.trainer)


def test_the_last_weights_of_any_set_of_networks(tmp_path):
    """Without validation; a network that the run has not is passed over, but an earlier run's is moved aside."""
    (tmp_path / "discriminator.pt").write_text("old")
    training = Last(tmp_path)
    training.trainer.run()
    assert contents(tmp_path).keys() == FILES
    assert (tmp_path / "earlier-1" / "discriminator.pt").read_text() == "old"
    assert json.loads((tmp_path / "provenance.json").read_text()) == ORIGIN
    assert kept(tmp_path) == float(training.average[0].bias[0]) != float(training.system.network[0].bias[0])
    other = Last(tmp_path / "other")
    for network in (other.average, *other.tasks.values()):
        for parameter in network.parameters():
            parameter.data.zero_()
    LoadWeights(str(tmp_path), {**other.files, "provenance.json": None})()
    LoadWeights(str(tmp_path), {"recognition.pt": nn.ModuleDict({"mask": other.tasks["mask"]})})()
    for name, network in {"": other.average, **other.tasks}.items():
        expected = training.tasks[name] if name else training.average
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected.parameters(), strict=True))


def test_a_run_that_keeps_the_last_weights_goes_on_and_ends_with_those_of_an_undisturbed_run(tmp_path):
    Last(tmp_path / "whole", 3).trainer.run()
    Last(tmp_path / "broken", 2).trainer.run()
    Last(tmp_path / "broken", 3, resume=True).trainer.run()
    assert state(tmp_path / "broken" / "model.pt") == state(tmp_path / "whole" / "model.pt")
    before = values(tmp_path / "broken")
    Last(tmp_path / "broken", 3, resume=True).trainer.run()
    assert values(tmp_path / "broken") == before


def test_last_weights_that_are_not_finite_are_written_nowhere(tmp_path):
    training = Last(tmp_path)
    training.tasks["mask"][-1].bias.data[0] = math.inf
    with pytest.raises(NonFiniteError, match="recognition.pt.mask.2.bias: found a weight that is not finite, after ep"):
        training.trainer.run()
    assert contents(tmp_path).keys() == {"checkpoint.pt"}


def test_last_weights_that_nobody_writes(tmp_path):
    with pytest.raises(ValueError, match="expected it among the trainer's handlers, before the checkpoint"):
        Last(tmp_path, listed=False).trainer.run()


def test_last_weights_are_not_those_of_a_stage_that_was_not_restored(tmp_path):
    stages = ("first", "second")
    Last(tmp_path / "a", stage="second", stages=stages).trainer.run()
    before = contents(tmp_path / "a")
    with pytest.raises(InputError, match="found a checkpoint of stage 'second', expected one of 'first'"):
        Last(tmp_path / "a", stage="first", stages=stages, resume=True).trainer.run()
    assert contents(tmp_path / "a") == before


def test_weights_of_part_of_the_networks_stay_apart_from_others(tmp_path):
    files = {"recognition.pt": RecognitionEnsemble(System().tasks).networks}
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"model\.pt: found an enhancement network, which recognition\.pt alone must "
                       "not be mixed with; give another folder by --ckpt_dir"):
        SaveWeights(str(tmp_path), files, ORIGIN, "last")
    (tmp_path / "model.pt").unlink()
    (tmp_path / "recognition.pt").touch()
    provenance.write_json({"phantom": False}, tmp_path / "provenance.json")
    with pytest.raises(InputError, match=r"recognition\.pt: found weights trained on real data"):
        SaveWeights(str(tmp_path), files, ORIGIN, "last")
    SaveWeights(str(tmp_path), files, {"phantom": False}, "last")


def test_arguments_that_nobody_could_mean(tmp_path):
    with pytest.raises(ValueError, match="keep: expected one of .*'best', 'last'.*, found 'all'"):
        SaveWeights(str(tmp_path), {"model.pt": nn.Linear(1, 1)}, ORIGIN, "all")
    with pytest.raises(ValueError, match="files: expected at least one, found none"):
        SaveWeights(str(tmp_path), {}, ORIGIN)


def test_missing_weights_name_a_command_or_what_else_to_do(tmp_path):
    files = {"model.pt": nn.Linear(1, 1)}
    with pytest.raises(InputError, match=r"model.pt: no such file; .*training --config_file bundles/x/configs/train"):
        LoadWeights(str(tmp_path), files, "bundles/x")()
    with pytest.raises(InputError, match="model.pt: no such file; run training with the same overlays first"):
        LoadWeights(str(tmp_path), files)()


def test_both_are_written_in_a_configuration(tmp_path):
    """File names hold a point, which must not be read as part of an id; the same networks are meant in both."""
    parser = ConfigParser({
        "network": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
        "files": {"model.pt": "@network", "recognition.pt": {"class": "@network"}, "discriminator.pt": None},
        "save": {"_target_": "shared.handlers.SaveWeights", "folder": str(tmp_path), "files": "@files",
                 "origin": {"phantom": True}, "keep": "last"},
        "load": {"_target_": "shared.handlers.LoadWeights", "folder": str(tmp_path), "files": "@files"},
    })
    save, load, network = (parser.get_parsed_content(name) for name in ("save", "load", "network"))
    save(Engine(lambda engine, batch: None))
    before = float(network.weight.detach())
    network.weight.data.add_(1)
    load()
    assert float(network.weight.detach()) == before
    assert contents(tmp_path).keys() == FILES - {"checkpoint.pt"}


class ImageAndNoise(nn.Module):
    """Gives two images; the second is not finite where the input is negative."""

    def forward(self, image):
        return {"image": image, "noise": image.clamp(min=-1).add(1).log()}


@pytest.mark.parametrize("decollate", [True, False])
def test_of_a_prediction_of_several_images_all_have_to_be_finite(tmp_path, caplog, decollate):
    data = [{"image": torch.ones(2, 1, 2, 2), "label": torch.zeros(2, 1, 2, 2), "id": ["a", "b"]}]

    def images(output):
        items = output if isinstance(output, list) else decollate_batch(output)
        return [item["pred"]["image"] for item in items], [item["label"] for item in items]

    evaluator = SupervisedEvaluator(
        device="cpu", val_data_loader=data, network=ImageAndNoise(), decollate=decollate,
        key_val_metric={"psnr": PeakSignalToNoiseRatio(max_val=1.0, output_transform=images)},
        val_handlers=[SaveWeights(str(tmp_path), {"model.pt": nn.Linear(1, 1)}, ORIGIN)],
    )
    data[0]["image"][1] = -1.0
    evaluator.run(1)
    assert caplog.messages[-1] == "validation of epoch 1 does not count: enhanced images are not finite: b"
    assert not (tmp_path / "model.pt").exists()
    data[0]["image"][1] = 0.5
    evaluator.run(2)
    assert (tmp_path / "model.pt").exists()
