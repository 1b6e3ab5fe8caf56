"""What handlers publish of a step and of an epoch, for the handlers that print it: losses, decisions, rates.

A handler owns a :class:`Publisher` with a name of its own. It calls :meth:`Publisher.start` when the trainer starts,
:meth:`Publisher.publish_step` after a step and :meth:`Publisher.publish_epoch` at the end of an epoch, each with values
by group (a task, a network) and quantity. Values are numbers, or tensors without dimensions that stay on their device:
:func:`read` fetches many at once. :class:`Shown` says what a person is to see of them, and in which words.

:class:`~shared.handlers.EpochLog`, :class:`~shared.handlers.Progress` and :class:`~shared.handlers.TensorBoardCurves`
show what the :func:`publishers` of a trainer have published, and know none of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Engine
from monai.utils import CommonKeys
from torch import Tensor

Value = Tensor | float
Values = Mapping[str, Mapping[str, Value]]

READ_EVERY = 50
"""Steps between two reads of what was collected on the device; the end of an epoch is one as well."""


@dataclass(frozen=True)
class Shown:
    """What is shown of published values, and in which words; without a mapping or names, all of it is.

    Attributes:
        progress: names in the progress bar by quantity of a step, for example ``{"loss": "L_VR {group}"}``.
        line: forms in the line of an epoch by quantity, for example ``{"rate": "{group} accepted {value:.0%}"}``.
        step_curves: quantities of a step that become the curves ``<group>/<quantity>``.
        epoch_curves: quantities of an epoch that do; without names, those that are no curves of steps.
    """

    progress: Mapping[str, str] | None = None
    line: Mapping[str, str] | None = None
    step_curves: Sequence[str] | None = None
    epoch_curves: Sequence[str] | None = None


class Publisher:
    """Where a handler publishes: values of a step on ``engine.state.<name>``, of an epoch on ``<name>_epoch``.

    Args:
        name: attribute of ``engine.state``.
        shown: what is shown of it.
    """

    def __init__(self, name: str, shown: Shown | None = None) -> None:
        self.name = name
        self.shown = Shown() if shown is None else shown

    def start(self, engine: Engine) -> None:
        """Make the name known, with no values yet.

        Raises:
            ValueError: when another handler of this trainer publishes under the name.
        """
        known = vars(engine.state).setdefault("publishers", {})
        if known.setdefault(self.name, self) is not self:
            raise ValueError(f"name: expected one that no other handler of this trainer has, found {self.name!r}")
        setattr(engine.state, self.name, {})

    def publish_step(self, engine: Engine, values: Values) -> None:
        """Replace the values of the last step; they are kept without their graphs."""
        plain_values = {group: {name: detached(v) for name, v in found.items()} for group, found in values.items()}
        setattr(engine.state, self.name, plain_values)

    def publish_epoch(self, engine: Engine, values: Values) -> None:
        """Replace the values of the last epoch."""
        setattr(engine.state, f"{self.name}_epoch", values)

    def step(self, engine: Engine) -> Values:
        """Return the values of the last step."""
        return getattr(engine.state, self.name, {})

    def epoch(self, engine: Engine) -> Values:
        """Return the values of the last epoch."""
        return getattr(engine.state, f"{self.name}_epoch", {})

    def progress(self, engine: Engine) -> dict[str, Value]:
        """Return what the progress bar shows of the last step, by its name there."""
        names = self.shown.progress
        return {
            f"{group} {quantity}" if names is None else names[quantity].format(group=group): value
            for group, values in self.step(engine).items()
            for quantity, value in values.items()
            if names is None or quantity in names
        }

    def forms(self, engine: Engine) -> dict[str, str]:
        """Return how the last epoch's values are printed, by ``<group>_<quantity>``; those that are not are missing."""
        forms = self.shown.line
        return {
            f"{group}_{quantity}": (
                _literal(f"{group} {quantity} ") + "{value:.4g}"
                if forms is None
                else forms[quantity].replace("{group}", _literal(group))
            )
            for group, values in self.epoch(engine).items()
            for quantity in values
            if forms is None or quantity in forms
        }

    def step_curves(self, engine: Engine) -> dict[str, Value]:
        """Return the last step's points by curve."""
        return _curves(self.step(engine), self.shown.step_curves)

    def epoch_curves(self, engine: Engine) -> dict[str, Value]:
        """Return the last epoch's points by curve."""
        curves = _curves(self.epoch(engine), self.shown.epoch_curves)
        taken = self.step_curves(engine) if self.shown.epoch_curves is None else {}
        return {name: value for name, value in curves.items() if name not in taken}


def publishers(engine: Engine) -> list[Publisher]:
    """Return those of a trainer that has started, in the order in which it called them."""
    return list(getattr(engine.state, "publishers", {}).values())


def read(values: Sequence[Value]) -> list[float]:
    """Return the values as numbers; all of one device and type come in one transfer."""
    numbers = [0.0 if isinstance(value, Tensor) else float(value) for value in values]
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor]]] = {}
    for index, value in enumerate(values):
        if isinstance(value, Tensor):
            groups.setdefault((value.device, value.dtype), []).append((index, value.detach()))
    for group in groups.values():
        for (index, _), number in zip(group, torch.stack([value for _, value in group]).tolist(), strict=True):
            numbers[index] = float(number)
    return numbers


def last_loss(engine: Engine) -> Value:
    """Return the loss of the last iteration, unread; MONAI's decollation repeats it for every image of the batch."""
    output: Any = engine.state.output
    loss = (output[0] if isinstance(output, list) else output)[CommonKeys.LOSS]
    return plain(loss).detach() if isinstance(loss, Tensor) else float(loss)


def is_time_to_read(engine: Engine) -> bool:
    """Whether this iteration is one of those after which collected values are read."""
    return ends_every(engine, READ_EVERY)


def ends_every(engine: Engine, steps: int) -> bool:
    """Whether this iteration is the last of so many, counted within an epoch; the last of an epoch always is."""
    done = step_of_epoch(engine)
    return done % steps == 0 or done == engine.state.epoch_length


def step_of_epoch(engine: Engine) -> int:
    """Return the number of this iteration within its epoch, from 1; within the run where no epoch has a length."""
    length = engine.state.epoch_length
    return engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1


def plain(tensor: Tensor) -> Tensor:
    """Return a plain tensor: MetaTensor would track meta-data through every operation."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


def detached(value: Value) -> Value:
    """Return a value without its graph, which would keep the activations of its step for as long as it is kept."""
    return value.detach() if isinstance(value, Tensor) else value


def _curves(values: Values, names: Sequence[str] | None) -> dict[str, Value]:
    return {
        f"{group}/{quantity}": value
        for group, quantities in values.items()
        for quantity, value in quantities.items()
        if names is None or quantity in names
    }


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
