"""Which images each process of a data-parallel run gets, whatever the order is that a bundle has chosen for one."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader
from torch.utils.data import Dataset, RandomSampler, Sampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from shared import distributed
from shared.errors import InputError


class Share(DistributedSampler[Any]):
    """One process's share of what a sampler draws: of its indices the first goes to rank 0, the second to rank 1, ...

    What the sampler draws depends on (seed, epoch) alone, and not on the rank: all ranks draw the same, and take
    different parts. The stock trainer sets the epoch, as it does for all samplers of this base class.

    Args:
        sampler: has a length; takes its random numbers from torch's global generator, as torch's samplers do.
        seed: of the run.
        even: give every rank equally many, by repeating the first ones; they have to step together in training.
            Otherwise each index comes once, and one is repeated only where a rank had none at all.
        num_replicas: number of processes, by default those that there are.
        rank: of this process.

    Raises:
        InputError: the sampler has nothing to draw.
    """

    def __init__(
        self,
        sampler: Sampler[Any],
        seed: int = 0,
        even: bool = True,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        count = _length(sampler)
        if count < 1:
            raise InputError("data-parallel: found no image in a data set, expected at least one")
        super().__init__(
            range(count),  # type: ignore[arg-type]
            num_replicas=distributed.world_size() if num_replicas is None else num_replicas,
            rank=distributed.rank() if rank is None else rank,
            seed=seed,
        )
        self.sampler = sampler
        self.total_size = -(-count // self.num_replicas) * self.num_replicas if even else max(count, self.num_replicas)
        self.num_samples = len(range(self.rank, self.total_size, self.num_replicas))

    def __iter__(self) -> Iterator[Any]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]))
            drawn = list(self.sampler)
        return iter([drawn[k % len(drawn)] for k in range(self.rank, self.total_size, self.num_replicas)])


def training_loader(
    dataset: Dataset[Any], seed: int, shuffle: bool = False, sampler: Sampler[Any] | None = None, **arguments: Any
) -> DataLoader:
    """Return the loader of one process of a data-parallel run, with its share of what a single process would draw.

    Args:
        dataset: to load from.
        seed: of the run.
        shuffle: draw each image once, in random order.
        sampler: what draws the images, in place of that.
        arguments: others of MONAI's loader; ``batch_size`` is that of each process.
    """
    own = sampler if sampler is not None else RandomSampler(dataset) if shuffle else SequentialSampler(dataset)  # type: ignore[arg-type]
    return DataLoader(dataset, sampler=Share(own, seed), **arguments)


def evaluation_loader(dataset: Dataset[Any], **arguments: Any) -> DataLoader:
    """Return the loader of one process of a data-parallel evaluation; each image comes once, as far as they suffice.

    Args:
        dataset: to load from, in its order.
        arguments: others of MONAI's loader.
    """
    return DataLoader(dataset, sampler=Share(SequentialSampler(dataset), even=False), **arguments)  # type: ignore[arg-type]


def _length(sampler: Sampler[Any]) -> int:
    if not isinstance(sampler, Sized):
        raise TypeError(f"sampler: expected one with a length, found {type(sampler).__name__}")
    return len(sampler)
