"""Run bundles as a person would, each once, in a folder of its own; what is done is not done again."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from monai.bundle import run as run_bundle

import shared
from shared.bundle import provenance
from shared.data.locations import DATA_VARIABLE, SOURCES, dataset_dir
from shared.data.phantoms import PHANTOMS
from shared.errors import InputError
from shared.files import make_folder
from shared.handlers.resume import FILE_NAME as CHECKPOINT
from shared.networks import weights
from shared.reproduction.commands import (
    command_line,
    config_files,
    configuration_digest,
    data_of,
    output_in,
    run_id,
)
from shared.reproduction.description import Run, Stage

RECORD = "run.json"
BEGUN = "begun.json"
WEIGHTS = {"enhancement": "model.pt", "evaluation": "model.pt", "recognition": "recognition.pt"}
"""The weights that a run is about, by its kind."""
MADE_WITH = {
    "dataset_dir": ("on {}", "on the default data"),
    "shared": ("by version {} of this package", "by an unknown version of this package"),
    "phantom_version": ("on version {} of the phantom data", "on other than phantom data"),
    "configuration": ("by configuration {}", "by an unknown configuration"),
    "vgg19_weights": ("with VGG19's weights {}", "without VGG19's weights"),
}
"""What the runs of one folder must have in common, and how a message says what it is and what it is without one."""
PERCEPTUAL, VGG19_FILE = "perceptual", "train#loss#terms#perceptual#vgg19_weights"
"""What the bundles call the kind of their perceptual loss, and the file that its kind "vgg19" takes."""


class Runner:
    """Makes runs in ``<out>/runs``, in this process, through MONAI's bundle runner.

    The first stages of a training that a run shares (``Run.shares``) are run once for all that share them, and those
    runs continue from its checkpoint. A run continued there has the weights, bit for bit, of one that did these stages
    itself. Several processes may work on one folder: each run is locked.

    Args:
        out: folder of the results.
        dataset_dirs: folders by data set; without one it is that below $MONAI_DATA_DIRECTORY, else a bundle's own
            default holds.
        vgg19_weights: file of the perceptual loss of runs that ask for VGG19; without it they have none.
    """

    def __init__(
        self, out: str | Path, dataset_dirs: Mapping[str, str] | None = None, vgg19_weights: str | None = None
    ) -> None:
        self.out = Path(out).expanduser().resolve()
        self.dataset_dirs = dict(dataset_dirs or {})
        self.vgg19_weights = vgg19_weights
        self._digests: dict[tuple[str, ...], str] = {}

    def folder(self, run: Run, seed: int) -> Path:
        """Return the folder of a run."""
        return self.out / "runs" / f"{run.bundle}-{run.identity()}-seed{seed}"

    def stage_folder(self, run: Run, stage: Stage, seed: int) -> Path:
        """Return the folder of a first stage that a run shares."""
        return self.out / "runs" / f"{run.bundle}-{stage.name}-{stage.of(run).identity()}-seed{seed}"

    def dataset_dir(self, run: Run) -> str | None:
        """Return the folder that a run's data are read from, None for the bundle's default.

        Raises:
            InputError: when $MONAI_DATA_DIRECTORY is set and lacks the data set.
        """
        name = data_of(run)
        # The variable is looked at here, so that records tell runs on real data from those on the default's phantom.
        if name not in self.dataset_dirs and os.environ.get(DATA_VARIABLE) and name in SOURCES:
            return str(Path(dataset_dir(name)).resolve())
        return self.dataset_dirs.get(name)

    def overrides(self, run: Run, seed: int) -> dict[str, Any]:
        """Return what the command line of a run overrides, but for its folders."""
        folder, settings = self.dataset_dir(run), {**run.overrides, "seed": seed}
        if asks_for_vgg19(run):
            settings |= {VGG19_FILE: self.vgg19_weights} if self.vgg19_weights else {PERCEPTUAL: "none"}
        return settings | ({"dataset_dir": folder} if folder else {})

    def made_with(self, run: Run) -> dict[str, Any]:
        """Return what a run would be made with now, beside its settings: data, code, configuration.

        Runs of one folder that differ in this are not comparable.
        """
        files, folder = config_files(run), self.dataset_dir(run)
        if tuple(files) not in self._digests:
            self._digests[tuple(files)] = configuration_digest(files)
        phantom = PHANTOMS.get(data_of(run)) if folder is None else None
        return {
            "dataset_dir": folder,
            "shared": shared.__version__,
            "phantom_version": None if phantom is None else phantom.version,
            "configuration": self._digests[tuple(files)],
            "vgg19_weights": self.vgg19_weights if asks_for_vgg19(run) else None,
        }

    def record(self, run: Run, seed: int) -> dict[str, Any] | None:
        """Return what ``run.json`` says about a run that is done, else None.

        Raises:
            InputError: when the file is damaged, or the run was made with other data, code or configuration.
        """
        path = self.folder(run, seed) / RECORD
        return self._read(run, path) if path.is_file() else None

    def stage_record(self, run: Run, stage: Stage, seed: int) -> dict[str, Any] | None:
        """Return what ``run.json`` says about a shared first stage that is done, else None.

        Raises:
            InputError: as :meth:`record`.
        """
        path = self.stage_folder(run, stage, seed) / RECORD
        return self._read(stage.of(run), path) if path.is_file() else None

    def make(self, run: Run, seed: int, wait: bool = True) -> bool:
        """Make a run unless it is done; a run that was killed continues.

        Args:
            run: what to run.
            seed: of everything random in it.
            wait: whether to wait for another process that is making it.

        Returns:
            Whether the run is done now (not so when another process is at it and ``wait`` is false).
        """
        if self.record(run, seed) is not None:
            return True
        folder = self.folder(run, seed)
        make_folder(folder)
        try:
            with FileLock(folder / ".lock", timeout=-1 if wait else 0):
                if self.record(run, seed) is None:
                    self._run(run, seed, folder)
        except Timeout:
            return False
        return True

    def _read(self, run: Run, path: Path) -> dict[str, Any]:
        """Return what was noted about a run; refuse it when the run was made, or begun, with something else."""
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
            found = {key: record.get(key) for key in MADE_WITH} | {"dataset_dir": record["dataset_dir"]}
        except (ValueError, KeyError, TypeError) as err:
            raise InputError(f"{path}: found no record of a run; delete its folder to run it again") from err
        expected = self.made_with(run)
        for key, (words, without) in MADE_WITH.items():
            if found[key] != expected[key]:
                made, would_be = (without if e[key] is None else words.format(e[key]) for e in (found, expected))
                raise InputError(f"{path}: found a run {made}, expected one {would_be}; give another --out")
        return record

    def _begin(self, run: Run, folder: Path) -> float:
        """Note what a run begins with; return the seconds that an interrupted one has behind it, as far as they count.

        Raises:
            InputError: when it was begun with other data, code or configuration, or the note is damaged.
        """
        path, checkpoint, spent = folder / BEGUN, folder / "models" / CHECKPOINT, 0.0
        if path.is_file():
            before = self._read(run, path)
            spent = float(before["seconds"])
            # What came after the last checkpoint is done again. A killed process could not note its end.
            if checkpoint.is_file():
                spent += max(0.0, checkpoint.stat().st_mtime - float(before["began"]))
        provenance.write_json({**self.made_with(run), "seconds": spent, "began": time.time()}, path)
        return spent

    def _run(self, run: Run, seed: int, folder: Path) -> None:
        if (folder / BEGUN).is_file():
            self._read(run, folder / BEGUN)
        models = folder / "models"
        overrides = self.overrides(run, seed)
        if run.kind == "evaluation":
            models = self._need(run.trained, seed) / "models"
        elif (models / CHECKPOINT).is_file():
            overrides["resume"] = True
        elif run.shares:
            overrides["ckpt_path"] = str(self._share(run, seed))
        overrides |= {"ckpt_dir": str(models), "output_dir": str(folder / "eval")}
        with _timed(self._begin(run, folder)) as seconds:
            command = self._execute(run, run_id(run), overrides, folder)
        summary = json.loads((folder / "eval" / "summary.json").read_text(encoding="utf-8"))
        record = {
            "identity": run.identity(),
            "seed": seed,
            "bundle": run.bundle,
            "kind": run.kind,
            "trained": None if run.trained is None else run.trained.identity(),
            "overrides": dict(run.overrides),
            "overlays": list(run.overlays),
            **self.made_with(run),
            "weights_sha256": weights_hash(models / WEIGHTS[run.kind]),
            "phantom": summary["run"]["phantom"],
            "device": summary["run"]["device"],
            "versions": summary["run"]["versions"],
            "seconds": seconds(),
            "command": command,
        }
        provenance.write_json(record, folder / RECORD)
        # Three times the networks' size (Adam), and of no use once the run is done.
        (folder / "models" / CHECKPOINT).unlink(missing_ok=True)

    def _share(self, run: Run, seed: int) -> Path:
        """Return the checkpoint after the last of the first stages that a run shares; stages not there yet are made."""
        checkpoint: Path | None = None
        for stage in run.shares:
            checkpoint = self._make_stage(run, stage, seed, checkpoint)
        if checkpoint is None:
            raise ValueError(f"shares: expected at least one stage, found {run.shares}")
        return checkpoint

    def _make_stage(self, run: Run, stage: Stage, seed: int, start: Path | None) -> Path:
        """Return the checkpoint after a stage, which continues from that of the stage before."""
        first, folder = stage.of(run), self.stage_folder(run, stage, seed)
        checkpoint = folder / "models" / CHECKPOINT
        make_folder(folder)
        with FileLock(folder / ".lock"):
            if self.stage_record(run, stage, seed) is None:
                overrides = self.overrides(first, seed)
                if checkpoint.is_file():
                    overrides["resume"] = True
                elif start is not None:
                    overrides["ckpt_path"] = str(start)
                overrides |= {"ckpt_dir": str(checkpoint.parent), "output_dir": str(folder / "eval")}
                with _timed(self._begin(first, folder)) as seconds:
                    command = self._execute(first, stage.run_id, overrides, folder)
                record = {"stage": stage.name, "seed": seed, **self.made_with(first), "seconds": seconds()}
                provenance.write_json({**record, "command": command}, folder / RECORD)
        return checkpoint

    def _need(self, run: Run | None, seed: int) -> Path:
        if run is None:
            raise ValueError("trained: expected the run whose weights are evaluated, found None")
        self.make(run, seed)
        return self.folder(run, seed)

    def _execute(self, run: Run, run_id: str, overrides: dict[str, Any], folder: Path) -> str:
        """Run a bundle with its output in ``log.txt``; return the command that does the same."""
        files = config_files(run)
        with output_in(folder / "log.txt"):
            run_bundle(run_id=run_id, config_file=files, **overrides)
        # A finished run's networks and workers would otherwise live on until the collector comes by.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return command_line(run_id, files, overrides)


def asks_for_vgg19(run: Run) -> bool:
    """Whether a run has a perceptual loss by VGG19, once there are its weights."""
    return run.overrides.get(PERCEPTUAL) == "vgg19"


def weights_hash(path: Path) -> str:
    """Return the SHA-256 of a state dict's names, shapes and values (a file's bytes may differ with equal values)."""
    return weights.weights_digest(weights.read(path))


@contextlib.contextmanager
def _timed(spent: float) -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds from here on, on top of those spent before."""
    began = time.monotonic()
    yield lambda: round(spent + time.monotonic() - began, 1)
