"""What a reproduction is about to run, and how long it may take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from monai.bundle import ConfigParser

from shared.reproduction.model import Run
from shared.reproduction.runs import Runner, command_line, config_files


@dataclass(frozen=True)
class Job:
    """One run with one seed."""

    run: Run
    seed: int


def jobs(runs: Iterable[Run], seeds: Sequence[int]) -> list[Job]:
    """Return every run once for each seed, all of a seed before the next, trained weights before their evaluation."""
    wanted: dict[Run, None] = {}
    for run in runs:
        if run.trained is not None:
            wanted.setdefault(run.trained)
        wanted.setdefault(run)
    return [Job(run, seed) for seed in seeds for run in wanted]


class Estimate:
    """Estimates seconds of runs: from done ones of the same bundle and size, else from one timed step.

    Args:
        runner: knows what is done.
        done: jobs to look for.
    """

    def __init__(self, runner: Runner, done: Sequence[Job]) -> None:
        self.runner = runner
        self.known: dict[tuple[Any, ...], list[float]] = {}
        for job in done:
            record = runner.record(job.run, job.seed)
            if record is not None:
                self.known.setdefault(_size(job.run), []).append(float(record["seconds"]))

    def seconds(self, run: Run) -> float:
        """Return the seconds of one run, without those of a stage (a) that others share.

        The first question about a size builds the bundle and takes one training step: seconds, or minutes where a
        step takes as long.
        """
        key = _size(run)
        if key not in self.known:
            self.known[key] = [0.0 if run.kind == "evaluation" else self._timed(run)]
        # The first run of several has a stage (a) in its time, one that was killed only what came after.
        return median(self.known[key])

    def _timed(self, run: Run) -> float:
        parser = ConfigParser(ConfigParser.load_config_files(config_files(run)))
        overrides = {**run.overrides, "seed": 0}
        if folder := self.runner.dataset_dir(run):
            overrides["dataset_dir"] = folder
        for key, value in overrides.items():
            parser[key] = value
        network, tasks = parser.get_parsed_content("network"), parser.get_parsed_content("tasks")
        device = parser.get_parsed_content("device")
        loader = parser.get_parsed_content("train#dataloader")
        batch = next(iter(loader))
        moved = {key: value.to(device) for key, value in batch.items() if isinstance(value, torch.Tensor)}
        began = time.monotonic()
        prediction = network(moved["image"])
        loss = torch.nn.functional.mse_loss(prediction, moved["label"])
        if run.overrides.get("strategy") != "none":
            for task in tasks:
                loss = loss + task.loss(prediction, moved["label"], moved)
        loss.backward()
        step = time.monotonic() - began
        epochs = "pretrain_epochs" if run.kind == "recognition" else "max_epochs"
        return step * len(loader) * float(parser.get_parsed_content(epochs))


def describe(job: Job, runner: Runner, seconds: float | None) -> str:
    """Return the lines of a dry run for one job: state, estimate, and the command that does the same."""
    if runner.record(job.run, job.seed) is not None:
        state = "done"
    else:
        state = "to run" if seconds is None else f"about {duration(seconds)}"
    run_id = "evaluating" if job.run.kind == "evaluation" else "training"
    folder = runner.folder(job.run, job.seed)
    overrides = runner.overrides(job.run, job.seed) | {"output_dir": str(folder / "eval")}
    models = folder if job.run.trained is None else runner.folder(job.run.trained, job.seed)
    overrides["ckpt_dir"] = str(models / "models")
    return f"[{state}] {folder.name}\n    {command_line(run_id, config_files(job.run), overrides)}"


def duration(seconds: float) -> str:
    """Return a time span in words, for example "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def _size(run: Run) -> tuple[Any, ...]:
    """What decides about the time of a run."""
    settings = {key: value for key, value in run.overrides.items() if key not in ("sigma", "weight", "supervised")}
    if settings.get("strategy") not in ("none", "frozen", "joint"):
        settings["strategy"] = "measured"
    return (run.bundle, run.kind, run.overlays, tuple(sorted((k, str(v)) for k, v in settings.items())))
