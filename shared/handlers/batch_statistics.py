"""Batch-norm statistics that match the images a network looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn
from torch.optim.swa_utils import update_bn

from shared.distributed import broadcast
from shared.networks import weights


class _Statistics(Protocol):
    @property
    def totals(self) -> Mapping[str, Mapping[str, int]]: ...


class CountsSteps(Protocol):
    """A handler that counts the steps of networks, by name, under "steps"; GradPromHandler is one."""

    @property
    def statistics(self) -> _Statistics:
        """The counts since training began."""


class RenewBatchStatistics:
    """Measure a network's batch-norm statistics anew, as the average over training batches; attach it to the trainer.

    Running statistics lag behind a network that changes, and those of small batches jump. What is measured is what the
    trainer computes: its data, batches, device, inferer and precision.

    In GradProm's cascade both networks change, and VR sees small batches: in a run on phantom data the running
    statistics alone cost half of VR's accuracy (0.51 instead of 0.96). So VR's are measured on enhanced training images
    before each validation. Training does not use them, so this changes what is validated, tested and saved, not how
    the networks learn. Not in the paper. It waits until VR has taken its first step: the target VR0 of the unsupervised
    form keeps the statistics of clean images.

    Args:
        network: which looks at the predictions of the trainer's network [B, C, H, W]. None is the trainer's network
            itself, which looks at its own input.
        evaluator: the validation engine, each of whose runs it comes before. None means once, when training is
            complete; list it before what saves the weights then.
        after: a handler that trains the network; nothing is measured before the first step that it counts.
        prediction_key: where the trainer's network returns a dictionary, the key of the image that is looked at.
        batches: how many of the trainer's batches are used.

    Raises:
        ValueError: at construction, when ``batches`` is below 1.
    """

    def __init__(
        self,
        network: nn.Module | None = None,
        evaluator: Engine | None = None,
        after: CountsSteps | None = None,
        prediction_key: str | None = None,
        batches: int = 16,
    ) -> None:
        if batches < 1:
            raise ValueError(f"batches: expected at least 1, found {batches}")
        self.network = network
        self.evaluator = evaluator
        self.after = after
        self.prediction_key = prediction_key
        self.batches = batches

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register for a trainer."""
        if self.evaluator is None:
            engine.add_event_handler(Events.COMPLETED, self)
        else:
            self.evaluator.add_event_handler(Events.STARTED, lambda _: self(engine))

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Measure the statistics, unless the network is still as it was before its training.

        Args:
            engine: the trainer.
        """
        if self.after is not None and not any(count["steps"] for count in self.after.statistics.totals.values()):
            return
        own = weights.unwrapped(engine.network)
        network = own if self.network is None else weights.unwrapped(self.network)
        applied = _Applied(network, lambda batch: self._run(engine, own, batch))
        training = own.training
        own.eval()
        # Of a tuple, update_bn takes the first item; a batch may be one itself.
        update_bn(((batch,) for batch in islice(engine.data_loader, self.batches)), applied)
        own.train(training)
        broadcast([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def _run(self, engine: SupervisedTrainer, own: nn.Module, batchdata: Any) -> None:
        """Do with a batch what the trainer does, as far as its prediction, and let the network look at that."""
        inputs, _, *more = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        args, kwargs = more or ((), {})
        with _precision(engine):
            prediction = engine.inferer(inputs, own, *args, **kwargs)
            if self.network is not None:
                self.network(prediction if self.prediction_key is None else prediction[self.prediction_key])


class _Applied(nn.Module):
    """A network as a module that is called with a batch of data: what torch's ``update_bn`` takes."""

    def __init__(self, network: nn.Module, run: Callable[[Any], None]) -> None:
        super().__init__()
        self.network = network
        # The mode that update_bn restores at its end.
        self.training = network.training
        self.run = run

    def forward(self, batchdata: Any) -> None:
        """Run the network on a batch."""
        self.run(batchdata)


def _precision(engine: SupervisedTrainer) -> AbstractContextManager[Any]:
    """Return the context of mixed precision in which the stock trainer computes, on its conditions."""
    if engine.amp and engine.scaler is not None:
        return torch.autocast("cuda", **engine.amp_kwargs)
    return nullcontext()
