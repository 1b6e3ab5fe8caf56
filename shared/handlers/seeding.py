"""Randomness that does not depend on how a run came to an epoch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Randomizable

from shared.distributed import rank, world_size
from shared.errors import InputError


class EpochSeed:
    """Make all randomness of an epoch a function of (seed, stage, epoch, rank).

    So a resumed run draws what an undisturbed run would have drawn. Global random states alone do not do it: MONAI's
    transforms hold states of their own. Workers of MONAI's DataLoader derive theirs from torch's.

    Args:
        seed: of the run.
        dataset: whose ``transform`` is random.
        stage: tells stages of a run apart that train on the same data.
    """

    def __init__(self, seed: int, dataset: Any, stage: int = 0) -> None:
        self.seed = seed
        self.dataset = dataset
        self.stage = stage

    def attach(self, engine: Engine) -> None:
        """Register on a trainer.

        Raises:
            InputError: when the trainer has nothing to train on; MONAI would skip its run with a mere warning.
        """
        if engine.state.epoch_length == 0:
            sampler = getattr(getattr(engine, "data_loader", None), "sampler", self.dataset)
            processes = f" of each of the {world_size()} processes" if world_size() > 1 else ""
            raise InputError(f"batch_size: expected at most the number of training images{processes}, found "
                             f"{len(sampler)}")
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed everything for the epoch that starts."""
        entropy = np.random.SeedSequence([self.seed, self.stage, engine.state.epoch, rank()])
        value = int(entropy.generate_state(1)[0])
        random.seed(value)
        np.random.seed(value)
        torch.manual_seed(value)
        transform = self.dataset.transform
        if isinstance(transform, Randomizable):
            transform.set_random_state(seed=value)
