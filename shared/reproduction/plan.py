"""What a reproduction is about to run, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from shared.reproduction.commands import command_line, config_files, run_id
from shared.reproduction.description import Run, Stage
from shared.reproduction.runs import Runner
from shared.reproduction.timing import Seconds, measure


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


def stages(planned: Iterable[Job]) -> dict[tuple[Run, int], tuple[Job, Stage]]:
    """Return the first stages that some jobs share, each once: by what is run, a job that has it and the stage."""
    found: dict[tuple[Run, int], tuple[Job, Stage]] = {}
    for job in planned:
        for stage in job.run.shares:
            found.setdefault((stage.of(job.run), job.seed), (job, stage))
    return found


class Estimate:
    """Estimates seconds of runs: as done ones of the same bundle and size took, else as measured by a few steps.

    Args:
        runner: knows what is done.
        done: jobs to look for.
    """

    def __init__(self, runner: Runner, done: Sequence[Job]) -> None:
        self.runner = runner
        self.known: dict[tuple[Any, ...], list[float]] = {}
        self.measured: dict[tuple[Any, ...], Seconds] = {}
        for job in done:
            record = runner.record(job.run, job.seed)
            if record is not None:
                self.known.setdefault(_size(job.run), []).append(float(record["seconds"]))
        for first, (job, stage) in stages(done).items():
            record = runner.stage_record(job.run, stage, job.seed)
            if record is not None:
                self.known.setdefault((stage.name, *_size(first[0])), []).append(float(record["seconds"]))

    def seconds(self, run: Run) -> float:
        """Return the seconds of one run, without the first stages that it shares.

        The first question about a size builds the bundle and makes a few steps: seconds, or minutes where a step
        takes as long.
        """
        if known := self.known.get(_size(run)):
            return median(known)
        return self._measured(run).own

    def stage_seconds(self, run: Run, stage: Stage) -> float:
        """Return the seconds of a first stage that a run shares; as :meth:`seconds`."""
        if known := self.known.get((stage.name, *_size(stage.of(run)))):
            return median(known)
        return self._measured(run).stages[stage.name]

    def _measured(self, run: Run) -> Seconds:
        size = _size(run)
        if size not in self.measured:
            self.measured[size] = measure(run, lambda each: self.runner.overrides(each, 0))
        return self.measured[size]


def describe(job: Job, runner: Runner, seconds: float | None) -> str:
    """Return the lines of a dry run for one job: state, estimate, and the command that does the same."""
    if runner.record(job.run, job.seed) is not None:
        state = "done"
    else:
        state = "to run" if seconds is None else f"about {duration(seconds)}"
    folder = runner.folder(job.run, job.seed)
    overrides = runner.overrides(job.run, job.seed) | {"output_dir": str(folder / "eval")}
    models = folder if job.run.trained is None else runner.folder(job.run.trained, job.seed)
    overrides["ckpt_dir"] = str(models / "models")
    return f"[{state}] {folder.name}\n    {command_line(run_id(job.run), config_files(job.run), overrides)}"


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
    settings = tuple(sorted((key, str(value)) for key, value in run.overrides.items() if key not in run.timeless))
    return (run.bundle, run.kind, run.overlays, settings, () if run.trained is None else _size(run.trained))
