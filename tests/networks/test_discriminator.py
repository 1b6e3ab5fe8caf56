"""SRGANDiscriminator: parameter count, layout, logits, sizes, batch statistics, learning, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shared.errors import InputError
from shared.networks import SRGANDiscriminator
from tests.networks.enhancement import convolved, leaky, moved, normalised

PAPER = ((64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2))
"""Width and stride of each convolution."""


@pytest.fixture(scope="module")
def network() -> SRGANDiscriminator:
    torch.manual_seed(0)
    return SRGANDiscriminator().eval()


def _by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """SRGAN's discriminator in evaluation mode, from figure 4 of its paper; x leaves 6×6 or 2×2 maps."""
    layer = 0
    for position, (_, stride) in enumerate(PAPER):
        x = convolved(state, f"features.{layer}", x, stride)
        layer += 1
        if position:
            x = normalised(state, f"features.{layer}", x)
            layer += 1
        x = leaky(x, 0.2)
        layer += 1
    if x.shape[-1] == 2:  # each of six cells averages the one pixel that it lies in
        x = x.repeat_interleave(3, -1).repeat_interleave(3, -2)
    hidden = leaky(x.flatten(1) @ state["classifier.0.weight"].T + state["classifier.0.bias"], 0.2)
    return hidden @ state["classifier.2.weight"].T + state["classifier.2.bias"]


@pytest.mark.parametrize(("channels", "count"), [(3, 23_565_505), (1, 23_565_505 - 2 * 9 * 64)])
def test_parameter_count(channels: int, count: int) -> None:
    with torch.device("meta"):
        network = SRGANDiscriminator(channels)
    assert sum(p.numel() for p in network.parameters()) == count
    widths = [channels, *(width for width, _ in PAPER)]
    convolutions = sum(9 * before * after + after for before, after in zip(widths[:-1], widths[1:], strict=True))
    norms = 2 * sum(widths[2:])
    assert convolutions + norms + 512 * 36 * 1024 + 1024 + 1024 + 1 == count


@pytest.mark.parametrize("size", [32, 96])
def test_equals_network_written_out_by_hand(size: int) -> None:
    torch.manual_seed(0)
    network = moved(SRGANDiscriminator()).double().eval()
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        logits = network(x)
        assert (logits[0] - logits[1]).abs() > 1e-4
        torch.testing.assert_close(logits, _by_hand(network.state_dict(), x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (97, 64)])
def test_one_logit_for_each_image_of_any_size(network: SRGANDiscriminator, size: tuple[int, int]) -> None:
    x = torch.rand(3, 3, *size)
    with torch.no_grad():
        logits = network(x)
        each = torch.cat([network(image[None]) for image in x])
    assert logits.shape == (3, 1)
    torch.testing.assert_close(logits, each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(31, 64), (64, 16)])
def test_small_images_are_refused_with_their_size(network: SRGANDiscriminator, size: tuple[int, int]) -> None:
    message = f"^SRGANDiscriminator: images must be at least 32x32 pixels, found {size[0]}x{size[1]}$"
    with pytest.raises(InputError, match=message):
        network(torch.rand(1, 3, *size))


def test_batch_of_one_trains_at_the_least_size_and_not_at_half_of_it() -> None:
    torch.manual_seed(0)
    network = SRGANDiscriminator().train()
    assert network(torch.rand(1, 3, 32, 32)).isfinite().all()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network.features(torch.rand(1, 3, 16, 16))


def test_learns_to_tell_smooth_images_from_rough_ones() -> None:
    """Every parameter gets a gradient but the biases that a batch norm cancels; the logits leave [0, 1]."""
    torch.manual_seed(0)
    network = SRGANDiscriminator(1)
    rough = torch.rand(4, 1, 32, 32)
    smooth = functional.avg_pool2d(rough, 3, stride=1, padding=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    for _ in range(8):
        optimizer.zero_grad()
        real, fake = network(rough), network(smooth)
        (functional.softplus(-real).mean() + functional.softplus(fake).mean()).backward()
        optimizer.step()
    cancelled = {f"features.{layer}.bias" for layer in range(2, 23, 3)}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().max() > 1e-7) is (name not in cancelled), name
    assert real.min() > 1
    assert fake.max() < -1


@pytest.mark.parametrize("value", [0, 3.0, True, None])
def test_error_names_argument_rule_and_found_value(value: Any) -> None:
    with pytest.raises(InputError, match=f"in_channels must be an integer of at least 1, found {value!r}$"):
        SRGANDiscriminator(value)
