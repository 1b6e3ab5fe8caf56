import numpy as np
import pytest
import torch

from shared.data.augmentation import RandCenterScaleCropd
from shared.errors import InputError


def grid(height: int, width: int) -> torch.Tensor:
    return torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).float()


def test_one_fraction_for_both_sides_and_all_keys_around_the_centre():
    transform = RandCenterScaleCropd(["label", "mask"]).set_random_state(0)
    fractions = []
    for _ in range(200):
        item = transform({"label": grid(200, 120), "mask": grid(200, 120)})
        assert torch.equal(item["label"], item["mask"])
        height, width = item["label"].shape[1:]
        assert abs(height / 200 - width / 120) < 0.01
        assert item["label"].mean(dim=(1, 2)).numpy() == pytest.approx([99.5, 59.5], abs=0.51)
        fractions.append(height / 200)
    assert 0.5 <= min(fractions) < 0.53
    assert 0.97 < max(fractions) <= 1.0
    assert np.mean(fractions) == pytest.approx(0.75, abs=0.03)
    assert np.mean(np.array(fractions) > 0.9) == pytest.approx(0.2, abs=0.08)


def test_depends_on_the_random_state_alone():
    first = RandCenterScaleCropd("label").set_random_state(3)({"label": grid(37, 31)})["label"]
    again = RandCenterScaleCropd("label").set_random_state(3)({"label": grid(37, 31)})["label"]
    other = RandCenterScaleCropd("label").set_random_state(4)({"label": grid(37, 31)})["label"]
    assert torch.equal(first, again)
    assert first.shape != other.shape


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.9, 0.5), (0.5, 1.1)])
def test_refuses_impossible_fractions(scale):
    with pytest.raises(InputError, match="scale: expected 0 < smallest <= largest <= 1"):
        RandCenterScaleCropd("label", scale)
