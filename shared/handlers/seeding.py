"""Randomness that does not depend on how a run came to an epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import ZipDataset
from torch.utils.data import Dataset

from shared.distributed import rank, world_size
from shared.errors import InputError
from shared.handlers.persistent_workers import PersistentWorkers


class EpochSeed:
    """Make all randomness of an epoch a function of (seed, stage, epoch, rank).

    So a resumed run draws what an undisturbed run would have drawn. Global random states alone do not do it: MONAI's
    transforms hold states of their own, and a data set may draw by itself. Workers of MONAI's DataLoader derive theirs
    from torch's; persistent ones are told of the epoch (:class:`~shared.handlers.persistent_workers.PersistentWorkers`)
    and draw the same numbers as others.

    Args:
        seed: of the run.
        dataset: whose ``transform`` is random, or which draws by itself. It is given the state of an epoch through
            ``set_random_state(seed)`` of its own and of its transform, and through ``set_epoch(epoch)``, whichever it
            has; the same holds for data sets in it (``torch.utils.data.Subset``, ``ConcatDataset``, MONAI's
            ``ZipDataset``). MONAI gives each worker a state of its own for transforms, and for a data set that has
            ``set_random_state``, which then has to pass it on to its transform.
        stage: tells stages of a run apart that train on the same data.
    """

    def __init__(self, seed: int, dataset: Any, stage: int = 0) -> None:
        self.seed = seed
        self.dataset = dataset
        self.stage = stage
        self._workers: PersistentWorkers | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer.

        Raises:
            InputError: when the trainer has nothing to train on; MONAI would skip its run with a mere warning.
            ValueError: when its data loader has persistent workers that cannot be told of an epoch.
        """
        loader = getattr(engine, "data_loader", None)
        if engine.state.epoch_length == 0:
            sampler = getattr(loader, "sampler", self.dataset)
            processes = f" of each of the {world_size()} processes" if world_size() > 1 else ""
            raise InputError(f"batch_size: expected at most the number of training images{processes}, found "
                             f"{len(sampler)}")
        if loader is not None and getattr(loader, "persistent_workers", False):
            self._workers = PersistentWorkers(loader, seed_dataset)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed everything for the epoch that starts."""
        epoch = engine.state.epoch
        entropy = np.random.SeedSequence([self.seed, self.stage, epoch, rank()])
        value = int(entropy.generate_state(1)[0])
        random.seed(value)
        np.random.seed(value)
        torch.manual_seed(value)
        seed_dataset(self.dataset, value, epoch)
        if self._workers is not None:
            self._workers.begin(value, epoch)
            # A loader of persistent workers has one iterator for all who read it: whoever did meanwhile and stopped
            # half-way left the rest of those batches to the trainer.
            engine.set_data(self._workers.loader)


def seed_dataset(dataset: Any, seed: int, epoch: int) -> None:
    """Give a data set, the data sets in it and their transforms the random state of an epoch.

    Args:
        dataset: what of it has ``set_random_state`` or ``set_epoch`` is given the state.
        seed: for ``set_random_state``.
        epoch: for ``set_epoch``.
    """
    for each in _with_inner(dataset):
        parts: tuple[Any, ...] = (each, getattr(each, "transform", None))
        for drawing in parts:
            if hasattr(drawing, "set_random_state"):
                drawing.set_random_state(seed=seed)
        if hasattr(each, "set_epoch"):
            each.set_epoch(epoch)


def _with_inner(dataset: Any) -> Iterator[Any]:
    """Yield a data set and those that it takes its items from."""
    yield dataset
    if isinstance(dataset, ZipDataset):
        inner = dataset.data
    else:
        inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    for each in inner:
        if isinstance(each, Dataset):
            yield from _with_inner(each)
