"""Windows, stacks and channels of the enhancement inferer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from shared import InputError
from shared.inference import EnhancementInferer


class Pointwise(nn.Module):
    """A network with a receptive field of one pixel, so that windows cannot matter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(images.shape))
        return torch.sin(3 * self.mix(images))


@pytest.mark.parametrize("size", [(37, 31), (16, 16), (5, 90), (1, 1), (64, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_give_what_one_pass_gives(size: tuple[int, int], channels: int) -> None:
    network = Pointwise(channels).eval()
    image = torch.rand(1, channels, *size)
    with torch.no_grad():
        whole = network(image)
        windows = EnhancementInferer(channels, roi_size=16, sw_batch_size=3, overlap=0.4)(image, network)
    assert max(network.sizes[-1][2:]) <= 16
    torch.testing.assert_close(windows, whole, atol=1e-6, rtol=0)


def test_blending_leaves_no_seams() -> None:
    """A network that answers each window by its own level: Gaussian weights hide the borders."""
    inferer = EnhancementInferer(1, roi_size=32, overlap=0.5, sw_batch_size=1)
    levels = iter(range(1000))
    result = inferer(torch.zeros(1, 1, 32, 128), lambda images: images + next(levels))
    steps = result[0, 0].diff(dim=1).abs()
    assert steps.max() < 0.35, "windows one level apart must change over gradually"
    assert result.max() > 3


def test_small_image_is_one_pass_without_padding() -> None:
    network = Pointwise(1)
    EnhancementInferer(1, roi_size=64)(torch.rand(1, 1, 9, 100), network)
    assert {size[2:] for size in network.sizes} == {(9, 64)}


def test_sizes_are_padded_where_the_network_asks() -> None:
    network = Pointwise(1)
    image = torch.rand(1, 1, 9, 21)
    result = EnhancementInferer(1, roi_size=16, divisible_by=8)(image, network)
    assert {size[2:] for size in network.sizes} == {(16, 16)}
    torch.testing.assert_close(result, network(image), atol=1e-6, rtol=0)


def test_stack_is_enhanced_slice_by_slice() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    stack = torch.rand(2, 1, 20, 17, 5)
    with torch.no_grad():
        result = EnhancementInferer(1, roi_size=64)(stack, network)
        expected = torch.stack([network(stack[..., number]) for number in range(5)], dim=-1)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("empty", [[0, 1, 4], [], [0, 1, 2, 3, 4]])
def test_empty_slices_of_a_stack_stay_and_are_not_seen(empty: list[int], channels: int) -> None:
    seen = []

    def brighten(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return nn.Upsample(scale_factor=2)(images) + 0.5

    stacks = torch.rand(2, channels, 6, 7, 5) + 0.2
    for stack, darkest in zip(stacks, (0.1, -0.3), strict=True):
        stack[..., empty] = darkest
    inferer = EnhancementInferer(channels, 16, sw_batch_size=1)
    result = inferer(stacks, brighten)
    others = [number for number in range(5) if number not in empty]
    # One slice of an empty stack has to be seen, for its size.
    assert len(seen) == 2 * max(len(others), 1)
    grown = nn.Upsample(scale_factor=(2, 2, 1))(stacks)
    assert result.shape == (2, channels, 12, 14, 5)
    torch.testing.assert_close(result[..., others], grown[..., others] + 0.5)
    torch.testing.assert_close(result[..., empty], grown[..., empty], atol=0, rtol=0)


def test_a_single_image_is_enhanced_be_it_empty() -> None:
    result = EnhancementInferer(1, 16)(torch.zeros(1, 1, 6, 7), lambda images: images + 0.5)
    assert (result == 0.5).all()


def test_grey_image_in_a_colour_network_is_repeated_then_averaged() -> None:
    network = Pointwise(3)
    image = torch.rand(1, 1, 20, 17)
    result = EnhancementInferer(3, roi_size=64)(image, network)
    torch.testing.assert_close(result, network(image.repeat(1, 3, 1, 1)).mean(dim=1, keepdim=True))


@pytest.mark.parametrize("depth", [(), (4,)])
def test_colour_image_in_a_grey_network_goes_channel_by_channel(depth: tuple[int, ...]) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    image = torch.rand(1, 3, 20, 17, *depth)
    with torch.no_grad():
        inferer = EnhancementInferer(1, roi_size=64)
        result = inferer(image, network)
        expected = torch.cat([inferer(image[:, [channel]], network) for channel in range(3)], dim=1)
    torch.testing.assert_close(result, expected)


def test_super_resolution() -> None:
    image = torch.rand(1, 1, 21, 17)
    result = EnhancementInferer(1, roi_size=16)(image, nn.Upsample(scale_factor=2))
    torch.testing.assert_close(result, nn.Upsample(scale_factor=2)(image), atol=1e-6, rtol=0)


def test_channels_that_fit_nothing() -> None:
    with pytest.raises(InputError, match="image has 2 channels, expected 1 or 3"):
        EnhancementInferer(3)(torch.rand(1, 2, 8, 8), nn.Identity())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"roi_size": 0}, "roi_size: found 0"),
        ({"roi_size": [64, "64"]}, "roi_size"),
        ({"roi_size": 20, "divisible_by": 8}, "roi_size: found 20, expected positive multiples of 8"),
        ({"sw_batch_size": 0}, "sw_batch_size: found 0"),
        ({"sw_batch_size": True}, "sw_batch_size: found True"),
        ({"overlap": 1.0}, r"overlap: found 1.0, expected a number in \[0, 1\)"),
        ({"overlap": "false"}, "overlap: found 'false'"),
        ({"channels": 0}, "channels: found 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EnhancementInferer(**{"channels": 1, **settings})
