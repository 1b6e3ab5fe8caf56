"""Run bundles as a person would, each once, in a folder of its own; what is done is not done again."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from monai.bundle import run as run_bundle

from shared import bundle_root
from shared.bundle import provenance
from shared.data.locations import DATA_VARIABLE, SOURCES, dataset_dir
from shared.errors import InputError
from shared.files import make_folder
from shared.handlers.best_model import MODEL, RECOGNITION
from shared.handlers.resume import FILE_NAME as CHECKPOINT
from shared.networks import weights
from shared.reproduction.model import Run

RECORD = "run.json"
DATA = "data.json"
OVERLAYS = Path(__file__).resolve().parents[1] / "configs"
CASCADE_ONLY = frozenset(
    ["strategy", "weight", "supervised", "sigma", "warmup", "max_epochs", "learning_rate", "val_interval"]
)
"""Settings without influence on stage (a), in which recognition networks look at clean images."""
CASCADE_OVERLAYS = frozenset(["challenging.json", "speckle.json", "salt_and_pepper.json", "undegraded.json"])


class Runner:
    """Makes runs in ``<out>/runs``, in this process, through MONAI's bundle runner.

    Stage (a), the recognition networks' training on clean images, does not depend on strategy, lambda or noise: it
    is run once for all that share it, and they continue from its checkpoint. A run continued there has the weights,
    bit for bit, of one that did its own stage (a). Several processes may work on one folder: each run is locked.

    Args:
        out: folder of the results.
        dataset_dirs: folders by data set; without one it is that below $MONAI_DATA_DIRECTORY, else a bundle's own
            default holds.
    """

    def __init__(self, out: str | Path, dataset_dirs: Mapping[str, str] | None = None) -> None:
        self.out = Path(out).expanduser().resolve()
        self.dataset_dirs = dict(dataset_dirs or {})

    def folder(self, run: Run, seed: int) -> Path:
        """Return the folder of a run."""
        return self.out / "runs" / f"{run.bundle}-{run.identity()}-seed{seed}"

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
        folder = self.dataset_dir(run)
        return {**run.overrides, "seed": seed, **({"dataset_dir": folder} if folder else {})}

    def record(self, run: Run, seed: int) -> dict[str, Any] | None:
        """Return what ``run.json`` says about a run that is done, else None.

        Raises:
            InputError: when the file is damaged, or the run was made with other data.
        """
        path = self.folder(run, seed) / RECORD
        if not path.is_file():
            return None
        return self._read(run, path)

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
        """Return what was noted about a run; refuse it when the run was made, or begun, with other data."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            made_with = record["dataset_dir"]
        except (ValueError, KeyError, TypeError) as err:
            raise InputError(f"{path}: found no record of a run; delete its folder to run it again") from err
        if made_with != self.dataset_dir(run):
            raise InputError(
                f"{path}: found a run on {made_with or 'the default data'}, expected one on "
                f"{self.dataset_dir(run) or 'the default data'}; give another --out"
            )
        return dict(record)

    def _begin(self, run: Run, folder: Path) -> None:
        """Note which data a run begins with; refuse to continue it on others.

        Raises:
            InputError: when it was begun with other data, or the note is damaged.
        """
        path = folder / DATA
        if path.is_file():
            self._read(run, path)
        else:
            provenance.write_json({"dataset_dir": self.dataset_dir(run)}, path)

    def _run(self, run: Run, seed: int, folder: Path) -> None:
        began = time.monotonic()
        self._begin(run, folder)
        models = folder / "models"
        overrides = self.overrides(run, seed)
        if run.kind == "evaluation":
            models = self._need(run.trained, seed) / "models"
        elif (models / CHECKPOINT).is_file():
            overrides["resume"] = True
        elif run.kind == "enhancement":
            overrides["ckpt_path"] = str(self._stage_a(run, seed))
        overrides |= {"ckpt_dir": str(models), "output_dir": str(folder / "eval")}
        command = self._execute(run, "evaluating" if run.kind == "evaluation" else "training", overrides, folder)
        summary = json.loads((folder / "eval" / "summary.json").read_text(encoding="utf-8"))
        record = {
            "identity": run.identity(),
            "seed": seed,
            "bundle": run.bundle,
            "kind": run.kind,
            "trained": None if run.trained is None else run.trained.identity(),
            "overrides": dict(run.overrides),
            "overlays": list(run.overlays),
            "dataset_dir": self.dataset_dir(run),
            "weights_sha256": weights_hash(models / (RECOGNITION if run.kind == "recognition" else MODEL)),
            "phantom": summary["run"]["phantom"],
            "device": summary["run"]["device"],
            "versions": summary["run"]["versions"],
            "seconds": round(time.monotonic() - began, 1),
            "command": command,
        }
        provenance.write_json(record, folder / RECORD)
        # Three times the networks' size (Adam), and of no use once the run is done.
        (folder / "models" / CHECKPOINT).unlink(missing_ok=True)

    def _stage_a(self, run: Run, seed: int) -> Path:
        """Return the checkpoint after stage (a), made now when no run with the same stage (a) came before."""
        own = {key: value for key, value in run.overrides.items() if key not in CASCADE_ONLY}
        overlays = tuple(name for name in run.overlays if name not in CASCADE_OVERLAYS)
        first = Run(run.bundle, {**own, "strategy": "none"}, overlays)
        folder = self.out / "runs" / f"{run.bundle}-recognition-{first.identity()}-seed{seed}"
        checkpoint, done = folder / "models" / CHECKPOINT, folder / RECORD
        make_folder(folder)
        with FileLock(folder / ".lock"):
            self._begin(first, folder)
            if not done.is_file():
                overrides = self.overrides(first, seed) | {"resume": checkpoint.is_file() or None}
                overrides |= {"ckpt_dir": str(checkpoint.parent), "output_dir": str(folder / "eval")}
                command = self._execute(first, "pretraining", overrides, folder)
                provenance.write_json({"seed": seed, "command": command}, done)
        return checkpoint

    def _need(self, run: Run | None, seed: int) -> Path:
        if run is None:
            raise ValueError("trained: expected the run whose weights are evaluated, found None")
        self.make(run, seed)
        return self.folder(run, seed)

    def _execute(self, run: Run, run_id: str, overrides: dict[str, Any], folder: Path) -> str:
        """Run a bundle with its output in ``log.txt``; return the command that does the same."""
        files = config_files(run)
        overrides = {key: value for key, value in overrides.items() if value is not None}
        with _output_in(folder / "log.txt"):
            run_bundle(run_id=run_id, config_file=files, **overrides)
        # A finished run's networks and workers would otherwise live on until the collector comes by.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return command_line(run_id, files, overrides)


