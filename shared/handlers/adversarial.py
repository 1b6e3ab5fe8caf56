"""The handler that lets an enhancement network play against a discriminator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from shared.distributed import average
from shared.errors import InputError
from shared.handlers.companion import Companion, add_to_loss, finite_or_zero, trained_parameters
from shared.handlers.companion_handler import CompanionHandler
from shared.handlers.finite import loss_scale, loss_scaler
from shared.handlers.published import Publisher, Shown, Value, plain
from shared.handlers.statistics import StepStatistics
from shared.losses.adversarial import AdversarialLoss

QUANTITIES = ("real", "fake", "generator", "loss", "gradient_ratio")
"""What is published of a step."""

SHOWN = Shown(
    progress={"generator": "L_G {group}", "loss": "L_D {group}"},
    line={
        "real": "{group} D(real) {value:+.3g}", "fake": "D(fake) {value:+.3g}", "generator": "L_G {value:.3g}",
        "loss": "L_D {value:.3g}", "gradient_ratio": "gradient ratio {value:.2g}",
    },
    step_curves=QUANTITIES,
    epoch_curves=("skipped",),
)


class AdversarialHandler(CompanionHandler):
    """Train an enhancement network G against a discriminator D (RIRGAN, sections 3.3 and 3.4).

    Attaches to a stock :class:`monai.engines.SupervisedTrainer` whose network is G. In every iteration, when G's own
    loss is known, D runs once on the real and once on the predicted batch. The same logits give dL_G/dprediction, and
    dL_D/dphi for D's parameters phi. weight * <dL_G/dprediction, prediction>, with its own value taken off again, is
    added to the trainer's loss, so that G learns from the sum of both (equation 15) in one backward pass, while the
    logged loss stays what it was. When the trainer's optimizer is about to step, D steps too. That equals a loop which
    takes both gradients from one forward pass and then lets both step; D has two passes in it instead of five.

    D is in training mode in every iteration that it takes part in, and its batch norm sees real and predicted images
    apart.

    *Gradient accumulation.* D learns from the trainer's ``accumulation_steps`` iterations together, and is the same one
    in all of them. The loss sees each by itself: means in it are those of a micro-batch.

    *Data-parallel training.* dL_D/dphi is averaged over ranks here, so D must not be wrapped in
    DistributedDataParallel. Its batch norm sees the images of one rank alone; all ranks keep the statistics of rank 0.

    *Mixed precision.* D has a loss scale of its own, so that an overflow of its gradients skips its step alone. An
    overflow of G's, which the trainer's scale is for, skips both.

    *Non-finite values.* Where dL_G/dprediction is not finite on any rank, G goes on with its own loss alone in this
    iteration. D does not step with it, as it does not where dL_D/dphi is not finite; it is counted.

    Publishes on ``engine.state.<name>[<name>]``, as tensors without dimensions: ``real`` and ``fake`` (mean logits of
    the two batches), ``generator`` (L_G, free of the weight), ``loss`` (L_D), and ``gradient_ratio``, the norm of
    weight * dL_G/dprediction relative to that of all other losses' gradient at the prediction. All are those of the
    accumulation window and of all ranks together. The other losses are whatever else the trainer's backward pass
    carries to the prediction: L_VR too, where GradPromHandler adds it to the loss (a rule that is a plain sum). At the
    end of an epoch means are on ``engine.state.<name>_epoch``, with the number of skipped steps. List the handler
    before those that read these.

    Its state holds D and its optimizer, so that a checkpoint needs the handler alone. Until D plays the state is empty,
    since D is as it was made: a run that was trained without D can be continued with it.

    Args:
        discriminator: D, maps images [B, C, H, W] to logits [B, 1] or [B, 1, H, W].
        optimizer: steps the parameters phi of D.
        loss: :class:`~shared.losses.RelativisticAverage` or another one of :mod:`shared.losses.adversarial`.
        weight: of L_G, relative to the trainer's own loss; eta of equation 15.
        real_key: where the real images [B, C, H, W] are: a key of the trainer's output, or else of the batch.
        name: attribute of ``engine.state`` to publish on, and what logs call it.
        after: number of epochs at the beginning in which G trains alone, as if there were no handler. D never plays
            when these are all.
        prediction_key: where G returns a dictionary, the key of the image that D looks at.

    Raises:
        InputError: when ``weight`` is not finite and above 0, ``after`` no whole number >= 0, D is wrapped in
            DistributedDataParallel, the optimizer steps other parameters than D's, or (in an iteration) there are no
            real images of the prediction's size.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        optimizer: Optimizer,
        loss: AdversarialLoss,
        weight: float,
        real_key: str = CommonKeys.LABEL,
        name: str = "adversarial",
        after: int = 0,
        prediction_key: str | None = None,
    ) -> None:
        if not (math.isfinite(weight) and weight > 0):
            raise InputError(f"weight: expected a finite value > 0, found {weight!r}; leave the handler out for none")
        if not isinstance(after, int) or after < 0:
            raise InputError(f"after: expected a number of epochs >= 0, found {after!r}")
        _check(discriminator, optimizer)
        self.companion = Companion(discriminator, optimizer, own_scaler=True)
        super().__init__(
            {name: self.companion}, StepStatistics([name], QUANTITIES), Publisher(name, SHOWN), prediction_key
        )
        self.discriminator = discriminator
        self.optimizer = optimizer
        self.loss = loss
        self.weight = weight
        self.real_key = real_key
        self.after = after
        self._measured: list[dict[str, Tensor]] = []

    def forget(self) -> None:
        """Drop what was collected: a new accumulation window starts."""
        super().forget()
        self._measured = []

    def is_active(self, engine: SupervisedTrainer) -> bool:
        """Whether the epochs in which G trains alone are over."""
        return engine.state.epoch > self.after

    def collect(self, engine: SupervisedTrainer, prediction: Tensor) -> None:
        """Run D on real and predicted images; learn from dL_D/dphi, and add dL_G/dprediction through the loss."""
        self.discriminator.train()
        real, fake = self._real(engine, prediction), prediction.detach().requires_grad_(True)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        generator_loss = self.loss.generator(real_logits, fake_logits)
        at_prediction = self.companion.gradient(generator_loss, fake, retain_graph=True)
        at_prediction, finite = finite_or_zero(at_prediction)
        loss = self.loss.discriminator(real_logits, fake_logits)
        # Divided by zero, D's gradients are not finite either: D does not step, and its loss scale falls. It is by that
        # scale that dL_G/dprediction may have overflowed.
        self.companion.learn(loss / finite.to(loss.dtype))
        add_to_loss(engine, prediction, at_prediction, self.weight)
        measured = {
            "real": real_logits.mean(), "fake": fake_logits.mean(), "generator": generator_loss, "loss": loss,
            "adversarial": _squared_norm(self.weight * at_prediction),
        }
        self._measured.append({name: value.detach().double() for name, value in measured.items()})
        self._measure_others(engine, at_prediction, self._measured[-1])

    def combine(
        self, engine: SupervisedTrainer, optimizer: Optimizer, finite: dict[str, Tensor]
    ) -> Mapping[str, Mapping[str, Value]]:
        """Return what was measured, averaged over the window and over ranks; leave the gradients as they are."""
        names = list(self._measured[0])
        means = torch.stack([torch.stack([row[name] for name in names]) for row in self._measured]).mean(0)
        average([means])
        values = dict(zip(names, means.unbind(), strict=True))
        # Ratio of the norms of both gradients at the predictions of all these iterations and ranks together.
        values["gradient_ratio"] = (values.pop("adversarial") / values.pop("others")).sqrt()
        return {self.name: values}

    def state_dict(self) -> dict[str, Any]:
        """Return D, its optimizer and loss scale, and the statistics; nothing before D plays."""
        if not self.statistics.totals[self.name]["steps"]:
            return {}
        networks = {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**super().state_dict(), **networks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state knows another name.
            RuntimeError: when it is that of another discriminator.
        """
        if not state:
            return
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        super().load_state_dict(state)

    def _real(self, engine: SupervisedTrainer, prediction: Tensor) -> Tensor:
        """Return the real images [B, C, H, W] on the trainer's device."""
        output, batch = engine.state.output, engine.state.batch
        source = next((s for s in (output, batch) if isinstance(s, Mapping) and self.real_key in s), {})
        real = source.get(self.real_key)
        if not isinstance(real, Tensor) or real.shape[1:] != prediction.shape[1:]:
            found = list(real.shape) if isinstance(real, Tensor) else type(real).__name__
            raise InputError(
                f"real_key: expected {self.real_key!r} to name images [B, C, H, W] of the prediction's size "
                f"{list(prediction.shape[1:])} in the trainer's output or in the batch, found {found}"
            )
        return plain(real.to(engine.state.device, non_blocking=True))

    def _measure_others(self, engine: SupervisedTrainer, at_prediction: Tensor, measured: dict[str, Tensor]) -> None:
        """Have all other losses' gradient at the prediction measured in the trainer's own backward pass."""
        scaler, share = loss_scaler(engine), self.companion.share

        def measure(gradient: Tensor) -> None:
            scale = share if scaler is None else share * loss_scale(scaler, gradient.device)
            whole = plain(gradient).to(at_prediction.dtype) / scale
            # The trainer's is the last backward pass through the prediction; other handlers' may have come before.
            measured["others"] = _squared_norm(whole - self.weight * at_prediction)

        # On the tensor that all losses have in common: a plain one would be a view that no other loss depends on.
        self.prediction(engine).register_hook(measure)


def _check(discriminator: nn.Module, optimizer: Optimizer) -> None:
    if isinstance(discriminator, DistributedDataParallel):
        raise InputError(
            "discriminator: expected the network itself, found it wrapped in DistributedDataParallel; the handler "
            "averages its gradients over ranks"
        )
    own = {id(p) for p in discriminator.parameters()}
    strange = sum(id(p) not in own for p in trained_parameters(optimizer))
    if strange:
        raise InputError(f"optimizer: expected one of the discriminator's parameters alone, found {strange} others")


def _squared_norm(gradient: Tensor) -> Tensor:
    return torch.linalg.vector_norm(gradient).double().square()
