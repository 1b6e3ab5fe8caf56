import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.data.augmentation import CropToMultipled, RandCenterScaleCropd
from shared.degradations import BicubicDownsample
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


@pytest.mark.parametrize(
    ("size", "multiple", "expected"),
    [
        ((233, 197), 4, (232, 196)), ((37, 31), 8, (32, 24)), ((16, 24), 8, (16, 24)), ((5, 4), 4, (4, 4)),
        ((7, 3), 1, (7, 3)),
    ],
)
def test_crops_to_the_largest_multiples_and_keeps_the_first_pixel(size, multiple, expected):
    image = grid(*size)
    item = {"id": "a", "label": image, "mask": image[:1].numpy()}
    result = CropToMultipled(["label", "mask", "region"], multiple, allow_missing_keys=True)(item)
    assert torch.equal(result["label"], grid(*expected))
    np.testing.assert_array_equal(result["mask"], grid(*expected)[:1])
    assert item["label"].shape[1:] == size, "the item itself stays as it is"
    if multiple > 1:
        small = BicubicDownsample(multiple)(result["label"], np.random.default_rng(0))
        assert [side * multiple for side in small.shape[1:]] == list(expected)


def test_pixels_of_a_metatensor_stay_where_they_are():
    affine = torch.tensor([[0.0, -2, 0, 5], [1.5, 0, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1]], dtype=torch.float64)
    image = CropToMultipled("label", 4)({"label": MetaTensor(grid(10, 7), affine=affine)})["label"]
    assert image.shape == (2, 8, 4)
    assert torch.equal(image.affine, affine)


@pytest.mark.parametrize("size", [(3, 50), (50, 3), (3, 3)])
def test_images_below_one_multiple_are_named(size):
    found = f"expected at least 4x4 pixels, found {size[0]}x{size[1]}"
    with pytest.raises(InputError, match=f"^mask of image 'case 7': {found}$"):
        CropToMultipled(["label", "mask"], 4)({"id": "case 7", "label": grid(8, 8), "mask": grid(*size)})
    with pytest.raises(InputError, match=f"^label: {found}$"):
        CropToMultipled("label", 4)({"label": grid(*size)})


@pytest.mark.parametrize("multiple", [0, -4, 4.0, "4", True, None])
def test_refuses_what_is_no_multiple(multiple):
    with pytest.raises(InputError, match="multiple: expected a whole number >= 1, found"):
        CropToMultipled("label", multiple)


def test_a_missing_key_is_an_error_unless_allowed():
    with pytest.raises(KeyError, match="region"):
        CropToMultipled(["label", "region"], 4)({"label": grid(8, 8)})
