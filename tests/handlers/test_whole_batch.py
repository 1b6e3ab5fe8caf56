"""MONAI's own handlers on a trainer that does not take batches apart."""

from __future__ import annotations

import re

import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.handlers import StatsHandler, from_engine

from shared.handlers import WholeBatch
from tests.handlers.reference import batches, enhancement_network


def trained(*handlers) -> SupervisedTrainer:
    network = enhancement_network()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=1, train_data_loader=batches(2), network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1), loss_function=torch.nn.MSELoss(),
        train_handlers=list(handlers), decollate=False,
    )
    trainer.run()
    return trainer


def test_the_loss_is_found_as_mlflow_and_stats_handlers_look_for_it(capsys):
    loss = from_engine(["loss"], first=True)
    trainer = trained(WholeBatch(), StatsHandler(output_transform=loss))
    assert float(loss(trainer.state.output)) > 0
    assert len(re.findall(r"Iter: \d/2 -- Loss: 0\.\d+", capsys.readouterr().out)) == 2
    assert trainer.state.output[0]["pred"].shape[0] == 2  # the batch is whole


def test_without_it_they_fail():
    with pytest.raises((TypeError, KeyError)):
        float(from_engine(["loss"], first=True)(trained().state.output))
