"""Keep the weights of the best validation so far, with their provenance, apart from those of earlier runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import decollate_batch
from monai.utils import CommonKeys
from torch import nn

from shared.bundle import provenance
from shared.bundle.provenance import training_command
from shared.distributed import barrier, gather, rank
from shared.errors import InputError
from shared.files import short_path, write_atomically
from shared.handlers.finite import NonFiniteError
from shared.networks import weights
from shared.recognition.ensemble import RecognitionEnsemble

logger = logging.getLogger(__name__)
MODEL = "model.pt"
RECOGNITION = "recognition.pt"
WEIGHTS = (MODEL, RECOGNITION, provenance.FILE_NAME)
NAMED = 3
"""Images that a message names; it counts the others."""


class BestModel:
    """Write ``model.pt``, ``recognition.pt`` and ``provenance.json`` whenever validation improves.

    Attach it to the validation engine. ``model.pt`` is the plain state dict of the enhancement network,
    ``recognition.pt`` a dictionary of the recognition networks' state dicts by task. A validation with an enhanced
    image that is not finite does not count: MONAI's mean leaves such images out, so that it would be too good.

    A run knows its own weights from those of others: :class:`~shared.handlers.ResumableCheckpoint` calls
    :meth:`begin` or :meth:`take_over` when it starts, and :meth:`require` when it ends. In data-parallel training
    rank 0 alone writes and moves files, and the others wait for it.

    Args:
        folder: where the files go.
        network: the enhancement network.
        recognition: the recognition networks.
        origin: content of ``provenance.json``; epoch and value of the key metric are added.

    Raises:
        InputError: at construction, when weights of real data would be overwritten by weights of phantom data.
    """

    def __init__(
        self, folder: str, network: nn.Module, recognition: nn.Module, origin: Mapping[str, Any]
    ) -> None:
        provenance.protect(folder, bool(origin["phantom"]))
        self.folder = Path(folder)
        self.network = network
        self.recognition = recognition
        self.origin = origin
        self._began = False
        self._missing_epoch = 0
        self._before: tuple[float, int] = (-1, -1)
        self._not_finite: list[str] = []
        self._value = math.nan

    def attach(self, engine: Engine) -> None:
        """Register on the validation engine."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save when this validation was the best so far.

        Raises:
            NonFiniteError: when a weight is not finite.
        """
        state: Any = engine.state
        self._not_finite = gather(self._not_finite)
        if self._not_finite or not math.isfinite(state.best_metric):
            self._discard(state)
        elif state.best_metric_epoch == state.epoch:
            self._write(state)
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
            place = weights.set_aside(self.folder, [*WEIGHTS, *others])
            if place is not None:
                logger.info("what an earlier run wrote here is now in %s", short_path(place))
        barrier()

    def take_over(self, beside: Path, key: str, best: Mapping[str, Any], others: Sequence[str] = ()) -> bool:
        """Begin as the continuation of another run: its weights are those of this run, all others are not.

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
        own = beside.resolve() == self.folder.resolve()
        found = _are_of(beside, _named(key, best["metric"], best["epoch"]))
        barrier()
        if not (own and found):
            self.begin(others)
        self._began = True
        self._missing_epoch = 0 if found else int(best["epoch"])
        if found and not own and rank() == 0:
            for name in WEIGHTS:
                write_atomically(self.folder / name, (beside / name).read_bytes())
        barrier()
        return found

    def require(self, evaluator: Engine) -> None:
        """At the end of a run: see that there are weights that it wrote itself.

        Args:
            evaluator: the validation engine.

        Raises:
            InputError: when validation never ran or never counted, or other weights lie in the folder.
        """
        state: Any = evaluator.state
        if state.best_metric_epoch < 0:
            if state.epoch < 1 and self._missing_epoch > 0:
                reason = f"nothing was left to do, but the weights of its epoch {self._missing_epoch} are not there"
            elif state.epoch < 1:
                reason = "validation never ran, lower val_interval"
            elif self._not_finite:
                reason = f"no validation counted, as the enhanced images were not finite: {self._names()}"
            else:
                reason = f"no validation counted, as {state.key_metric_name} was {self._value}"
            raise InputError(f"{self.folder}: this run wrote no weights: {reason}{self._hint()}")
        barrier()
        if not _are_of(self.folder, _best(state)):
            raise InputError(f"{self.folder}: found weights of another run, expected those of epoch "
                             f"{state.best_metric_epoch} of this run; do not run two at a time in one folder")

    def tell_what_is_left(self, error: BaseException) -> None:
        """After an error: log where the weights of an earlier run are, when this one had written none yet."""
        hint = self._hint()
        if rank() == 0 and hint and not (self.folder / MODEL).exists() and hint not in str(error):
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
            if not torch.isfinite(torch.as_tensor(output[CommonKeys.PRED])).all():
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

    def _write(self, state: Any) -> None:
        ensemble: Any = weights.unwrapped(self.recognition)
        network = weights.unwrapped(self.network).state_dict()
        networks = {name: each.state_dict() for name, each in ensemble.networks.items()}
        name = weights.first_not_finite({MODEL: network, RECOGNITION: networks})
        if name is not None:
            raise NonFiniteError(f"{name}: found a weight that is not finite, after epoch {state.epoch}")
        if rank() > 0:
            return
        # First what tells which weights these are: after a crash in between they do not pass for older ones.
        provenance.write_json({**self.origin, "best_validation": _best(state)}, self.folder / provenance.FILE_NAME)
        weights.save(network, self.folder / MODEL)
        weights.save(networks, self.folder / RECOGNITION)

    def _names(self) -> str:
        more = len(self._not_finite) - NAMED
        return ", ".join(self._not_finite[:NAMED]) + (f" and {more} more" if more > 0 else "")

    def _hint(self) -> str:
        places = [short_path(path.parent) for path in weights.latest(self.folder / MODEL)]
        return f"; those of an earlier run are in {places[0]}" if places else ""


class LoadBestModel:
    """Load what :class:`BestModel` wrote, when the engine it is attached to starts.

    Args:
        folder: where the files lie.
        network: the enhancement network.
        recognition: the recognition networks.
        bundle: folder of the bundle; the message for a missing file names its training command.

    Raises:
        InputError: when a file is missing or does not fit.
    """

    def __init__(self, folder: str, network: nn.Module, recognition: RecognitionEnsemble, bundle: str) -> None:
        self.folder = Path(folder)
        self.network = network
        self.recognition = recognition
        self.remedy = f"make the weights by: {training_command(bundle)}"

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights of all networks."""
        weights.load_into(self.network, weights.read(self.folder / MODEL, self.remedy), self.folder / MODEL)
        ensemble: Any = weights.unwrapped(self.recognition)
        weights.load_all(ensemble.networks, self.folder / RECOGNITION, self.remedy)


def _best(state: Any) -> dict[str, Any]:
    """Return what ``provenance.json`` says about the best validation of an engine so far."""
    return _named(state.key_metric_name, state.best_metric, state.best_metric_epoch)


def _named(key: str, metric: float, epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, key: round(float(metric), 4)}


def _are_of(folder: Path, best: Mapping[str, Any]) -> bool:
    """Whether the weights in a folder are all there, and those of a validation."""
    if not all((folder / name).is_file() for name in WEIGHTS):
        return False
    return (provenance.read(folder) or {}).get("best_validation") == dict(best)
