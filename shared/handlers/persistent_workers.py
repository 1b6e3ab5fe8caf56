"""Randomness of an epoch in the workers of a DataLoader that live on from epoch to epoch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.data.utils import set_rnd, worker_init_fn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler, get_worker_info

BEFORE_THE_FIRST = -1
"""In place of a seed, as long as workers are as they were started."""


class PersistentWorkers:
    """Let the workers of a loader with ``persistent_workers=True`` begin an epoch as newly started ones would.

    Each worker has a copy of the data set, which nothing that happens in this process reaches, and torch seeds it once,
    when it starts. So this process leaves in shared memory what torch would have seeded a new worker with, and the
    data set's ``__getitems__``, which torch calls for each batch, looks there first. The numbers are those that workers
    give which are started for every epoch.

    The seed is left when the loader begins to draw indices: by then torch has waited for what the workers still had
    to do for someone who did not read the epoch before to its end.

    Args:
        loader: with a ``BatchSampler`` and persistent workers; it was not read yet. Its data set and its batch sampler
            are changed in place.
        seed_copy: called in a worker, as (data set, seed, epoch): what this process does to the data set in an epoch.

    Raises:
        ValueError: when the loader is another, or was read before, or this torch seeds its workers in another way.
    """

    def __init__(self, loader: DataLoader[Any], seed_copy: Callable[[Any, int, int], None]) -> None:
        batches, dataset = loader.batch_sampler, loader.dataset
        has_items = hasattr(dataset, "__dict__") and not isinstance(dataset, IterableDataset)
        if not isinstance(batches, BatchSampler) or not has_items:
            raise ValueError("persistent_workers: expected batches of a torch BatchSampler, and a data set whose items "
                             f"are numbered, found {type(batches).__name__} and {type(dataset).__name__}")
        if getattr(loader, "_iterator", None) is not None:
            raise ValueError("persistent_workers: expected a loader that has not been read yet, found that its workers "
                             "were started before")
        self.loader = loader
        self._fetch = _SeededFetch(dataset, seed_copy, loader.worker_init_fn, _numpy_state())
        dataset.__getitems__ = self._fetch  # type: ignore[attr-defined]
        self._sampler = _Announcing(batches.sampler, self._fetch)
        batches.sampler = self._sampler

    def begin(self, seed: int, epoch: int) -> None:
        """Prepare the epoch that starts, right after this process was seeded.

        Args:
            seed: of the data set in this process.
            epoch: its number.
        """
        base = BEFORE_THE_FIRST
        if self._sampler.was_read:
            # What torch draws when it starts workers; without it the order of the images would be another, too.
            base = int(torch.empty((), dtype=torch.int64).random_(generator=self.loader.generator).item())
        self._sampler.coming = torch.tensor([base, seed, epoch])


class _SeededFetch:
    """The data set's ``__getitems__``: seed this worker when an epoch has begun, then fetch."""

    def __init__(
        self,
        dataset: Any,
        seed_copy: Callable[[Any, int, int], None],
        init_worker: Callable[[int], None] | None,
        numpy_state: Callable[[int, int], Any],
    ) -> None:
        self.dataset = dataset
        self.seed_copy = seed_copy
        self.init_worker = init_worker
        self.numpy_state = numpy_state
        self.inner: Callable[[Sequence[Any]], list[Any]] | None = getattr(dataset, "__getitems__", None)
        self.announced = torch.tensor([BEFORE_THE_FIRST, 0, 0]).share_memory_()
        self.seen = BEFORE_THE_FIRST

    def announce(self, values: torch.Tensor) -> None:
        """In the main process: tell the workers; those that are started later are seeded by torch."""
        self.announced.copy_(values)
        self.seen = int(values[0])

    def __call__(self, indices: Sequence[Any]) -> list[Any]:
        base, seed, epoch = self.announced.tolist()
        info = get_worker_info()
        if info is not None and base != self.seen:
            self.seen = base
            self._seed_worker(info.id, base, seed, epoch)
        return [self.dataset[index] for index in indices] if self.inner is None else self.inner(indices)

    def _seed_worker(self, number: int, base: int, seed: int, epoch: int) -> None:
        """Do what torch and MONAI do in a new worker, to whose data set this process had done what it does."""
        random.seed(base + number)
        torch.manual_seed(base + number)
        np.random.seed(self.numpy_state(base, number))
        self.seed_copy(self.dataset, seed, epoch)
        if self.init_worker is worker_init_fn:
            # It would take the seed that this worker was started with.
            set_rnd(self.dataset, seed=base + number)
        elif self.init_worker is not None:
            self.init_worker(number)


def _numpy_state() -> Callable[[int, int], Any]:
    """Return torch's own function for the seed that it gives to NumPy in a worker; it is not public."""
    try:
        from torch.utils.data._utils.worker import _generate_state
    except ImportError as err:
        raise ValueError(f"persistent_workers: expected False, found True; torch {torch.__version__} does not say how "
                         "it seeds its workers") from err
    return _generate_state


class _Announcing(Sampler[Any]):
    """A sampler that tells the workers of the coming epoch before it draws its first index."""

    def __init__(self, sampler: Any, fetch: _SeededFetch) -> None:
        self.sampler = sampler
        self.fetch = fetch
        self.was_read = False
        self.coming = fetch.announced.clone()

    def __iter__(self) -> Iterator[Any]:
        self.was_read = True
        self.fetch.announce(self.coming)
        yield from self.sampler

    def __len__(self) -> int:
        return len(self.sampler)
