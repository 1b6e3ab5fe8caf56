"""What an epoch draws does not depend on how a run came to it: with no workers, with workers, with persistent ones."""

import random
import time

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset, ZipDataset
from monai.engines import SupervisedTrainer
from monai.transforms import Compose, MapTransform, RandFlipd, RandGaussianNoised, Randomizable
from torch import nn
from torch.utils.data import ConcatDataset, IterableDataset, Subset
from torch.utils.data import DataLoader as TorchDataLoader

from shared.errors import InputError
from shared.handlers import EpochSeed
from shared.handlers.seeding import seed_dataset

WORKERS = {"none": {}, "workers": {"num_workers": 2}, "persistent": {"num_workers": 2, "persistent_workers": True}}
ITEMS = [{"image": torch.arange(12.0).reshape(1, 3, 4) + k} for k in range(6)]


class Drawing(Randomizable, torch.utils.data.Dataset):
    """A data set with a random state of its own."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"image": torch.tensor([index + self.R.rand()])}


class ByEpoch(torch.utils.data.Dataset):
    """A data set that draws as a function of epoch and index, like one of unpaired images."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"image": torch.tensor([np.random.RandomState([self.epoch, index]).rand()])}


class Global(torch.utils.data.Dataset):
    """A data set that draws from the three global states."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"image": torch.tensor([index + torch.rand(()).item(), np.random.rand(), random.random()])}


class Slow(MapTransform):
    """So slow that workers still have batches to load when the reader stops."""

    def __call__(self, data):
        time.sleep(0.02)
        return data


def transform() -> Compose:
    return Compose([Slow("image"), RandFlipd("image", 0.5, 0), RandGaussianNoised("image", 1.0)])


def random_dataset() -> Dataset:
    return Dataset(ITEMS, transform())


DATASETS = {
    "transform": lambda folder: random_dataset(),
    "cached": lambda folder: CacheDataset(ITEMS, transform(), progress=False),
    "on disk": lambda folder: PersistentDataset(ITEMS, transform(), folder),
    "subset": lambda folder: Subset(CacheDataset(ITEMS, transform(), progress=False), [0, 1, 2, 3, 5, 5]),
    "two in one": lambda folder: ConcatDataset([Drawing(), ByEpoch()]),
    "side by side": lambda folder: ZipDataset([random_dataset()]),
    "with a state": lambda folder: Drawing(),
    "by epoch": lambda folder: ByEpoch(),
    "global states": lambda folder: Global(),
}
WITH_WORKERS = ("transform", "subset", "two in one", "with a state", "global states")


def image_of(batch) -> torch.Tensor:
    return (batch[0] if isinstance(batch, list) else batch)["image"].clone()


def drawn(dataset, epochs, workers="persistent", start=0, seed=0, stage=0, between=None, loader=DataLoader, **options):
    """What a trainer is given, by epoch, in a process where other things were drawn before."""
    torch.rand(start + 3)
    np.random.rand(2)
    data = loader(dataset, batch_size=2, shuffle=True, **WORKERS[workers], **options)
    given = {}
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=data, network=nn.Identity(),
        optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))]), loss_function=nn.MSELoss(),
        iteration_update=lambda engine, batch: given.setdefault(engine.state.epoch, []).append(image_of(batch)),
        train_handlers=[EpochSeed(seed, dataset, stage)], decollate=False,
    )
    trainer.add_event_handler(Events.STARTED, lambda: setattr(trainer.state, "epoch", start))
    if between is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: between(data))
    trainer.run()
    return {epoch: torch.cat(images) for epoch, images in given.items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[epoch], b[epoch]) for epoch in a)


@pytest.mark.parametrize("name", DATASETS)
def test_a_resumed_run_draws_what_an_undisturbed_run_draws(name, tmp_path):
    images = drawn(DATASETS[name](tmp_path), 3, "none")
    assert len({tuple(image.flatten().tolist()) for image in images.values()}) == 3
    assert same(drawn(DATASETS[name](tmp_path), 3, "none", start=1), {epoch: images[epoch] for epoch in (2, 3)})


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_persistent_workers_draw_what_workers_draw_that_are_started_for_every_epoch(name, tmp_path):
    images = drawn(DATASETS[name](tmp_path), 3, "persistent")
    assert len({tuple(image.flatten().tolist()) for image in images.values()}) == 3
    for workers in ("workers", "persistent"):
        assert same(drawn(DATASETS[name](tmp_path), 3, workers, start=1), {epoch: images[epoch] for epoch in (2, 3)})


@pytest.mark.parametrize("workers", ["none", "workers"])
def test_what_is_drawn_depends_on_seed_and_stage(workers):
    first = drawn(random_dataset(), 1, workers)
    assert same(first, drawn(random_dataset(), 1, workers))
    assert not same(first, drawn(random_dataset(), 1, workers, seed=1))
    assert not same(first, drawn(random_dataset(), 1, workers, stage=1))


@pytest.mark.parametrize(("workers", "sums"), [("none", [576.394, 576.4734]), ("workers", [575.9124, 575.5666])])
def test_numbers_stay_what_they_were(workers, sums):
    """Sums of what was drawn before there was any seeding for data sets that draw by themselves."""
    images = drawn(random_dataset(), 2, workers)
    assert [float(image.sum()) for image in images.values()] == pytest.approx(sums, abs=1e-3)


@pytest.mark.parametrize("workers", ["none", "persistent"])
def test_another_reader_who_stops_half_way_leaves_the_next_epoch_as_it_was(workers):
    """Its batches are under way when the next epoch starts, and the iterator of persistent workers is everyone's."""
    undisturbed = drawn(Dataset(ITEMS * 2, transform()), 3, workers)
    disturbed = drawn(Dataset(ITEMS * 2, transform()), 3, workers, between=lambda loader: next(iter(loader)))
    assert same(undisturbed, disturbed)


