"""What each process of a data-parallel run gets of what a single one would draw."""

import pytest
import torch
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from torch import nn
from torch.utils.data import RandomSampler, SequentialSampler, WeightedRandomSampler

from shared.data.samplers import Share, evaluation_loader, training_loader
from shared.errors import InputError


def shares(sampler, epoch, ranks=2, **kwargs):
    parts = [Share(sampler, num_replicas=ranks, rank=r, **kwargs) for r in range(ranks)]
    for part in parts:
        part.set_epoch(epoch)
    drawn = [list(part) for part in parts]
    assert [len(part) for part in parts] == [len(d) for d in drawn]
    return drawn


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 7])
def test_training_gives_every_rank_equally_many_and_all_images(count, ranks):
    drawn = shares(RandomSampler(range(count)), 1, ranks)
    assert {len(d) for d in drawn} == {-(-count // ranks)}
    assert {index for d in drawn for index in d} == set(range(count))
    together = [index for step in zip(*drawn, strict=True) for index in step]
    assert sorted(together[:count]) == list(range(count))


@pytest.mark.parametrize(("crops", "images"), [(30, 7), (5, 7), (14, 5)])
def test_a_number_of_crops_is_that_of_all_ranks_together(crops, images):
    """In whole rounds through the images, as the sampler of a single process draws them."""
    drawn = shares(RandomSampler(range(images), num_samples=crops), 3)
    together = [index for step in zip(*drawn, strict=True) for index in step][:crops]
    assert len(together) == crops
    for start in range(0, crops - images + 1, images):
        assert sorted(together[start : start + images]) == list(range(images))
    assert len(set(together[-(crops % images) :])) == crops % images


def test_what_is_drawn_depends_on_seed_and_epoch_alone():
    sampler = RandomSampler(range(50))
    first = shares(sampler, 1, seed=3)
    torch.rand(7)
    assert shares(sampler, 1, seed=3) == first
    assert shares(sampler, 2, seed=3) != first
    assert shares(sampler, 1, seed=4) != first


def test_it_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    shares(RandomSampler(range(50)), 1)
    assert torch.equal(torch.rand(3), expected)


def test_any_sampler_keeps_its_ways():
    weighted = WeightedRandomSampler([0.0, 1.0, 0.0, 1.0], 40)
    drawn = shares(weighted, 1)
    assert {index for d in drawn for index in d} == {1, 3}
    assert shares(SequentialSampler(range(5)), 1) == [[0, 2, 4], [1, 3, 0]]


@pytest.mark.parametrize(("count", "expected"), [(5, [[0, 2, 4], [1, 3]]), (2, [[0], [1]]), (1, [[0], [0]])])
def test_evaluation_takes_each_image_once(count, expected):
    assert shares(SequentialSampler(range(count)), 0, even=False) == expected


def test_an_empty_data_set_is_an_error():
    with pytest.raises(InputError, match="found no image in a data set"):
        Share(SequentialSampler([]))


def test_loaders_keep_the_order_of_a_single_process_by_what_they_are_told():
    dataset = Dataset([{"id": k} for k in range(6)])

    def ids(loader):
        return [int(k) for batch in loader for k in batch["id"]]

    assert ids(training_loader(dataset, 0, batch_size=2)) == list(range(6))
    shuffled = ids(training_loader(dataset, 0, shuffle=True, batch_size=2, num_workers=0))
    assert shuffled != list(range(6))
    assert sorted(shuffled) == list(range(6))
    sampler = RandomSampler(dataset, num_samples=9)
    assert len(ids(training_loader(dataset, 0, sampler=sampler, batch_size=2, drop_last=True))) == 8
    assert ids(evaluation_loader(dataset, batch_size=1)) == list(range(6))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stock_trainer_sets_the_epoch(workers):
    dataset = Dataset([{"image": torch.full((1,), float(k)), "label": torch.ones(1)} for k in range(6)])
    seen = []
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=3, train_data_loader=training_loader(dataset, 0, shuffle=True, num_workers=workers),
        network=nn.Linear(1, 1), optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))]), decollate=False,
        loss_function=lambda pred, label: (seen.append(int(trainer.state.batch["image"])), pred.sum())[1],
    )
    trainer.run()
    epochs = [seen[start : start + 6] for start in (0, 6, 12)]
    sampler = Share(RandomSampler(dataset))
    for number, drawn in enumerate(epochs, 1):
        sampler.set_epoch(number)
        assert drawn == list(sampler)
    assert epochs[0] != epochs[2]
