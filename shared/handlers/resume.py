"""A checkpoint that a killed run continues from, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ignite.engine import Engine, Events
from torch import nn

from shared.distributed import barrier
from shared.errors import InputError
from shared.handlers.exceptions import at_exception
from shared.handlers.finite import NonFiniteError, batch_ids
from shared.handlers.saving_weights import SaveWeights
from shared.networks import weights

logger = logging.getLogger(__name__)
FILE_NAME = "checkpoint.pt"


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return tensors, numbers, strings, and lists and dictionaries of these."""

    def load_state_dict(self, state: Any) -> Any:
        """Restore what :meth:`state_dict` gave."""


class ResumableCheckpoint:
    """Write ``checkpoint.pt`` after every epoch of a stage, and continue from it when asked to.

    A run has several stages, and one file for all of them: a checkpoint of a later stage makes an earlier stage's
    trainer finish at once. The file is replaced only when the new one is complete; an exception leaves the last good
    one alone, and values that are not finite raise one. List it last, so that it sees what other handlers did at the
    end of an epoch.

    With ``weights`` the weights in the folder are those of this run: a run that begins anew moves what an earlier
    one left aside, a run that continues keeps those of its checkpoint, and the last stage ends with an error when the
    run has not written any.

    Args:
        folder: where the file lies.
        stage: name of the stage that the trainer runs.
        objects: what is saved and restored, by name.
        stages: names of all stages in their order.
        resume: whether to continue.
        ckpt_path: file to continue from; None takes that in ``folder``, or starts anew when there is none.
        evaluator: the validation engine, whose best metric is restored; of the last stage alone.
        weights: writes the weights of the run; the same object in all stages.

    Raises:
        InputError: (at the start) when the file is missing or comes from another run, (at the end) when the run wrote
            no weights.
        NonFiniteError: (at the end of an epoch) naming what is NaN or infinite, and the ids of the last batch.
    """

    def __init__(
        self,
        folder: str,
        stage: str,
        objects: Mapping[str, Stateful],
        stages: Sequence[str] = ("recognition", "cascade"),
        resume: bool | str = False,
        ckpt_path: str | None = None,
        evaluator: Engine | None = None,
        weights: SaveWeights | None = None,
    ) -> None:
        if stage not in stages:
            raise ValueError(f"stage: expected one of {list(stages)}, found {stage!r}")
        self.path = Path(folder) / FILE_NAME
        self.stage = stage
        self.objects = objects
        self.stages = list(stages)
        self.resume = bool(resume) or ckpt_path is not None
        self.source = Path(ckpt_path) if ckpt_path is not None else self.path
        self.must_exist = ckpt_path is not None
        self.evaluator = evaluator
        self.weights = weights

    def attach(self, engine: Engine) -> None:
        """Register on the stage's trainer."""
        engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if self.weights is not None:
            at_exception(engine, self.weights.tell_what_is_left)
            # A run may have no validation; it keeps the last weights then.
            if self.evaluator is not None or (self.weights.keep == "last" and self.stage == self.stages[-1]):
                engine.add_event_handler(Events.COMPLETED, self._require_weights)

    def __call__(self, engine: Engine) -> None:
        """At the end of an epoch: save."""
        objects = {name: _state(value) for name, value in self.objects.items()}
        bad = weights.first_not_finite(objects)
        if bad is not None:
            raise NonFiniteError(
                f"{bad}: found values that are not finite, {batch_ids(engine)}; look at these images, or lower "
                f"learning_rate ({self.path.name} was not written)"
            )
        content: dict[str, Any] = {
            "stage": self.stage,
            "epoch": engine.state.epoch,
            "objects": objects,
            "scaler": None if getattr(engine, "scaler", None) is None else engine.scaler.state_dict(),  # type: ignore[attr-defined]
        }
        if self.evaluator is not None:
            state: Any = self.evaluator.state
            content["best"] = {"metric": float(state.best_metric), "epoch": int(state.best_metric_epoch)}
        weights.save(content, self.path)
        barrier()

    def _restore(self, engine: Engine) -> None:
        content = self._read() if self.resume else None
        if content is None:
            self._begin([FILE_NAME])
            return
        order = self.stages.index(content["stage"]) - self.stages.index(self.stage)
        if order > 0:
            if self.weights is not None and self.weights.engine is engine:
                raise InputError(
                    f"{self.source}: found a checkpoint of stage {content['stage']!r}, expected one of {self.stage!r}, "
                    "whose networks are what this run is about"
                )
            self._set_epoch(engine, engine.state.max_epochs or 0)
            return
        if order == 0:
            self._load(engine, content)
        others = [] if self.source.resolve() == self.path.resolve() else [FILE_NAME]
        if order == 0 and self.evaluator is not None and "best" in content:
            self._restore_best(self.evaluator.state, content["best"], others)
        else:
            # The run that is continued has not come to its last stage, where weights are written.
            self._begin(others)

    def _read(self) -> dict[str, Any] | None:
        """Return the checkpoint to continue from, None where there is none and none has to be."""
        if not self.source.is_file():
            if self.must_exist:
                raise InputError(f"ckpt_path: expected an existing file, found {str(self.source)!r}")
            logger.info("%s: no checkpoint to resume from, %s starts anew", self.source, self.stage)
            return None
        content = weights.read(self.source)
        if not {"stage", "epoch", "objects"} <= content.keys() or content["stage"] not in self.stages:
            raise InputError(f"{self.source}: found keys {sorted(content)[:5]}, expected a checkpoint of training")
        return content

    def _begin(self, others: Sequence[str]) -> None:
        if self.weights is not None:
            self.weights.begin(others)

    def _restore_best(self, state: Any, best: Mapping[str, Any], others: Sequence[str]) -> None:
        keep = self.weights
        if keep is None or keep.take_over(self.source.parent, state.key_metric_name, best, others):
            state.best_metric, state.best_metric_epoch = best["metric"], best["epoch"]

    def _require_weights(self, engine: Engine) -> None:
        if self.weights is not None:
            self.weights.require(self.evaluator)

    def _load(self, engine: Engine, content: Mapping[str, Any]) -> None:
        epoch, max_epochs = content["epoch"], engine.state.max_epochs
        if max_epochs is not None and epoch > max_epochs:
            raise InputError(f"{self.source}: found {epoch} epochs, expected at most max_epochs {max_epochs}")
        for name, target in self.objects.items():
            state = content["objects"].get(name)
            if state is None:
                raise InputError(f"{self.source}: found no state of {name!r}, expected a checkpoint of the same run")
            if isinstance(target, nn.Module):
                weights.load_into(target, state, self.source)
                continue
            self._check_schedule(target, state)
            try:
                target.load_state_dict(state)
            except (KeyError, ValueError, RuntimeError) as err:
                raise InputError(f"{self.source}: state of {name!r} is that of another run: {err}") from err
        scaler = getattr(engine, "scaler", None)
        # One that is switched off (on a CPU) has an empty state, which another would refuse.
        if scaler is not None and content["scaler"]:
            scaler.load_state_dict(content["scaler"])
        self._set_epoch(engine, epoch)
        logger.info("%s resumes after epoch %d of %s from %s", self.stage, epoch, max_epochs, self.source)
        barrier()

    def _check_schedule(self, target: Any, state: Mapping[str, Any]) -> None:
        """Refuse a learning-rate cycle of another length: it would end before the run does, or not at its end."""
        made_for, wanted = _cycle(state), _cycle(vars(target))
        if made_for is not None and wanted is not None and made_for != wanted:
            raise InputError(
                f"{self.source}: found a learning-rate cycle of {made_for} steps, expected one of {wanted}; continue "
                "with the max_epochs and batch_size that the run began with"
            )

    @staticmethod
    def _set_epoch(engine: Engine, epoch: int) -> None:
        engine.state.epoch = epoch
        engine.state.iteration = epoch * (engine.state.epoch_length or 0)


def _state(value: Stateful) -> Mapping[str, Any]:
    return weights.unwrapped(value).state_dict() if isinstance(value, nn.Module) else value.state_dict()


def _cycle(schedule: Mapping[str, Any]) -> int | None:
    """Return the length of a schedule of torch: of OneCycleLR, or of the first part of SequentialLR."""
    milestones = schedule.get("_milestones") or [None]
    return schedule.get("total_steps", milestones[0])
