"""VGG19's features against functions alone, and the files that are not VGG19's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shared.errors import InputError
from shared.networks import VGG19Features
from tests.networks.vgg19_file import POOL, VGG16, VGG19, saved, torchvision_vgg

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return torchvision_vgg()


@pytest.fixture(scope="module")
def file(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(state, tmp_path_factory.mktemp("vgg"))


def by_hand(state: State, images: Tensor, convolutions: int) -> Tensor:
    """What the so-manieth convolution of the whole network gives, before its activation."""
    x = torch.stack([
        (images[:, c] - mean) / std
        for c, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])
    ], dim=1)
    position = done = 0
    for width in VGG19:
        if width == POOL:
            x, position = F.max_pool2d(x, 2, 2), position + 1
            continue
        x = F.conv2d(x, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1)
        done += 1
        if done == convolutions:
            break
        x, position = F.relu(x), position + 2
    return x


@pytest.mark.parametrize(("layer", "convolutions", "shape"), [
    ("conv1_1", 1, (64, 40, 35)), ("conv2_2", 4, (128, 20, 17)), ("conv3_3", 7, (256, 10, 8)),
    ("conv5_4", 16, (512, 2, 2)),
])
def test_a_layer_is_that_of_the_whole_network(
    state: State, file: Path, layer: str, convolutions: int, shape: tuple[int, ...]
) -> None:
    features, images = VGG19Features(file, layer), torch.rand(2, 3, 40, 35)
    found, expected = features(images), by_hand(state, images, convolutions)
    assert found.shape == (2, *shape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert float(expected.min()) < 0 < float(expected.max())
    kept = features.state_dict()
    assert len(kept) == 2 * convolutions
    assert all(torch.equal(value, state[key]) for key, value in kept.items())


def test_weights_are_frozen_and_the_image_is_not(file: Path) -> None:
    features, images = VGG19Features(file), torch.rand(1, 3, 32, 32).requires_grad_()
    assert not any(parameter.requires_grad for parameter in features.parameters())
    value = features.train()(images)
    assert torch.equal(value, features.eval()(images))
    value.square().mean().backward()
    assert images.grad is not None
    assert float(images.grad.abs().min()) > 0


def test_a_grey_image_counts_as_three_equal_channels(file: Path) -> None:
    features, grey = VGG19Features(file, "conv2_1"), torch.rand(2, 1, 9, 9)
    assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(InputError, match=r"1 or 3 channels, found shape \[2, 4, 9, 9\]"):
        features(torch.rand(2, 4, 9, 9))


@pytest.mark.parametrize("layer", ["conv5_5", "conv0_1", "relu5_4", "conv1_3", 35])
def test_unknown_layer(file: Path, layer: str) -> None:
    with pytest.raises(InputError, match=r"layer: expected one of \['conv1_1', .*'conv5_4'\], found " + repr(layer)):
        VGG19Features(file, layer)


def without(key: str) -> State:
    return {name: value for name, value in torchvision_vgg().items() if name != key}


OTHERS: dict[str, tuple[Callable[[], State], str]] = {
    "vgg16": (lambda: torchvision_vgg(VGG16), "found no 'features.16.weight', expected all 32 keys of VGG19"),
    "vgg19_bn": (lambda: torchvision_vgg(batch_norm=True), "found no 'features.2.weight', expected all 32 keys"),
    "resnet": (lambda: {"conv1.weight": torch.zeros(64, 3, 7, 7)}, "found no 'features.0.weight', expected all 32"),
    "other classes": (lambda: torchvision_vgg(classes=2), r"'classifier.6.weight' of shape \(1000, 4096\), found \(2"),
    "no classifier": (lambda: without("classifier.3.bias"), r"'classifier.3.bias' of shape \(4096,\), found none"),
    "one tensor less": (lambda: without("features.34.bias"), "found no 'features.34.bias'"),
    "one tensor more": (lambda: {**torchvision_vgg(), "fc.bias": torch.ones(2)}, "found 'fc.bias', which VGG19 has"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_files_of_other_networks(tmp_path: Path, other: str) -> None:
    make, message = OTHERS[other]
    with pytest.raises(InputError, match=r"vgg19.pth: weights of another network: .*" + message) as error:
        VGG19Features(saved(make(), tmp_path), "conv1_1")
    assert "\n" not in str(error.value)


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.pth: no such file"):
        VGG19Features(tmp_path / "absent.pth")
    (tmp_path / "half.pth").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="half.pth: found no readable PyTorch state"):
        VGG19Features(tmp_path / "half.pth")
