"""Class-activation maps of networks whose answer is known."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import ResNet
from torch import Tensor, nn

from shared.errors import InputError
from shared.reporting.class_activation import class_activation


class Quadrants(nn.Module):
    """Class k grows with the brightness of quadrant k, class 4 falls with that of the first; layer of 4 x 4 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 4, 1, bias=False), Masked())
        nn.init.ones_(self.layer4[1].weight)
        self.drop = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 5]."""
        logits = self.drop(self.layer4(x)).mean(dim=(2, 3))
        return torch.cat([logits, -logits[:, :1]], dim=1)


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Keep one quadrant of each of four channels."""
        masks = torch.zeros(4, 4, 4)
        for number in range(4):
            row, column = 2 * (number // 2), 2 * (number % 2)
            masks[number, row : row + 2, column : column + 2] = 1
        return x * masks


@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("trainable", [True, False])
def test_the_quadrant_that_a_class_is_seen_in(label: int, trainable: bool) -> None:
    network = Quadrants().train().requires_grad_(trainable)
    maps, cells = class_activation(network, torch.rand(3, 1, 16, 16) + 0.5, label)
    assert cells == (4, 4)
    assert maps.shape == (3, 16, 16)
    torch.testing.assert_close(maps.amax(dim=(1, 2)), torch.ones(3))
    row, column = 8 * (label // 2), 8 * (label % 2)
    outside = maps.clone()
    # Bilinear interpolation carries a cell of 4 pixels two pixels beyond its border.
    outside[:, max(0, row - 2) : row + 10, max(0, column - 2) : column + 10] = 0
    assert float(outside.max()) == 0
    assert float(maps[:, row + 2 : row + 6, column + 2 : column + 6].min()) > 0.2


def test_the_map_follows_the_brightest_part() -> None:
    image = torch.full((1, 1, 16, 16), 0.1)
    image[..., 4:8, :4] = 1  # second row, first column of cells
    maps, _ = class_activation(Quadrants(), image, 0)
    row, column = divmod(int(maps[0].argmax()), 16)
    assert 4 <= row < 8
    assert column < 4


def test_a_class_that_nothing_speaks_for_has_an_empty_map() -> None:
    maps, _ = class_activation(Quadrants(), torch.rand(1, 1, 16, 16), 4)
    assert float(maps.abs().max()) == 0


def test_nothing_is_left_on_the_network() -> None:
    network = ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], spatial_dims=2, n_input_channels=3, num_classes=3)
    _, cells = class_activation(network, torch.rand(2, 3, 64, 96), 1)
    assert cells == (4, 6)  # conv1_t_stride=1
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_bad_arguments() -> None:
    image = torch.rand(1, 1, 16, 16)
    with pytest.raises(InputError, match="Quadrants has no layer 'layer5'"):
        class_activation(Quadrants(), image, 0, "layer5")
    with pytest.raises(InputError, match=r"a class 5, found logits \(1, 5\)"):
        class_activation(Quadrants(), image, 5)
    with pytest.raises(InputError, match=r"found logits \(1, 4, 4, 4\) of Sequential"):
        class_activation(nn.Sequential(Quadrants().layer4), image, 0, "0")
