"""The handler that lets recognition gradients into the training of an enhancement network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys
from torch import Tensor
from torch.optim import Optimizer

from shared import update_rules
from shared.distributed import average
from shared.handlers.companion import (
    Companion,
    add_to_loss,
    finite_or_zero,
    is_finite,
    scaled,
    trained_parameters,
)
from shared.handlers.companion_handler import CompanionHandler
from shared.handlers.finite import note_gradient
from shared.handlers.published import Publisher, Shown, plain
from shared.handlers.resume import Stateful
from shared.handlers.statistics import StepStatistics

if TYPE_CHECKING:
    from shared.recognition import RecognitionTask

Rule = Callable[[Sequence[Tensor], Sequence[Sequence[Tensor]], Sequence[float]], update_rules.Update]


SHOWN = Shown(
    progress={"loss": "L_VR {group}"},
    line={
        "acceptance": "{group} accepted {value:.0%}", "cosine": "{group} cosine {value:+.3f}",
        "loss": "{group} L_VR {value:.3f}",
    },
    step_curves=("loss", "cosine", "norm_ratio"),
    epoch_curves=("acceptance", "skipped"),
)


class GradPromHandler(CompanionHandler):
    """Train an enhancement network IP with the help of recognition networks VR (GradProm, section 3.2).

    Attaches to a stock :class:`monai.engines.SupervisedTrainer` whose network is IP. In every iteration, when L_IP
    is known, each VR runs on the detached prediction IP(X), and one backward pass through VR gives dL_VR/dphi and
    dL_VR/dIP(X) together. A vector-Jacobian product of the latter through IP gives G_VR; the trainer's own backward
    pass gives G_IP. When the trainer's optimizer is about to step, the rule combines them in ``.grad``, and the
    recognition optimizers step along dL_VR/dphi (free of lambda). A rule that is a plain sum needs no second pass
    through IP: lambda * <dL_VR/dIP(X), IP(X)>, with its own value taken off again, is added to the loss.

    *Gradient accumulation.* The gate looks at gradients averaged over the trainer's ``accumulation_steps``.

    *Data-parallel training.* DistributedDataParallel averages G_IP; the handler averages G_VR and dL_VR/dphi over
    ranks before it decides, so that all ranks decide alike. VR must not be wrapped in DistributedDataParallel.

    *Mixed precision.* L_VR is multiplied by the trainer's current loss scale before its backward pass, and both
    dL_VR/dphi and G_VR are divided by it afterwards, in the parameters' own precision. So phi takes an ordinary,
    unscaled step, in the same iteration as theta: when the scaler skips an overflowing iteration, phi waits too.

    *Non-finite values.* Without a loss scaler, a non-finite L_IP or G_IP raises :class:`NonFiniteError` with the
    ids of the batch; with one, too many steps in a row that it skips do (both late, see :class:`FiniteLoss`). A
    non-finite G_VR or dL_VR/dphi leaves that auxiliary out of the step; it is counted.

    *Waiting.* Nothing here waits for the device, but rules that do (:mod:`shared.torchjd_rules`) and optimizers of VR
    that cannot skip a step otherwise (:class:`~shared.handlers.conditional_step.ConditionalStep`).

    Publishes on ``engine.state.<name>`` per task name, as tensors without dimensions: ``cosine`` (NaN where a plain
    sum never measures it), ``accepted``, ``loss`` (L_VR) and ``norm_ratio`` (lambda * |G_VR| / |G_IP|); at the end of
    an epoch their means on ``engine.state.<name>_epoch``, with the acceptance rate and the number of skipped steps.
    List it before handlers that read these.

    Args:
        tasks: one :class:`~shared.recognition.RecognitionTask` or several; each is gated on its own.
        rule: name of a strategy or a callable like those in :mod:`shared.update_rules`.
        warmup: fraction of the trainer's ``max_epochs``, rounded up to whole epochs, in which IP trains alone.
        name: attribute of ``engine.state`` to publish on.
        always_measure: for a plain sum too, compute G_VR on its own, so that cosine and norm ratio are known.
        prediction_key: where IP returns a dictionary, the key of the image that VR looks at.

    Raises:
        ValueError: when a task is missing or a name occurs twice, the rule is unknown, ``warmup`` is outside [0, 1),
            ``rule="frozen"`` comes with an optimizer, or (at the start) warm-up would take all epochs.
    """

    def __init__(
        self,
        tasks: RecognitionTask | Sequence[RecognitionTask],
        rule: str | Rule = "gradprom",
        warmup: float = 0.0,
        name: str = "gradprom",
        always_measure: bool = False,
        prediction_key: str | None = None,
    ) -> None:
        self.tasks = list(tasks) if isinstance(tasks, Sequence) else [tasks]
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"tasks: expected at least one, each with a name of its own, found {names}")
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup: expected a fraction in [0, 1), found {warmup}")
        if rule == "frozen" and any(task.optimizer is not None for task in self.tasks):
            raise ValueError("rule: 'frozen' expects tasks without an optimizer")
        super().__init__(
            {task.name: Companion(task.network, task.optimizer) for task in self.tasks},
            StepStatistics(names, ("cosine", "norm_ratio", "loss"), {"accepted": "acceptance"}),
            Publisher(name, SHOWN),
            prediction_key,
        )
        self.rule: Rule = update_rules.get(rule) if isinstance(rule, str) else rule
        self.warmup = warmup
        self._adds_losses = getattr(self.rule, "is_plain_sum", False) and not always_measure
        self._warmup_epochs = 0
        self._gradients: dict[str, list[Tensor]] = {}
        self._losses: dict[str, list[Tensor]] = {}
        self._added: dict[str, Tensor] = {}

    def warmup_epochs(self, max_epochs: int) -> int:
        """Return how many of ``max_epochs`` epochs IP trains alone.

        Raises:
            ValueError: when that is all of them, so that the gate could never open.
        """
        # The product of decimals such as 0.1 * 30 lies a rounding error above the whole number it means.
        epochs = math.ceil(round(self.warmup * max_epochs, 9))
        if epochs >= max_epochs:
            raise ValueError(
                f"warmup: {self.warmup} of max_epochs {max_epochs} is {epochs} whole epoch(s), so the recognition "
                "gradient could never be let in; lower warmup (0 for none) or raise max_epochs"
            )
        return epochs

    def start(self, engine: SupervisedTrainer) -> None:
        """On STARTED: get everything ready."""
        self._warmup_epochs = self.warmup_epochs(engine.state.max_epochs)
        super().start(engine)

    def forget(self) -> None:
        """Drop what was collected: a new accumulation window starts."""
        super().forget()
        self._gradients, self._losses, self._added = {}, {}, {}

    def is_active(self, engine: SupervisedTrainer) -> bool:
        """Whether warm-up is over."""
        return engine.state.epoch > self._warmup_epochs

    def collect(self, engine: SupervisedTrainer, prediction: Tensor) -> None:
        """Run each VR on the prediction; learn from dL_VR/dphi, and keep G_VR (or add it through the loss)."""
        for task in self.tasks:
            companion = self.companions[task.name]
            task.set_mode()
            view = prediction.detach().requires_grad_(True)
            loss = task.loss(view, _clean(engine) if task.label_key is None else None, engine.state.batch)
            at_prediction = companion.learn(loss, at=view)
            self._losses.setdefault(task.name, []).append(plain(loss.detach()))
            if at_prediction is None:
                raise ValueError(f"tasks: expected a loss of {task.name!r} that depends on the image, found none")
            if self._adds_losses:
                self._add(engine, task, prediction, companion.unscaled(at_prediction))
                continue
            gradients = companion.through(prediction, trained_parameters(engine.optimizer), at_prediction)
            if task.name in self._gradients:
                gradients = list(torch._foreach_add(self._gradients[task.name], gradients))
            self._gradients[task.name] = gradients

    def combine(
        self, engine: SupervisedTrainer, optimizer: Optimizer, finite: dict[str, Tensor]
    ) -> dict[str, dict[str, Tensor | float]]:
        """Apply the rule in place on the optimizer's gradients."""
        theta = trained_parameters(optimizer)
        for parameter in theta:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self._adds_losses:
            steps: dict[str, dict[str, Tensor | float]] = {
                name: {"cosine": math.nan, "accepted": flag, "norm_ratio": math.nan}
                for name, flag in self._added.items()
            }
            finite.update({name: flag & self._added[name] for name, flag in finite.items()})
        else:
            steps = self._apply(engine, optimizer, [p.grad for p in theta if p.grad is not None], finite)
        for name, step in steps.items():
            step["loss"] = torch.stack(self._losses[name]).double().mean()
        return steps

    def state_dict(self) -> dict[str, Any]:
        """Return gate statistics, the recognition tasks' states and that of a rule which remembers."""
        state = {**super().state_dict(), "tasks": {task.name: task.state_dict() for task in self.tasks}}
        return {**state, "rule": self.rule.state_dict()} if isinstance(self.rule, Stateful) else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state knows other tasks, or lacks that of the rule.
        """
        if isinstance(self.rule, Stateful):
            self.rule.load_state_dict(state["rule"])
        for task in self.tasks:
            task.load_state_dict(state["tasks"][task.name])
        super().load_state_dict(state)

    def _add(self, engine: SupervisedTrainer, task: RecognitionTask, prediction: Tensor, at: Tensor) -> None:
        at, finite = finite_or_zero(at)
        self._added[task.name] = finite & self._added[task.name] if task.name in self._added else finite
        add_to_loss(engine, prediction, at, task.weight)

    def _apply(
        self, engine: SupervisedTrainer, optimizer: Optimizer, main: list[Tensor], finite: dict[str, Tensor]
    ) -> dict[str, dict[str, Tensor | float]]:
        """Apply the rule in place on ``main``; mark in ``finite`` the tasks that have to be left out."""
        scale = getattr(optimizer, "grad_scale", None)
        auxiliaries = []
        for task in self.tasks:
            # A fused optimizer gets gradients that are still multiplied by the loss scale.
            gradients = scaled(self._gradients[task.name], 1.0 if scale is None else scale.reshape(()))
            average(gradients)
            finite[task.name] = finite[task.name] & is_finite(gradients, engine.state.device)
            auxiliaries.append([torch.where(finite[task.name], g, 0.0) for g in gradients])
        update = self.rule(main, auxiliaries, [task.weight for task in self.tasks])
        main_norm = _number(update.main_norm, main[0])
        note_gradient(engine, lambda: main_norm)
        torch._foreach_copy_(main, list(update.gradients))
        steps: dict[str, dict[str, Tensor | float]] = {}
        for task, s, accepted, norm in zip(self.tasks, update.cosines, update.accepted, update.norms, strict=True):
            used = finite[task.name]
            ratio = task.weight * _number(norm, main[0]) / main_norm
            steps[task.name] = {
                "cosine": torch.where(used, _number(s, main[0]), math.nan),
                "accepted": used & torch.as_tensor(accepted, device=used.device),
                "norm_ratio": torch.where(used & (main_norm != 0), ratio, math.nan),
            }
        return steps


def _clean(engine: SupervisedTrainer) -> Tensor | None:
    """Return the clean image Y, None where there is none."""
    for source in (engine.state.output, engine.state.batch):
        image = source.get(CommonKeys.LABEL) if isinstance(source, Mapping) else None
        if isinstance(image, Tensor):
            return plain(image.to(engine.state.device, non_blocking=True))
    return None


def _number(value: Tensor | float, like: Tensor) -> Tensor:
    """Return what a rule measured as a tensor without dimensions on the gradients' device."""
    return torch.as_tensor(value, dtype=torch.float64, device=like.device)
