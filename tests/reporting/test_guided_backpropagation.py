"""Guided back-propagation against a backward pass written out by hand, and against MONAI where MONAI guides."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from monai.networks.nets import ResNet
from monai.visualize import GuidedBackpropGrad
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from shared.errors import InputError
from shared.networks import SRResNet
from shared.recognition import RecognitionTask
from shared.reporting.guided_backpropagation import (
    diagnosis_score,
    explain_enhancement,
    explain_recognition,
    guided_gradient,
    segmentation_score,
)


class Tiny(nn.Module):
    """Convolution, activation, residual convolution, the same activation again, weighted sum."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.act = activation
        self.weights = nn.Parameter(torch.randn(3, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        """Return [1, 1]."""
        x = self.act(self.first(x))
        return (self.act(self.second(x) + x) * self.weights).sum().reshape(1, 1)


def by_hand(net: Tiny, image: Tensor, slope: float, guided: bool) -> Tensor:
    def activate(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, slope * x)

    def back(gradient: Tensor, x: Tensor) -> Tensor:
        gradient = gradient * (gradient > 0) if guided else gradient
        return gradient * torch.where(x > 0, 1.0, slope)

    before_first = conv2d(image[None], net.first.weight, net.first.bias, padding=1)
    hidden = activate(before_first)
    before_second = conv2d(hidden, net.second.weight, net.second.bias, padding=1) + hidden
    at_second = back(net.weights[None], before_second)
    at_hidden = conv_transpose2d(at_second, net.second.weight, padding=1) + at_second
    return conv_transpose2d(back(at_hidden, before_first), net.first.weight, padding=1)[0].detach()


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        (nn.ReLU(), 0.0),
        (nn.ReLU(inplace=True), 0.0),
        (nn.PReLU(init=0.3), 0.3),
        (nn.PReLU(init=0.0), 0.0),
        (nn.LeakyReLU(0.2, inplace=True), 0.2),
    ],
    ids=str,
)
def test_gradient_is_that_of_a_backward_pass_by_hand(activation: nn.Module, slope: float) -> None:
    torch.manual_seed(0)
    net, image = Tiny(activation).double(), torch.randn(2, 6, 6, dtype=torch.float64)
    found = guided_gradient(net, torch.sum, image)
    torch.testing.assert_close(found, by_hand(net, image, slope, guided=True))
    assert (found - by_hand(net, image, slope, guided=False)).abs().max() > 0.1


def test_gradient_is_monais_where_monai_finds_the_rectifiers() -> None:
    torch.manual_seed(1)
    named = nn.Sequential()
    for number in range(2):
        named.add_module(f"conv{number}", nn.Conv2d(2 if number == 0 else 4, 4, 3))
        named.add_module(f"relu{number}", nn.ReLU())
    named.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 3)))
    image = torch.randn(2, 8, 8)
    expected = GuidedBackpropGrad(copy.deepcopy(named))(image.clone()[None])[0]
    torch.testing.assert_close(guided_gradient(named, diagnosis_score, image), expected)


def classifier() -> ResNet:
    torch.manual_seed(2)
    return ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], spatial_dims=2, n_input_channels=3, num_classes=3)


def test_monai_alone_does_not_guide_its_own_resnet_and_here_it_is_guided() -> None:
    network, image = classifier().eval(), torch.rand(3, 64, 64)
    leaf = image.clone()[None].requires_grad_(True)
    (plain,) = torch.autograd.grad(network(leaf).max(), leaf)
    torch.testing.assert_close(GuidedBackpropGrad(copy.deepcopy(network))(image.clone()[None]), plain)
    guided = guided_gradient(network, diagnosis_score, image)
    assert (guided - plain[0]).norm() > 0.1 * plain.norm()


def test_network_and_image_stay_as_they_are() -> None:
    network, image = classifier().train().requires_grad_(False), torch.rand(3, 64, 64)
    before = copy.deepcopy(network.state_dict())
    modules = dict(network.named_modules())
    task = RecognitionTask(network, nn.CrossEntropyLoss(), name="diagnosis")
    first, second = (explain_recognition(task, image) for _ in range(2))
    torch.testing.assert_close(first, second)  # nothing adds up
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert dict(network.named_modules()) == modules
    assert network.training
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert not image.requires_grad
    assert image.grad is None


def test_scores() -> None:
    assert diagnosis_score(torch.tensor([[1.0, 3.0, 2.0]])) == 3
    logits = torch.tensor([[0.0, 0.0, 5.0], [1.0, -1.0, 1.0], [2.0, -2.0, 0.0]])[None, :, None]  # [1, 3, 1, 3]
    assert segmentation_score(logits) == 2.0  # of the first pixel alone: the others are background
    logits[:, 0] = 9.0
    assert segmentation_score(logits) == 2.0 - 1.0 + 1.0


def test_a_segmentation_is_explained_at_the_image_s_own_size() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    task = RecognitionTask(network, nn.CrossEntropyLoss(), name="segmentation", divisible_by=32)
    image = torch.rand(1, 20, 37)
    gradient = explain_recognition(task, image)
    assert gradient.shape == image.shape
    unpadded = guided_gradient(network, segmentation_score, image)
    torch.testing.assert_close(gradient[:, 2:-2, 2:-2], unpadded[:, 2:-2, 2:-2])


@pytest.mark.parametrize("scale", [1, 2])
def test_enhancement_is_explained_by_its_loss(scale: int) -> None:
    torch.manual_seed(4)
    network = SRResNet(1, 1, num_blocks=1, features=4, upscale_factor=scale).eval()
    nn.init.normal_(network.tail.weight, std=0.1)
    image, clean = torch.rand(1, 12, 12), torch.rand(1, 12 * scale, 12 * scale)
    gradient = explain_enhancement(network, image, clean)
    assert gradient.shape == image.shape
    with torch.no_grad():
        perfect = network(image[None])[0]
    assert explain_enhancement(network, image, perfect).abs().max() < 1e-6 * gradient.abs().max()
    assert math.isfinite(float(gradient.sum()))


def test_a_network_without_rectifiers_is_refused() -> None:
    with pytest.raises(InputError, match="needs a network with ReLU, PReLU or LeakyReLU modules, found none in Conv2d"):
        guided_gradient(nn.Conv2d(1, 1, 3), torch.sum, torch.rand(1, 8, 8))