@pytest.mark.parametrize("init", [None, lambda number: np.random.seed(torch.initial_seed() % 2**32)])
def test_loader_of_torch(init):
    """Its workers all begin with the data set's state in this process, or with what the person's function gives."""
    options = {"loader": TorchDataLoader, "worker_init_fn": init}
    for make in (random_dataset, Global):
        last = {3: drawn(make(), 3, **options)[3]}
        assert same(drawn(make(), 3, start=2, **options), last)
        assert same(drawn(make(), 3, "workers", start=2, **options), last)


def test_two_stages_on_one_data_set():
    dataset = random_dataset()
    first = drawn(dataset, 2, stage=0)
    second = drawn(dataset, 2, stage=1)
    assert same(first, drawn(random_dataset(), 2, "workers", stage=0))
    assert same(second, drawn(random_dataset(), 2, "workers", stage=1))


def test_a_data_set_without_anything_random_is_left_alone():
    seed_dataset([1, 2], 3, 4)
    seed_dataset(torch.utils.data.TensorDataset(torch.ones(2)), 3, 4)


class Stream(IterableDataset):
    def __iter__(self):
        yield from ITEMS


@pytest.mark.parametrize("dataset", [Stream(), ITEMS])
def test_data_that_persistent_workers_cannot_be_told_about(dataset):
    data = DataLoader(dataset, batch_size=2, **WORKERS["persistent"])
    with pytest.raises(ValueError, match="persistent_workers: expected batches .* items are numbered, found"):
        trainer_of(data, dataset)


def test_a_torch_that_seeds_its_workers_in_another_way(monkeypatch):
    """Said before anything runs, and not by a worker."""
    monkeypatch.delattr("torch.utils.data._utils.worker._generate_state")
    dataset = random_dataset()
    with pytest.raises(ValueError, match="persistent_workers: expected False, found True; torch .* does not say how"):
        trainer_of(DataLoader(dataset, batch_size=2, **WORKERS["persistent"]), dataset)


def test_workers_that_were_started_before():
    dataset = random_dataset()
    data = DataLoader(dataset, batch_size=2, **WORKERS["persistent"])
    next(iter(data))
    with pytest.raises(ValueError, match="persistent_workers: .* found that its workers were started before"):
        trainer_of(data, dataset)


def test_nothing_to_train_on_is_an_error():
    dataset = random_dataset()
    with pytest.raises(InputError, match="batch_size: expected at most the number of training images, found 6"):
        trainer_of(DataLoader(dataset, batch_size=7, drop_last=True), dataset)


def trainer_of(data, dataset) -> SupervisedTrainer:
    return SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=nn.Identity(),
        optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))]), loss_function=nn.MSELoss(),
        train_handlers=[EpochSeed(0, dataset)],
    )
