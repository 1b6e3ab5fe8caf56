"""A run without recognition networks: what cascades are made of works with none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.data import Dataset
from torch import nn

from shared.errors import InputError
from shared.handlers import SaveWeights
from shared.handlers.batch_statistics import RenewBatchStatistics
from shared.recognition.ensemble import RecognitionEnsemble
from shared.recognition.pretraining import Pretraining
from shared.recognition.tasks import build_tasks
from shared.reporting import EnhancementReport
from tests.handlers.reference import batches, enhancement_network
from tests.handlers.test_batch_statistics import evaluator_of, trainer_of
from tests.reporting.evaluation import evaluate, make_items


def test_no_task_is_built():
    assert build_tasks({}, "none", "none") == []


@pytest.mark.parametrize("strategy", ["gradprom", "joint", "frozen"])
def test_a_strategy_needs_a_task(strategy):
    with pytest.raises(InputError, match=f"strategy: found '{strategy}', which needs a .*, but auxiliary is 'none'"):
        build_tasks({}, "none", strategy)


def test_the_networks_of_a_run_may_be_none():
    ensemble = RecognitionEnsemble([])
    assert ensemble(torch.rand(2, 1, 8, 8)) == {}
    assert ensemble.state_dict() == {}
    ensemble.load_state_dict({})


def test_stage_a_has_nothing_to_train(tmp_path: Path):
    with pytest.raises(InputError, match="auxiliary: found 'none', expected a recognition network"):
        Pretraining(
            RecognitionEnsemble([]), Dataset([]), 1, 1, 0.01, torch.device("cpu"), 0, str(tmp_path), str(tmp_path)
        )


def test_no_weights_of_recognition_are_written(tmp_path: Path):
    """`networks or None` is what a configuration gives; the file of an earlier run goes with the others."""
    (tmp_path / "recognition.pt").touch()
    files = {"model.pt": enhancement_network(), "recognition.pt": RecognitionEnsemble([]).networks or None}
    weights = SaveWeights(str(tmp_path), files, {"phantom": True}, keep="last")
    weights.begin()
    trainer_of(enhancement_network(torch.float32), batches(1, dtype=torch.float32), [weights]).run()
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"model.pt", "provenance.json"}
    assert (tmp_path / "earlier-1" / "recognition.pt").is_file()


def test_there_are_no_batch_statistics_to_renew():
    network = nn.Sequential(nn.BatchNorm2d(1))
    evaluator = evaluator_of(network)
    RenewBatchStatistics(RecognitionEnsemble([]), evaluator).attach(
        trainer_of(network, batches(2, dtype=torch.float32))
    )
    evaluator.run()
    assert torch.equal(network[0].running_mean, torch.zeros(1))


def test_the_report_tells_of_image_quality_alone(tmp_path: Path):
    evaluate(EnhancementReport(tmp_path, build_tasks({}, "none", "none")), make_items(1, 37, 31))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["recognition"] == {}
    assert set(summary["image_quality"]) == {"degraded", "enhanced"}
