"""Batch-norm statistics are those of what the trainer computes; oracle: mean and variance over all pixels, by hand."""

import pytest
import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import PrepareBatch
from monai.inferers import Inferer
from torch import nn

from shared.handlers import GradPromHandler
from shared.handlers.batch_statistics import RenewBatchStatistics
from shared.recognition.ensemble import RecognitionEnsemble
from tests.handlers.reference import System, batches


def trainer_of(network, data, handlers=(), **options) -> SupervisedTrainer:
    return SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=network, loss_function=nn.MSELoss(),
        optimizer=torch.optim.SGD(network.parameters(), lr=0.01), train_handlers=list(handlers), **options,
    )


def evaluator_of(network) -> SupervisedEvaluator:
    return SupervisedEvaluator(device="cpu", val_data_loader=batches(1, dtype=torch.float32), network=network)


def check(norm: nn.BatchNorm2d, images: list[torch.Tensor]) -> None:
    """The average over batches, each of which counts alike."""
    mean = torch.stack([image.mean() for image in images]).mean()
    variance = torch.stack([image.var() for image in images]).mean()
    torch.testing.assert_close(norm.running_mean, mean[None])
    torch.testing.assert_close(norm.running_var, variance[None])


def test_batch_statistics_are_those_of_enhanced_training_images():
    """Nothing before VR's first step; at each validation from then on."""
    system = System(dtype=torch.float32)
    task = system.tasks[0]
    norm = nn.BatchNorm2d(1)
    task.network = nn.Sequential(norm, task.network).eval()
    task.optimizer = torch.optim.SGD(task.network.parameters(), lr=0.01)
    data = batches(6, dtype=torch.float32)
    handler = GradPromHandler(system.tasks)
    evaluator = evaluator_of(system.network)
    renew = RenewBatchStatistics(RecognitionEnsemble(system.tasks), evaluator, handler, batches=5)
    renew.attach(trainer_of(system.network, data))
    evaluator.run()
    assert torch.equal(norm.running_mean, torch.zeros(1))
    handler.statistics.totals["class"]["steps"] = 1
    system.network.train()
    norm.momentum = 0.3
    evaluator.run()
    assert norm.momentum == 0.3
    with torch.no_grad():
        check(norm, [system.network(batch["image"]) for batch in data[:5]])


@pytest.mark.parametrize("mode", [True, False])
def test_both_networks_stay_in_their_modes(mode):
    network, looking = nn.Sequential(nn.BatchNorm2d(1)).train(mode), nn.Sequential(nn.BatchNorm2d(1)).train(not mode)
    RenewBatchStatistics(looking)(trainer_of(network, batches(2, dtype=torch.float32)))
    assert [network.training, network[0].training] == [mode, mode]
    assert [looking.training, looking[0].training] == [not mode, not mode]
    # The trainer's own was only looked through.
    assert torch.equal(network[0].running_mean, torch.zeros(1))


class TakeNoisy(PrepareBatch):
    """A batch in which nothing has its usual name."""

    def __call__(self, batchdata, device=None, non_blocking=False, **kwargs):
        noisy, clean = batchdata
        return noisy.to(device), clean.to(device), (2.0,), {"offset": 1.0}


class Double(Inferer):
    """An inferer that changes what comes out."""

    def __call__(self, inputs, network, factor, offset):
        return {"image": 2 * network(inputs)["image"] * factor + offset}


class InDictionary(nn.Module):
    """A network whose prediction is one of several things."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, image):
        return {"image": self.scale * self.norm(image)}


def test_what_the_network_looks_at_is_what_the_trainer_computes():
    """The trainer's batches, preparation, inferer with its arguments, and a prediction in a dictionary."""
    data = [(batch["image"], batch["label"]) for batch in batches(3, dtype=torch.float32)]
    network, norm = InDictionary(), nn.BatchNorm2d(1)
    trainer = trainer_of(network, data, prepare_batch=TakeNoisy(), inferer=Double())
    RenewBatchStatistics(norm, prediction_key="image")(trainer)
    network.eval()
    with torch.no_grad():
        check(norm, [4 * network(image)["image"] + 1 for image, _ in data])


def test_the_trainers_own_network_once_at_the_end():
    """Like the encoder that HQG-Net trains first: its statistics are those of its own input."""
    data = batches(4, dtype=torch.float32)
    network = nn.Sequential(nn.BatchNorm2d(1, momentum=0.9), nn.Conv2d(1, 1, 1))
    trainer = trainer_of(network, data, [RenewBatchStatistics(batches=3)])
    trainer.run()
    assert network.training
    check(network[0], [batch["image"] for batch in data[:3]])


def test_no_batches():
    with pytest.raises(ValueError, match="batches: expected at least 1, found 0"):
        RenewBatchStatistics(nn.BatchNorm2d(1), batches=0)
