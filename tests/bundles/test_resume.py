import itertools
import signal
import time
from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedTrainer

from tests.bundles.commands import ROOT, SMOKE, TINY, arguments, call, start, succeed_here

BUNDLE = ROOT / "bundles" / "gradprom_isic"


def flat(state, prefix=""):
    """All leaves of a nested state, by their path."""
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else None
    if items is None:
        return {prefix: state}
    return {k: v for name, value in items for k, v in flat(value, f"{prefix}/{name}").items()}


def assert_same(a: Path, b: Path) -> None:
    ours, theirs = (flat(torch.load(path, weights_only=True)) for path in (a, b))
    assert ours.keys() == theirs.keys()
    different = [
        key for key, value in ours.items()
        if not (torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor)
                else value == theirs[key] or value != value and theirs[key] != theirs[key])
    ]
    assert different == []


def kill_after(words: list[str], history: Path, epoch: int, cwd: Path) -> None:
    """Start a run, and kill it without warning a moment into the epoch after ``epoch``."""
    process = start(words, cwd=cwd)
    deadline = time.monotonic() + 300
    while not (history.exists() and f"\n{epoch}," in history.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()


class Killed(BaseException):
    """What no handler catches."""


def stop_at(words: list[str], step: int) -> None:
    """Run in this process, and end it before a training step, counted over all stages."""
    iteration, steps = SupervisedTrainer._iteration, itertools.count(1)

    def deadly(*arguments):
        if next(steps) == step:
            raise Killed
        return iteration(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedTrainer, "_iteration", deadly)
        with pytest.raises(Killed):
            call(words)


def epochs(history: Path) -> list[str]:
    return [line.split(",")[0] for line in history.read_text().splitlines()[1:]] if history.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_run_continues_bit_for_bit(tmp_path, workers):
    """Ended in the recognition stage and again in the cascade, with augmentation on.

    With workers it is the system that ends it, and the working directory lies outside the repository.
    """
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    recognition, cascade = (broken / "eval" / f"history{name}.csv" for name in ("_recognition", ""))
    succeed_here(arguments(BUNDLE, whole, "train.json", SMOKE, TINY, num_workers=workers, warmup=0))
    words = arguments(BUNDLE, broken, "train.json", SMOKE, TINY, num_workers=workers, warmup=0)
    again = [*words, "--resume", "true"]
    if workers:
        kill_after(words, recognition, 1, cwd=tmp_path)
        assert not (broken / "models" / "model.pt").exists()
        kill_after(again, cascade, 1, cwd=tmp_path)
    else:
        # Of two stages of 2 and 3 epochs of two steps each: within the second epoch of either.
        stop_at(words, 4)
        assert (epochs(recognition), epochs(cascade)) == (["1"], [])
        stop_at(again, 6)
        assert (epochs(recognition), epochs(cascade)) == (["1", "2"], ["1"])
    output = succeed_here(again)
    assert "resumes after epoch" in output
    for name in ("checkpoint.pt", "model.pt", "recognition.pt"):
        assert_same(whole / "models" / name, broken / "models" / name)
    for name in ("history_recognition.csv", "history.csv", "per_image.csv"):
        assert (whole / "eval" / name).read_text() == (broken / "eval" / name).read_text()


@pytest.mark.slow
def test_another_seed_gives_another_run(tmp_path):
    """What makes the test above mean something: the comparison can fail."""
    names = ("train.json", SMOKE, TINY)
    for seed in (0, 1):
        words = arguments(BUNDLE, tmp_path / str(seed), *names, max_epochs=1, pretrain_epochs=1, warmup=0, seed=seed)
        succeed_here(words)
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "0" / "models" / "model.pt", tmp_path / "1" / "models" / "model.pt")
