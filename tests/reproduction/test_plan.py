"""What is about to run, and how long it may take."""

import json

import pytest

from shared.reproduction.model import Run
from shared.reproduction.plan import Estimate, Job, describe, duration, jobs
from shared.reproduction.runs import Runner

BASE = Run("gradprom_isic", {"strategy": "gradprom", "sigma": 0.1})
OTHER = Run("gradprom_isic", {**BASE.overrides, "test_dataset": "lizard"}, kind="evaluation", trained=BASE)
NONE = Run("gradprom_isic", {"strategy": "none", "sigma": 0.1})


def test_jobs_are_unique_seed_by_seed_and_trained_before_they_are_evaluated():
    expected = [Job(run, seed) for seed in (0, 1) for run in (BASE, OTHER, NONE)]
    assert jobs([OTHER, NONE, BASE, NONE], (0, 1)) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (7140, "119 min"), (7500, "2 h 5 min"), (180000, "2 days 2 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_done_runs_tell_the_time_of_those_alike(bundles, tmp_path, monkeypatch):
    runner = Runner(tmp_path)
    runner.make(BASE, 0)
    monkeypatch.setattr(Estimate, "_timed", lambda self, run: 1000.0)
    estimate = Estimate(runner, [Job(BASE, 0), Job(NONE, 0)])
    assert estimate.seconds(BASE.with_overrides(sigma=0.3, weight=1)) == runner.record(BASE, 0)["seconds"]
    assert estimate.seconds(BASE.with_overrides(strategy="upgrad")) == runner.record(BASE, 0)["seconds"]
    assert estimate.seconds(NONE) == 1000
    assert estimate.seconds(BASE.with_overrides(backbone="resnet101")) == 1000


def test_one_run_with_a_stage_a_of_its_own_does_not_change_the_estimate(bundles, tmp_path):
    runner = Runner(tmp_path)
    for seed, seconds in enumerate((900.0, 100.0, 110.0)):
        runner.make(BASE, seed)
        path = runner.folder(BASE, seed) / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": seconds}))
    assert Estimate(runner, jobs([BASE], (0, 1, 2))).seconds(BASE) == 110


def test_description_holds_state_and_command(bundles, tmp_path):
    runner = Runner(tmp_path)
    first, second = describe(Job(OTHER, 0), runner, 120).split("\n")
    assert first.startswith("[about 2 min] gradprom_isic-")
    assert "run evaluating" in second
    assert f"--ckpt_dir {runner.folder(BASE, 0)}/models" in second
    runner.make(BASE, 0)
    assert describe(Job(BASE, 0), runner, None).startswith("[done]")


@pytest.mark.slow
def test_a_step_is_timed_where_nothing_was_done(tmp_path):
    overrides = {"strategy": "gradprom", "profile": "cpu", "max_epochs": 2, "crop_size": 32}
    seconds = Estimate(Runner(tmp_path), []).seconds(Run("gradprom_mni152", overrides))
    assert 2 * 52 * 0.005 < seconds < 2 * 52 * 20
