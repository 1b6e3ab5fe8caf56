"""How long a run takes here: the run itself with each of its engines cut short, and the time of what that left out."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow

from shared.reproduction.commands import config_files, output_in, run_id
from shared.reproduction.description import Run

ITERATIONS = 4
"""Of each engine; the first is not like the others and tells nothing about them."""
AT_ONCE = {"val_interval": 1, "warmup": 0, "adversarial#after": "$0 if @adversarial_epochs else @max_epochs"}
"""Keys that bring a validation and the full step, with strategy and discriminator, into the first iterations."""


@dataclass(frozen=True)
class Seconds:
    """How long a run takes: each of the first stages that it shares, by name, and all the rest of it."""

    stages: Mapping[str, float]
    own: float


class CutShort:
    """An engine whose next run ends after a few iterations of one epoch, and what that leaves out.

    Args:
        engine: a trainer or evaluator.
        iterations: that are made, at least 1 and at most those of an epoch.
    """

    def __init__(self, engine: Engine, iterations: int = ITERATIONS) -> None:
        self.epoch_length = int(engine.state.epoch_length or 0)
        self.max_epochs = int(engine.state.max_epochs or 1)
        self.began = self.ended = 0.0
        self.stamps: list[float] = []
        engine.state.epoch_length, engine.state.max_epochs = min(iterations, self.epoch_length), 1
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stamp)
        engine.add_event_handler(Events.COMPLETED, self._end)

    @property
    def span(self) -> float:
        """Seconds of the short run."""
        return self.ended - self.began

    @property
    def iteration(self) -> float:
        """Seconds of an iteration, with the loading of its batch."""
        made = self.stamps if len(self.stamps) > 1 else [self.began, *self.stamps]
        # The median, for now and then one waits for the collector or another process.
        return median(after - before for before, after in pairwise(made)) if len(made) > 1 else 0.0

    @property
    def rest(self) -> float:
        """Seconds of an epoch after its last iteration: validation, files."""
        return self.ended - self.stamps[-1] if self.stamps else 0.0

    @property
    def missing(self) -> float:
        """Seconds of the iterations that the run's only epoch lacks."""
        return (self.epoch_length - len(self.stamps)) * self.iteration

    def left(self, rests: int | None = None, validation: CutShort | None = None) -> float:
        """Return the seconds of all that was left out.

        Args:
            rests: how many of the epochs have a rest; None: all.
            validation: the evaluator within the rest, which was cut short, too.
        """
        rests = self.max_epochs if rests is None else rests
        epochs = (self.max_epochs - 1) * self.epoch_length * self.iteration
        return self.missing + epochs + (rests - 1) * self.rest + (rests * validation.missing if validation else 0.0)

    def _begin(self, engine: Engine) -> None:
        self.began = _now()

    def _stamp(self, engine: Engine) -> None:
        self.stamps.append(_now())

    def _end(self, engine: Engine) -> None:
        self.ended = _now()


def measure(run: Run, overrides: Callable[[Run], Mapping[str, Any]]) -> Seconds:
    """Take the time of a few iterations of each trainer and evaluator of a run, and reckon with the number of all.

    They are the bundle's own, with their handlers, data and files, as the run has them; the files go to a temporary
    folder. Building them and those few iterations are all that it takes. A warm-up without the strategy counts as if
    the strategy were at work, and so do the epochs before a discriminator plays. What an epoch without validation does
    at its end does not count.

    Args:
        run: of an evaluation, the run whose weights it takes is measured first.
        overrides: gives those of a run's command line, but for its folders.
    """
    with tempfile.TemporaryDirectory() as folder:
        if run.trained is not None:
            _measure(run.trained, overrides(run.trained), Path(folder))
        return _measure(run, overrides(run), Path(folder))


def _measure(run: Run, overrides: Mapping[str, Any], folder: Path) -> Seconds:
    files = config_files(run)
    head = ConfigParser(ConfigParser.load_config_files(files))
    head.update(dict(overrides))
    settings = {**overrides, **{key: value for key, value in AT_ONCE.items() if key in head}}
    validated = ["@validate#evaluator"] if run.kind == "enhancement" else []
    # A name with this beginning is nothing that a bundle's check of its keys looks at.
    settings["_engines"] = [*(s.trainer for s in run.shares), *run.trainers, *validated, "@test#evaluator"]
    settings |= {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval")}
    began = _now()
    with output_in(folder / "log.txt"):
        workflow = ConfigWorkflow(files, run_id=run_id(run), **settings)
        workflow.initialize()
        engines = [CutShort(engine) for engine in workflow.parser.get_parsed_content("_engines")]
        workflow.run()
        workflow.finalize()
    whole = _now() - began
    del workflow
    gc.collect()
    shared, own = engines[: len(run.shares)], engines[len(run.shares):]
    trainers, test = own[: len(run.trainers)], own[-1]
    left = test.left()
    if validated and trainers:
        interval = int(head.get_parsed_content("val_interval")) if "val_interval" in head else 1
        *before, last = trainers
        left += sum(trainer.left() for trainer in before) + last.left(last.max_epochs // interval or 1, own[-2])
    else:
        left += sum(trainer.left() for trainer in trainers)
    stages = {stage.name: engine.span + engine.left() for stage, engine in zip(run.shares, shared, strict=True)}
    return Seconds(stages, whole - sum(engine.span for engine in shared) + left)


def _now() -> float:
    """Return the seconds of a clock, when the device has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()
