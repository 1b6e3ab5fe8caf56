"""Keep the weights that a run trained, with their provenance, apart from those of earlier runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import decollate_batch
from monai.utils import CommonKeys

from shared.bundle import provenance
from shared.distributed import barrier, gather, rank
from shared.errors import InputError
from shared.files import make_folder, short_path, whole_file
from shared.handlers.finite import NonFiniteError
from shared.networks import weights
from shared.networks.weights import MODEL, Networks

logger = logging.getLogger(__name__)
KEEP = ("best", "last")
NAMED = 3
"""Images that a message names; it counts the others."""


class SaveWeights:
    """Write the weights of a run's networks, and ``provenance.json`` beside them.

    Each file holds the plain state dict of one network, or a dictionary of several networks' state dicts by name. All
    files are of the same moment: they are complete before the first of them replaces an earlier one.

    With ``keep="best"`` it attaches to the validation engine and writes whenever the key metric is the best so far. A
    validation with an enhanced image that is not finite does not count: MONAI's mean leaves such images out, so that it
    would be too good. With ``keep="last"`` it attaches to the trainer and writes when training is complete.

    A run knows its own weights from those of others: :class:`~shared.handlers.ResumableCheckpoint` calls
    :meth:`begin` or :meth:`take_over` when it starts, and :meth:`require` when it ends. In data-parallel training
    rank 0 alone writes and moves files, and the others wait for it.

    Args:
        folder: where the files go.
        files: by file name a network (or what else has its state dict, like the average that ignite's ``EMAHandler``
            keeps), several networks by name, or None for a network that this run has not: no such file is written, but
            that of an earlier run goes with the others.
        origin: content of ``provenance.json``; of the best validation, epoch and value of the key metric are added.
        keep: "best" or "last".

    Attributes:
        engine: the one that it is attached to.

    Raises:
        ValueError: at construction, when there is no file, or ``keep`` is neither.
        InputError: at construction, when weights of real data would be overwritten by weights of phantom data, or the
            folder holds ``model.pt``, which is not among the files, so that its provenance would tell of another
            training.
    """

    def __init__(
        self, folder: str, files: Mapping[str, Networks | None], origin: Mapping[str, Any], keep: str = "best"
    ) -> None:
        if keep not in KEEP:
            raise ValueError(f"keep: expected one of {KEEP}, found {keep!r}")
        if not files:
            raise ValueError("files: expected at least one, found none")
        self.folder = Path(folder)
        if MODEL not in files and (self.folder / MODEL).exists():
            raise InputError(
                f"{self.folder / MODEL}: found an enhancement network, which {', '.join(files)} alone must not be "
                "mixed with; give another folder by --ckpt_dir"
            )
        for name in files:
            provenance.protect(folder, bool(origin["phantom"]), name)
        self.networks = {name: networks for name, networks in files.items() if networks is not None}
        self.origin = origin
        self.keep = keep
        self.engine: Engine | None = None
        self._all_names = [provenance.FILE_NAME, *files]
        self._own_names = [provenance.FILE_NAME, *self.networks]
        self._first = self.folder / next(iter(files))
        self._began = False
        self._written = False
        self._missing_epoch = 0
        self._before: tuple[float, int] = (-1, -1)
        self._not_finite: list[str] = []
        self._value = math.nan

    def attach(self, engine: Engine) -> None:
        """Register on the validation engine ("best") or on the trainer ("last")."""
        self.engine = engine
        if self.keep == "best":
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save when training is complete, or this validation was the best so far.

        Raises:
            InputError: when the files cannot be written.
            NonFiniteError: when a weight is not finite.
        """
        state: Any = engine.state
        if self.keep == "last":
            self._write(state.epoch, self.origin)
        else:
            self._not_finite = gather(self._not_finite)
            if self._not_finite or not math.isfinite(state.best_metric):
                self._discard(state)
            elif state.best_metric_epoch == state.epoch:
                self._write(state.epoch, {**self.origin, "best_validation": _best(state)})
        # What follows, for example a test, reads the files on every rank.
        barrier()

    def begin(self, others: Sequence[str] = ()) -> None:
        """Move the weights of an earlier run aside, once in a run; no reader takes them for those of this run.

        Args:
            others: names of further files that go with them.

        Raises:
            InputError: when they cannot be moved.
        """
        if self._began:
            return
        self._began = True
        # Until all ranks are here, one of them may still read what lies there.
        barrier()
        if rank() == 0:
            place = weights.set_aside(self.folder, [*self._all_names, *others])
            if place is not None:
                logger.info("what an earlier run wrote here is now in %s", short_path(place))
        barrier()

    def take_over(self, beside: Path, key: str, best: Mapping[str, Any], others: Sequence[str] = ()) -> bool:
        """Begin as the continuation of another run: its weights are those of this run, all others are not.

        With ``keep="last"`` there is nothing to take over: the weights are in the checkpoint.

        Args:
            beside: folder of the checkpoint that the run continues from, where its weights lie.
            key: name of the key metric.
            best: "metric" and "epoch" of the best validation that the checkpoint knows.
            others: names of further files to move aside with weights of another run.

        Returns:
            Whether there are weights of that validation. Without them the next validation is the best so far.

        Raises:
            InputError: when other weights cannot be moved aside, or these not be copied.
        """
        if self.keep == "last":
            self.begin(others)
            return True
        own = beside.resolve() == self.folder.resolve()
        found = self._are_of(beside, _named(key, best["metric"], best["epoch"]))
        barrier()
        if not (own and found):
            self.begin(others)
        self._began = True
        self._missing_epoch = 0 if found else int(best["epoch"])
        if found and not own and rank() == 0:
            self._replace({name: partial(_copy, beside / name) for name in self._own_names})
        barrier()
        return found

    def require(self, evaluator: Engine | None) -> None:
        """At the end of a run: see that there are weights that it wrote itself.

        Args:
            evaluator: the validation engine; of no use with ``keep="last"``.

        Raises:
            InputError: when validation never ran or never counted, or other weights lie in the folder.
            ValueError: when the handler is not where it would have written.
        """
        if self.keep == "last":
            if not self._written:
                raise ValueError("SaveWeights: keep is 'last', expected it among the trainer's handlers, before the "
                                 "checkpoint; found that it was not called")
            return
        if evaluator is None:
            raise ValueError("SaveWeights: keep is 'best', expected a validation engine, found none")
        state: Any = evaluator.state
        if state.best_metric_epoch < 0:
            raise InputError(f"{self.folder}: this run wrote no weights: {self._reason(state)}{self._hint()}")
        barrier()
        if not self._are_of(self.folder, _best(state)):
            raise InputError(f"{self.folder}: found weights of another run, expected those of epoch "
                             f"{state.best_metric_epoch} of this run; do not run two at a time in one folder")

    def tell_what_is_left(self, error: BaseException) -> None:
        """After an error: log where the weights of an earlier run are, when this one had written none yet."""
        hint = self._hint()
        if rank() == 0 and hint and not self._first.exists() and hint not in str(error):
            logger.warning("this run wrote no weights%s", hint)

    def _start(self, engine: Engine) -> None:
        state: Any = engine.state
        self._before = (state.best_metric, state.best_metric_epoch)
        self._not_finite = []

    def _look(self, engine: Engine) -> None:
        """Note the images of this batch for which the enhanced image is not finite."""
        state: Any = engine.state
        outputs, items = (
            decollate_batch(data) if isinstance(data, Mapping) else data for data in (state.output, state.batch)
        )
        for output, item in zip(outputs, items, strict=True):
            if not _is_finite(output[CommonKeys.PRED]):
                self._not_finite.append(str(item.get("id", f"number {len(self._not_finite) + 1}")))

    def _discard(self, state: Any) -> None:
        """Let this validation count for nothing; nothing is greater than NaN, and MONAI takes the first as best."""
        self._value = state.best_metric
        kept = self._before if math.isfinite(self._before[0]) else (-1, -1)
        state.best_metric, state.best_metric_epoch = kept
        for name in getattr(state, "metrics", {}):
            state.metrics[name] = math.nan
        names = f": enhanced images are not finite: {self._names()}" if self._not_finite else ""
        logger.warning("validation of epoch %d does not count%s", state.epoch, names)

    def _write(self, epoch: int, origin: Mapping[str, Any]) -> None:
        states = {name: weights.state_of(networks) for name, networks in self.networks.items()}
        bad = weights.first_not_finite(states)
        if bad is not None:
            raise NonFiniteError(f"{bad}: found a weight that is not finite, after epoch {epoch}")
        self._written = True
        if rank() == 0:
            writers = {name: partial(weights.write, state) for name, state in states.items()}
            self._replace({provenance.FILE_NAME: partial(provenance.write_json, origin), **writers})

    def _replace(self, writers: Mapping[str, Callable[[Path], object]]) -> None:
        """Write all files under hidden names; only then let each take its place, in the order given.

        The provenance is the first: it tells which weights these are, so that after a crash in between they do not
        pass for older ones.
        """
        make_folder(self.folder)
        try:
            with ExitStack() as stack:
                # What was entered last is left first.
                hidden = {name: stack.enter_context(whole_file(self.folder / name)) for name in reversed(list(writers))}
                for name, write in writers.items():
                    write(hidden[name])
        except OSError as err:
            raise InputError(f"{self.folder}: weights cannot be written: {err.strerror or err}") from err

    def _are_of(self, folder: Path, best: Mapping[str, Any]) -> bool:
        """Whether the weights in a folder are all there, and those of a validation."""
        if not all((folder / name).is_file() for name in self._own_names):
            return False
        return (provenance.read(folder) or {}).get("best_validation") == dict(best)

    def _reason(self, state: Any) -> str:
        """Why a run has no weights of its own."""
        if state.epoch < 1 and self._missing_epoch > 0:
            return f"nothing was left to do, but the weights of its epoch {self._missing_epoch} are not there"
        if state.epoch < 1:
            return "validation never ran, lower val_interval"
        if self._not_finite:
            return f"no validation counted, as the enhanced images were not finite: {self._names()}"
        return f"no validation counted, as {state.key_metric_name} was {self._value}"

    def _names(self) -> str:
        more = len(self._not_finite) - NAMED
        return ", ".join(self._not_finite[:NAMED]) + (f" and {more} more" if more > 0 else "")

    def _hint(self) -> str:
        places = [short_path(path.parent) for path in weights.latest(self._first)]
        return f"; those of an earlier run are in {places[0]}" if places else ""


def _is_finite(prediction: Any) -> bool:
    if isinstance(prediction, Mapping):
        return all(_is_finite(value) for value in prediction.values())
    return bool(torch.isfinite(torch.as_tensor(prediction)).all())


def _best(state: Any) -> dict[str, Any]:
    """Return what ``provenance.json`` says about the best validation of an engine so far."""
    return _named(state.key_metric_name, state.best_metric, state.best_metric_epoch)


def _named(key: str, metric: float, epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, key: round(float(metric), 4)}


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
