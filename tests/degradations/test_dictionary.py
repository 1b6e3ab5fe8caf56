"""The dictionary transform: what its noise depends on, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, RandFlipd

from shared.degradations import (
    BicubicDownsample,
    Degradation,
    Degraded,
    GaussianBlur,
    GaussianNoise,
    PoissonNoise,
    challenging,
)
from shared.errors import InputError

NOISE: list[Degradation] = [GaussianNoise(0.1)]
PINNED = [0.5304978, 0.5287653, 0.5461327]


def items(count: int = 6) -> list[dict[Any, Any]]:
    generator = torch.Generator().manual_seed(0)
    return [{"id": f"case {i}", "label": torch.rand(1, 37, 31, generator=generator)} for i in range(count)]


def test_the_clean_image_stays_and_the_copy_is_fresh() -> None:
    item = items(1)[0]
    kept = item["label"].clone()
    result = Degraded("label", "image", challenging())(item)
    assert torch.equal(result["label"], kept)
    assert "image" not in item
    assert not torch.equal(result["image"], kept)
    assert result["image"].dtype == torch.float32
    assert result["image"].shape == kept.shape


def test_an_empty_chain_is_a_plain_copy() -> None:
    item = items(1)[0]
    result = Degraded("label", "image", [])(item)
    assert torch.equal(result["image"], item["label"])
    assert result["image"].data_ptr() != item["label"].data_ptr()


@pytest.mark.parametrize("clip", [True, False])
def test_clipping_comes_after_the_whole_chain(clip: bool) -> None:
    item: dict[Any, Any] = {"id": "a", "label": torch.zeros(1, 64, 64)}
    chain = [GaussianNoise(0.3), GaussianBlur(3, 2.0)]
    image = Degraded("label", "image", chain, clip=clip, seed=0)(item)["image"]
    raw = Degraded("label", "image", chain, clip=False, seed=0)(item)["image"]
    assert raw.min() < 0
    assert torch.equal(image, raw.clamp(0, 1) if clip else raw)


def degraded_by_id(loader: DataLoader) -> dict[str, torch.Tensor]:
    return {item["id"]: item["image"] for batch in loader for item in decollate_batch(batch)}


@pytest.mark.parametrize(("workers", "reverse", "batch_size"), [(0, True, 2), (2, False, 1), (2, True, 3)])
def test_with_a_seed_only_seed_and_id_count(workers: int, reverse: bool, batch_size: int) -> None:
    transform = Degraded("label", "image", challenging(), seed=3)
    expected = {item["id"]: transform(item)["image"] for item in items()}
    order = items()[::-1] if reverse else items()
    loader = DataLoader(Dataset(order, transform), batch_size=batch_size, num_workers=workers)
    for _ in range(2):
        found = degraded_by_id(loader)
        assert found.keys() == expected.keys()
        for key, image in found.items():
            assert torch.equal(image, expected[key])
    other_seed = Degraded("label", "image", challenging(), seed=4)
    assert all(not torch.equal(other_seed(item)["image"], expected[item["id"]]) for item in items())
    same_image = items(1)[0]["label"]
    a, b = (transform({"id": name, "label": same_image})["image"] for name in "ab")
    assert not torch.equal(a, b)


def test_with_a_seed_the_transforms_own_state_is_neither_read_nor_changed() -> None:
    transform = Degraded("label", "image", NOISE, seed=3)
    transform.set_random_state(1)
    state = str(transform.R.get_state())
    first = transform(items(1)[0])["image"]
    assert str(transform.R.get_state()) == state
    transform.set_random_state(2)
    assert torch.equal(transform(items(1)[0])["image"], first)


def test_the_noise_of_a_seed_and_id_is_the_same_on_every_machine_and_in_every_version() -> None:
    # Pinned: Python's salted hash() or another generator would silently give every published result new noise.
    clean = torch.full((1, 8, 8), 0.5)
    image = Degraded("label", "image", NOISE, seed=3)({"id": "a", "label": clean})["image"]
    torch.testing.assert_close(image[0, 0, :3], torch.tensor(PINNED), atol=1e-6, rtol=0)


def test_without_a_seed_the_random_state_of_the_chain_of_transforms_rules() -> None:
    transform = Compose([RandFlipd("label", 0.5), Degraded("label", "image", [GaussianNoise((0.1, 0.3))])])

    def run() -> list[torch.Tensor]:
        transform.set_random_state(7)
        return [transform(item)["image"] for item in items()]

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    again = [transform(item)["image"] for item in items()]
    assert not any(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_cached_data_set_still_gets_new_noise_each_time() -> None:
    data = CacheDataset(items(2), Compose([Degraded("label", "image", NOISE)]), progress=False)
    assert not torch.equal(data[0]["image"], data[0]["image"])
    assert torch.equal(data[0]["label"], items(1)[0]["label"])


def test_workers_draw_different_noise() -> None:
    same = [{"id": str(i), "label": torch.full((1, 16, 16), 0.5)} for i in range(4)]
    found = degraded_by_id(DataLoader(Dataset(same, Degraded("label", "image", NOISE)), num_workers=2))
    images = list(found.values())
    assert not any(torch.equal(images[i], images[j]) for i in range(4) for j in range(i))


def test_drawn_parameters_collate_and_are_shared_by_keys_but_noise_is_not() -> None:
    chain = [GaussianNoise((0.1, 0.2)), GaussianNoise((0.2, 0.3))]
    transform = Degraded(["a", "b"], ["x", "y"], chain, seed=0, clip=False)
    data: list[dict[Any, Any]] = [
        {"id": str(i), "a": torch.zeros(1, 64, 64), "b": torch.zeros(1, 64, 64)} for i in range(3)
    ]
    batch = next(iter(DataLoader(Dataset(data, transform), batch_size=3)))
    assert batch["sigma"].shape == batch["sigma_2"].shape == (3,)
    expected = (batch["sigma"] ** 2 + batch["sigma_2"] ** 2).sqrt()
    for key in "xy":
        np.testing.assert_allclose(batch[key].std(dim=(1, 2, 3)), expected, rtol=0.05)
    assert not torch.equal(batch["x"], batch["y"])
    assert "sigma" not in Degraded("a", "x", NOISE)(data[0])


def test_metatensors_keep_their_metadata_and_get_the_affine_of_their_grid() -> None:
    affine = torch.diag(torch.tensor([0.5, 0.25, 2.0, 1.0], dtype=torch.float64))
    clean = MetaTensor(torch.rand(1, 32, 48), affine=affine, meta={"filename_or_obj": "a.nii"})
    item: dict[Any, Any] = {"id": "a", "label": clean}
    same = Degraded("label", "image", NOISE)(item)["image"]
    assert isinstance(same, MetaTensor)
    assert same.meta["filename_or_obj"] == "a.nii"
    assert torch.equal(same.affine, affine)
    small = Degraded("label", "image", [BicubicDownsample(2)])(item)["image"]
    centre_of_first_pixel = small.affine @ torch.tensor([0, 0, 0, 1], dtype=torch.float64)
    np.testing.assert_allclose(small.affine.diagonal(), [1.0, 0.5, 2.0, 1.0])
    np.testing.assert_allclose(centre_of_first_pixel[:2], [0.25, 0.125])
    assert torch.equal(clean.affine, affine)


def test_numpy_input_is_taken_and_other_input_is_refused() -> None:
    assert Degraded("label", "image", NOISE)({"label": np.zeros((1, 8, 8), np.float64)})["image"].shape == (1, 8, 8)
    for wrong in (torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(8, 8)):
        with pytest.raises(InputError, match="'label' must be \\[C, H, W\\] and floating point"):
            Degraded("label", "image", NOISE)({"label": wrong})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_keys": ["x", "y"]}, "output_keys of Degraded"),
        ({"degradations": [0.1]}, "degradations of Degraded"),
        ({"degradations": PoissonNoise(0.1)}, "degradations of Degraded"),
        ({"clip": "false"}, "clip of Degraded"),
        ({"seed": -1}, "seed of Degraded"),
        ({"seed": "0"}, "seed of Degraded"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Degraded(**({"keys": "label", "output_keys": "image", "degradations": NOISE} | arguments))


def test_an_item_without_id_or_with_the_parameters_key_is_refused() -> None:
    with pytest.raises(InputError, match="needs the key 'id'"):
        Degraded("label", "image", NOISE, seed=0)({"label": torch.zeros(1, 8, 8)})
    with pytest.raises(InputError, match="already has a key 'sigma'"):
        Degraded("label", "image", [GaussianNoise((0.1, 0.2))])({"label": torch.zeros(1, 8, 8), "sigma": 1.0})
