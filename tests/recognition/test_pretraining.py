"""Stage (a) as one component, against a loop written the plainest way."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from ignite.engine import Events
from monai.data import Dataset
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import RandomSampler

from shared.data.samplers import Share
from shared.errors import InputError
from shared.recognition import RecognitionTask
from shared.recognition.ensemble import RecognitionEnsemble
from shared.recognition.pretraining import Pretraining, run_alone
from tests.handlers.reference import CLASSES, diagnosis_network

IMAGES, BATCH, EPOCHS, RATE = 7, 2, 3, 0.01
STEPS = EPOCHS * (IMAGES // BATCH)


def ensemble() -> RecognitionEnsemble:
    task = RecognitionTask(diagnosis_network(), nn.CrossEntropyLoss(), None, "class", 1.0, "diagnosis")
    return RecognitionEnsemble([task])


def items() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    result = []
    for k in range(IMAGES):
        clean = torch.rand(1, 8, 7, generator=generator, dtype=torch.float64)
        result.append({"id": f"image_{k}", "label": clean, "image": clean / 2, "class": k % CLASSES})
    return result


def pretraining(folder: Path, **arguments: Any) -> Pretraining:
    values: dict[str, Any] = {
        "network": ensemble(), "dataset": Dataset(items()), "batch_size": BATCH, "max_epochs": EPOCHS,
        "learning_rate": RATE, "device": torch.device("cpu"), "seed": 0, "ckpt_dir": str(folder / "models"),
        "output_dir": str(folder / "eval"), **arguments,
    }
    return Pretraining(**values)


def drawn(stage: Pretraining) -> list[list[str]]:
    """The ids of each batch of the run that follows."""
    seen: list[list[str]] = []
    stage.trainer.add_event_handler(
        Events.ITERATION_STARTED, lambda: seen.append(stage.trainer.state.batch["id"])  # type: ignore[attr-defined]
    )
    return seen


def by_hand(batches: list[list[str]], key: str) -> nn.Module:
    """Adam by formula, and the cosine of one cycle by formula: from 1/25 of the rate, up within 30 %, down to 4e-6."""
    network, found = diagnosis_network(), {item["id"]: item for item in items()}
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in network.parameters()]
    for step, ids in enumerate(batches):
        images = torch.stack([found[i][key] for i in ids])
        loss = F.cross_entropy(network(images), torch.tensor([found[i]["class"] for i in ids]))
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        rise = 0.3 * STEPS - 1
        low, high, along = (RATE / 25, RATE, step / rise) if step <= rise else (
            RATE, RATE / 25e4, (step - rise) / (STEPS - 1 - rise))
        rate = high + (low - high) / 2 * (1 + torch.cos(torch.tensor(torch.pi * along, dtype=torch.float64)))
        for p, g, (m, v) in zip(network.parameters(), gradients, moments, strict=True):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g * g)
            scale = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
            p.data -= rate * (m / scale[0]) / ((v / scale[1]).sqrt() + 1e-8)
    return network


@pytest.mark.parametrize("images", ["label", "image"])
def test_equals_a_loop_written_by_hand(tmp_path, images):
    stage = pretraining(tmp_path, images=images)
    batches = drawn(stage)
    stage.run()
    assert [len(ids) for ids in batches] == [BATCH] * STEPS
    assert batches[:3] != batches[3:6], "another order in each epoch"
    ours, other = stage.network.networks["diagnosis"], {"label": "image", "image": "label"}[images]
    networks = ours, by_hand(batches, images), by_hand(batches, other)
    for a, b, c in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        assert not torch.allclose(a, c, rtol=0, atol=1e-6)


def test_writes_what_tells_of_it(tmp_path):
    pretraining(tmp_path).run()
    with open(tmp_path / "eval" / "history_recognition.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list((tmp_path / "eval" / "tensorboard").iterdir())
    content = torch.load(tmp_path / "models" / "checkpoint.pt", weights_only=True)
    assert (content["stage"], content["epoch"]) == ("recognition", EPOCHS)
    assert content["objects"].keys() == {"network", "optimizer", "lr_scheduler", "epoch_log"}


def test_continues_as_if_it_had_not_been_stopped(tmp_path):
    whole = pretraining(tmp_path / "whole")
    whole.run()
    stopped = pretraining(tmp_path / "parts")
    stopped.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: stopped.trainer.terminate())
    stopped.run()
    resumed = pretraining(tmp_path / "parts", resume=True)
    batches = drawn(resumed)
    resumed.run()
    assert len(batches) == STEPS // EPOCHS
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_orders(tmp_path):
    stage = pretraining(tmp_path, shuffle=False, max_epochs=1)
    batches = drawn(stage)
    stage.run()
    assert sum(batches, []) == [f"image_{k}" for k in range(6)]
    data = Dataset(items())
    stage = pretraining(tmp_path, dataset=data, sampler=RandomSampler(data, num_samples=12), max_epochs=1)
    batches = drawn(stage)
    stage.run()
    assert len(batches) == 6


def test_handlers_of_ones_own_come_last(tmp_path):
    class Look:
        def attach(self, engine) -> None:
            engine.add_event_handler(Events.COMPLETED, self)

        def __call__(self, engine) -> None:
            self.found = (tmp_path / "models" / "checkpoint.pt").is_file(), engine.state.epoch

    look = Look()
    pretraining(tmp_path, handlers=[look]).run()
    assert look.found == (True, EPOCHS)


def test_needs_a_batch_of_images(tmp_path):
    with pytest.raises(InputError, match="batch_size: expected at most the number of training images, found 7"):
        pretraining(tmp_path, batch_size=8)


def test_alone_it_needs_labels(tmp_path):
    with pytest.raises(InputError, match="recognition alone: the data have no labels"):
        run_alone(None)
    stage = pretraining(tmp_path)
    run_alone(stage)
    assert stage.trainer.state.epoch == EPOCHS


@pytest.fixture
def group(tmp_path) -> Any:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_in_a_group_each_process_has_its_share_and_the_networks_are_parallel(tmp_path):
    stage = pretraining(tmp_path)
    assert isinstance(stage.trainer.network, DistributedDataParallel)
    assert stage.trainer.network.module is stage.network
    assert isinstance(stage.trainer.data_loader.sampler, Share)
    batches = drawn(stage)
    stage.run()
    networks = stage.network.networks["diagnosis"], by_hand(batches, "label")
    for a, b in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    state = torch.load(tmp_path / "models" / "checkpoint.pt", weights_only=True)["objects"]["network"]
    assert state.keys() == stage.network.state_dict().keys()