def data_of(run: Run) -> str:
    """Return the name of the data set that a run reads."""
    return str(run.overrides.get("test_dataset", run.bundle.partition("_")[2]))


def config_files(run: Run) -> list[str]:
    """Return the configuration files of a run, in their order."""
    configs = Path(bundle_root(run.bundle)) / "configs"
    names = ["train.json", "evaluate.json"] if run.kind == "evaluation" else ["train.json"]
    return [str(configs / name) for name in names] + [str(OVERLAYS / name) for name in run.overlays]


def command_line(run_id: str, files: list[str], overrides: Mapping[str, Any]) -> str:
    """Return what a person would type to run a bundle, with paths as seen from the repository."""
    root = OVERLAYS.parents[1]
    short = [str(Path(file).relative_to(root)) if Path(file).is_relative_to(root) else file for file in files]
    words = ["python", "-m", "monai.bundle", "run", run_id, "--config_file"]
    words.append(short[0] if len(short) == 1 else str(short))
    for key, value in overrides.items():
        words += [f"--{key}", str(value)]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote a word for the shell; a list of files stays readable."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def weights_hash(path: Path) -> str:
    """Return the SHA-256 of a state dict's names, shapes and values (a file's bytes may differ with equal values)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_flat(weights.read(path))):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _flat(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")


@contextlib.contextmanager
def _output_in(path: Path) -> Iterator[None]:
    """Append everything that is printed and logged to a file."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with open(path, "a", encoding="utf-8") as file:
        # MONAI's loggers hold the streams that there were at import; a bundle's logging.conf takes today's.
        streams = {handler: handler.stream for handler in _stream_handlers()}
        for handler in streams:
            handler.stream = file
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            root.handlers[:], root.level = handlers, level
            # Handlers made meanwhile must not keep a file that is about to be closed.
            for handler in _stream_handlers():
                handler.stream = streams.get(handler, sys.stderr)


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    """Return the handlers of all loggers, but for the root's, that write to a stream."""
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    return [handler for logger in loggers for handler in logger.handlers if type(handler) is logging.StreamHandler]
