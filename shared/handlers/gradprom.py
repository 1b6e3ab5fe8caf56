"""The handler that lets recognition gradients into the training of an enhancement network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from shared import update_rules
from shared.distributed import agree, average, broadcast
from shared.handlers.finite import FiniteLoss, NonFiniteError, batch_ids, loss_scaler
from shared.handlers.resume import Stateful
from shared.handlers.statistics import GateStatistics
from shared.recognition import RecognitionTask

Rule = Callable[[Sequence[Tensor], Sequence[Sequence[Tensor]], Sequence[float]], update_rules.Update]


class GradPromHandler:
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
    ids of the batch; with one, too many steps in a row that it skips do (:class:`FiniteLoss`). A non-finite G_VR or
    dL_VR/dphi leaves that auxiliary out of the step; it is counted.

    Publishes on ``engine.state.<name>`` per task name: ``cosine`` (NaN where a plain sum never measures it),
    ``accepted``, ``loss`` (L_VR) and ``norm_ratio`` (lambda * |G_VR| / |G_IP|); at the end of an epoch their means
    on ``engine.state.<name>_epoch``, with the acceptance rate and the number of skipped steps. List it before
    handlers that read these.

    Args:
        tasks: one :class:`~shared.recognition.RecognitionTask` or several; each is gated on its own.
        rule: name of a strategy or a callable like those in :mod:`shared.update_rules`.
        warmup: fraction of the trainer's ``max_epochs``, rounded up to whole epochs, in which IP trains alone.
        name: attribute of ``engine.state`` to publish on.
        always_measure: for a plain sum too, compute G_VR on its own, so that cosine and norm ratio are known.

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
    ) -> None:
        self.tasks = [tasks] if isinstance(tasks, RecognitionTask) else list(tasks)
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"tasks: expected at least one, each with a name of its own, found {names}")
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup: expected a fraction in [0, 1), found {warmup}")
        if rule == "frozen" and any(task.optimizer is not None for task in self.tasks):
            raise ValueError("rule: 'frozen' expects tasks without an optimizer")
        self.rule: Rule = update_rules.get(rule) if isinstance(rule, str) else rule
        self.warmup = warmup
        self.name = name
        self.statistics = GateStatistics(names)
        self._adds_losses = getattr(self.rule, "is_plain_sum", False) and not always_measure
        self._step_hook: RemovableHandle | None = None
        self._engine: SupervisedTrainer | None = None
        self._gradients: dict[str, list[Tensor]] = {}
        self._losses: dict[str, list[float]] = {}
        self._finite: dict[str, bool] = {}

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; call before it runs."""
        engine.add_event_handler(Events.STARTED, self._start)
        FiniteLoss().attach(engine)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish_epoch)

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

    def __call__(self, engine: SupervisedTrainer) -> None:
        """On LOSS_COMPLETED: compute L_VR and its gradients, and keep them until the optimizer steps."""
        if _starts_window(engine):
            self._forget()
        if engine.state.epoch <= self._warmup_epochs:
            return
        prediction = _plain(engine.state.output[CommonKeys.PRED])
        for task in self.tasks:
            self._collect(engine, task, prediction)

    def state_dict(self) -> dict[str, Any]:
        """Return gate statistics, the recognition tasks' states and that of a rule which remembers."""
        state = {"statistics": self.statistics.state_dict(), "tasks": {t.name: t.state_dict() for t in self.tasks}}
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
        self.statistics.load_state_dict(state["statistics"])

    def _start(self, engine: SupervisedTrainer) -> None:
        self._engine = engine
        self._warmup_epochs = self.warmup_epochs(engine.state.max_epochs)
        setattr(engine.state, self.name, {})
        for task in self.tasks:
            task.network.to(engine.state.device)
            broadcast([*task.network.parameters(), *task.network.buffers()])
        if self._step_hook is not None:
            self._step_hook.remove()
        self._step_hook = engine.optimizer.register_step_pre_hook(self._before_step)
        self._forget()

    def _forget(self) -> None:
        """Drop what was collected: a new accumulation window starts."""
        self._gradients, self._losses, self._finite = {}, {}, {}
        for task in self.tasks:
            if task.optimizer is not None:
                task.optimizer.zero_grad(set_to_none=True)

    def _collect(self, engine: SupervisedTrainer, task: RecognitionTask, prediction: Tensor) -> None:
        """Run VR on the prediction, add dL_VR/dphi to ``.grad`` and keep G_VR (or add it through the loss)."""
        task.set_mode()
        view = prediction.detach().requires_grad_(True)
        loss = task.loss(view, _plain(engine.state.output[CommonKeys.LABEL]), engine.state.batch)
        scale = 1.0 if engine.scaler is None else float(engine.scaler.get_scale())
        share = 1.0 / engine.accumulation_steps
        at_prediction, *at_phi = torch.autograd.grad(loss * scale, [view, *task.parameters], allow_unused=True)
        self._losses.setdefault(task.name, []).append(loss.item())
        _accumulate(task.parameters, at_phi, share / scale)
        if self._adds_losses:
            # Unscaled, the gradient of a half-precision network would vanish below 6e-8.
            single = torch.promote_types(at_prediction.dtype, torch.float32)
            self._add_to_loss(engine, task, prediction, at_prediction.to(single) / scale)
            return
        theta = _parameters(engine.optimizer)
        at_theta = torch.autograd.grad(prediction, theta, at_prediction, retain_graph=True, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(theta, at_theta, strict=True)]
        gradients = _scaled(gradients, share / scale)
        if task.name in self._gradients:
            gradients = list(torch._foreach_add(self._gradients[task.name], gradients))
        self._gradients[task.name] = gradients

    def _add_to_loss(self, engine: SupervisedTrainer, task: RecognitionTask, prediction: Tensor, at: Tensor) -> None:
        finite = agree(bool(torch.isfinite(at).all()), at.device)
        self._finite[task.name] = self._finite.get(task.name, True) and finite
        if finite:
            inner = task.weight * (at * prediction.to(at.dtype)).sum()
            loss = engine.state.output[CommonKeys.LOSS]
            # The value is taken off again, so that the logged loss stays L_IP.
            engine.state.output[CommonKeys.LOSS] = loss + (inner - inner.detach()).to(loss.dtype)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Hook on the trainer's optimizer: apply the rule to ``.grad``, step the recognition optimizers."""
        if not self._losses or self._engine is None:
            return
        # A fused optimizer skips an overflowing step by itself, and gets gradients that are still scaled.
        if float(getattr(optimizer, "found_inf", 0.0)) > 0:
            self._forget()
            return
        scale = float(getattr(optimizer, "grad_scale", None) or 1.0)
        theta = _parameters(optimizer)
        for parameter in theta:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        main = [p.grad for p in theta if p.grad is not None]
        finite = {task.name: self._average_phi(task) for task in self.tasks}
        if self._adds_losses:
            self._check_main(nn.utils.get_total_norm(main).item())
            steps = {n: {"cosine": math.nan, "accepted": self._finite[n], "norm_ratio": math.nan} for n in finite}
            finite = {n: finite[n] and self._finite[n] for n in finite}
        else:
            steps = self._combine(main, finite, scale)
        for task in self.tasks:
            if task.optimizer is not None and finite[task.name]:
                task.optimizer.step()
        self._publish(steps, finite)
        self._forget()

    def _combine(self, main: list[Tensor], finite: dict[str, bool], scale: float) -> dict[str, dict[str, Any]]:
        """Apply the rule in place on ``main``; mark in ``finite`` the tasks that had to be left out."""
        auxiliaries = []
        for task in self.tasks:
            gradients = _scaled(self._gradients[task.name], scale)
            average(gradients)
            finite[task.name] = finite[task.name] and _is_finite(gradients)
            auxiliaries.append(gradients)
        used = [k for k, task in enumerate(self.tasks) if finite[task.name]]
        update = self.rule(main, [auxiliaries[k] for k in used], [self.tasks[k].weight for k in used])
        self._check_main(update.main_norm)
        torch._foreach_copy_(main, list(update.gradients))
        steps = {t.name: {"cosine": math.nan, "accepted": False, "norm_ratio": math.nan} for t in self.tasks}
        for k, cosine, accepted, norm in zip(used, update.cosines, update.accepted, update.norms, strict=True):
            ratio = self.tasks[k].weight * norm / update.main_norm if update.main_norm else math.nan
            steps[self.tasks[k].name] = {"cosine": cosine, "accepted": accepted, "norm_ratio": ratio}
        return steps

    def _average_phi(self, task: RecognitionTask) -> bool:
        """Average dL_VR/dphi and VR's running statistics over ranks; return whether the gradient is finite."""
        gradients = [p.grad for p in task.parameters if p.grad is not None]
        average(gradients)
        broadcast([b for b in task.network.buffers() if b.is_floating_point()])
        return _is_finite(gradients)

    def _check_main(self, norm: float) -> None:
        if self._engine is not None and loss_scaler(self._engine) is None and not math.isfinite(norm):
            raise NonFiniteError(f"gradient of the enhancement loss: found {norm}, {batch_ids(self._engine)}")

    def _publish(self, steps: dict[str, dict[str, Any]], finite: dict[str, bool]) -> None:
        for name, step in steps.items():
            step["loss"] = sum(self._losses[name]) / len(self._losses[name])
            self.statistics.add(name, step, skipped=not finite[name])
        setattr(self._engine.state, self.name, steps)  # type: ignore[union-attr]

    def _publish_epoch(self, engine: Engine) -> None:
        setattr(engine.state, f"{self.name}_epoch", self.statistics.close_epoch())


def _starts_window(engine: SupervisedTrainer) -> bool:
    """Whether the trainer has just cleared its gradients (it counts accumulation steps within an epoch)."""
    done = engine.state.iteration - 1
    if engine.state.epoch_length is not None:
        done %= engine.state.epoch_length
    return done % engine.accumulation_steps == 0


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _is_finite(tensors: Sequence[Tensor]) -> bool:
    return not tensors or math.isfinite(nn.utils.get_total_norm(tensors).item())


def _scaled(gradients: Sequence[Tensor], factor: float) -> list[Tensor]:
    """Return the gradients times a factor; never in place, since autograd may return one tensor for two parameters."""
    if factor == 1.0 or not gradients:
        return list(gradients)
    return list(torch._foreach_mul(list(gradients), factor))


def _accumulate(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None], factor: float) -> None:
    """Add the gradients times a factor to ``.grad``."""
    pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    scaled = _scaled([g for _, g in pairs], factor)
    for (parameter, _), gradient in zip(pairs, scaled, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _plain(tensor: Any) -> Tensor:
    """Return a plain tensor: MetaTensor would track meta-data through every operation of VR."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"prediction and label: expected tensors, found {type(tensor).__name__}")
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
