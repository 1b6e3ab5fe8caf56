"""Images the right way up, errors, and the detail that is worth enlarging."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.reporting.display import Box, check_orientation, detail, displayed, error_map, error_scale, upright


@pytest.mark.parametrize(
    ("orientation", "corner"), [("yx", (3, 0)), ("xy", (0, 3)), ("ras", (4, 3))], ids=lambda value: str(value)
)
def test_the_end_of_the_first_axis_is_down_or_right(orientation: str, corner: tuple[int, int]) -> None:
    values = np.zeros((4, 5))
    values[3, 0] = 1
    assert tuple(np.argwhere(upright(values, orientation))[0]) == corner


def test_bytes_are_rounded_and_two_channels_are_shown_by_their_first() -> None:
    image = torch.tensor([-1.0, 0.5, 3.0])[:, None, None].expand(3, 2, 2)
    assert displayed(image, "yx")[0, 0].tolist() == [0, 128, 255]
    assert displayed(image[1:], "yx")[0, 0].tolist() == [128] * 3
    assert displayed(torch.zeros(1, 2, 7), "xy").shape == (7, 2, 3)


def test_the_error_is_that_of_clamped_images_and_its_scale_a_multiple_of_a_twentieth() -> None:
    image = torch.tensor([[[2.0, 0.5]], [[-1.0, 0.5]]])
    assert error_map(image, torch.tensor([[[1.0, 0.0]], [[1.0, 0.5]]])).tolist() == [[0.5, 0.25]]
    assert error_scale([np.zeros(4)]) == 0.05
    assert error_scale([np.full(4, 0.01), np.full(4, 0.0999)]) == pytest.approx(0.1)
    outlier = np.full(1000, 0.07)
    outlier[0] = 1
    assert error_scale([outlier]) == pytest.approx(0.1)


def test_an_unknown_orientation_is_refused() -> None:
    with pytest.raises(InputError, match="orientation of the panel must be one of yx, xy, ras, found 'up'"):
        check_orientation("up")


def test_the_detail_is_where_the_clean_image_varies() -> None:
    clean = torch.full((3, 40, 60), 0.5)
    clean[:, 20:30, 30:45] += 0.2 * torch.randn(10, 15).sign()
    assert detail(clean) == Box(20, 30, 10, 15)
    # The edge of a black surrounding varies more, and is left out.
    clean[:, :, :10] = 0
    assert detail(clean) == Box(20, 30, 10, 15)
    assert detail(torch.zeros(1, 8, 8)).height == 2


@pytest.mark.parametrize("orientation", ["yx", "xy", "ras"])
def test_the_box_is_on_the_screen_where_the_crop_comes_from(orientation: str) -> None:
    image, box = torch.zeros(1, 40, 60), Box(10, 20, 5, 7)
    image[:, 10:15, 20:27] = 1
    assert torch.equal(box.crop(image), torch.ones(1, 5, 7))
    shown = box.upright((40, 60), orientation)
    marked = np.zeros(displayed(image, orientation).shape[:2], bool)
    marked[shown.top : shown.top + shown.height, shown.left : shown.left + shown.width] = True
    np.testing.assert_array_equal(marked, displayed(image, orientation)[..., 0] == 255)
