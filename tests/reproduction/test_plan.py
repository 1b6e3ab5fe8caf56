"""What is about to run, and how long it may take."""

import json

import pytest

from shared.reproduction import plan
from shared.reproduction.description import Run
from shared.reproduction.papers.gradprom.tables import RECOGNITION, trained
from shared.reproduction.plan import Estimate, Job, describe, duration, jobs, stages
from shared.reproduction.runs import Runner
from shared.reproduction.timing import Seconds

BASE = trained("gradprom_isic", "diagnosis", "gradprom", sigma=0.1)
OTHER = BASE.evaluated(test_dataset="lizard")
NONE = trained("gradprom_isic", "diagnosis", "none", sigma=0.1)


def test_jobs_are_unique_seed_by_seed_and_trained_before_they_are_evaluated():
    expected = [Job(run, seed) for seed in (0, 1) for run in (BASE, OTHER, NONE)]
    assert jobs([OTHER, NONE, BASE, NONE], (0, 1)) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (7140, "119 min"), (7500, "2 h 5 min"), (180000, "2 days 2 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def steps(monkeypatch) -> list[Run]:
    """Runs that are measured; one takes 1000 s and its first stage 50 s, whatever it is."""
    measured: list[Run] = []

    def measure(run, overrides):
        measured.append(run)
        return Seconds({stage.name: 50.0 for stage in run.shares}, 1000.0)

    monkeypatch.setattr(plan, "measure", measure)
    return measured


def test_done_runs_tell_the_time_of_those_alike(bundles, steps, tmp_path):
    runner = Runner(tmp_path)
    for seed, seconds in enumerate((900.0, 100.0, 110.0)):
        runner.make(BASE, seed)
        for folder in (runner.folder(BASE, seed), runner.stage_folder(BASE, RECOGNITION, seed)):
            record = json.loads((folder / "run.json").read_text())
            (folder / "run.json").write_text(json.dumps(record | {"seconds": seconds + len(record)}))
    sizes = [len(record) for record in (runner.record(BASE, 0), runner.stage_record(BASE, RECOGNITION, 0))]
    estimate = Estimate(runner, jobs([BASE], (0, 1, 2)))
    other = BASE.with_overrides(sigma=0.3, weight=1)
    assert (estimate.seconds(other), estimate.stage_seconds(other, RECOGNITION)) == (110 + sizes[0], 110 + sizes[1])
    assert steps == []


def test_of_those_alike_one_is_measured(bundles, steps, tmp_path):
    runner = Runner(tmp_path)
    runner.make(BASE, 0)
    estimate = Estimate(runner, [Job(BASE, 0), Job(NONE, 0)])
    for _ in range(2):
        assert estimate.seconds(NONE) == estimate.seconds(NONE.with_overrides(sigma=0.3)) == 1000
    assert steps == [NONE]
    larger = BASE.with_overrides(backbone="resnet101")
    assert (estimate.seconds(larger), estimate.stage_seconds(larger, RECOGNITION)) == (1000, 50)
    assert steps == [NONE, larger]


def test_what_runs_share_is_counted_once():
    found = stages(jobs([OTHER, BASE, NONE, BASE.with_overrides(backbone="resnet101")], (0, 1)))
    assert [(first.overrides.get("backbone"), seed) for first, seed in found] == [
        (None, 0), ("resnet101", 0), (None, 1), ("resnet101", 1)]


def test_description_holds_state_and_command(bundles, tmp_path):
    runner = Runner(tmp_path)
    first, second = describe(Job(OTHER, 0), runner, 120).split("\n")
    assert first.startswith("[about 2 min] gradprom_isic-")
    assert "run evaluating" in second
    assert f"--ckpt_dir {runner.folder(BASE, 0)}/models" in second
    runner.make(BASE, 0)
    assert describe(Job(BASE, 0), runner, None).startswith("[done]")
