"""Which perceptual loss a run has, and that of its own recognition network: a copy that stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import FlexibleUNet
from torch import Tensor, nn
from torch.nn import functional as F

from shared.errors import InputError
from shared.networks import VGG19Features, weights
from shared.recognition import RecognitionTask
from shared.recognition.perceptual import RecognitionFeatures, perceptual_loss
from tests.networks.vgg19_file import saved, torchvision_vgg


def segmentation(channels: int = 1) -> RecognitionTask:
    torch.manual_seed(0)
    network = FlexibleUNet(channels, 2, "resnet10", spatial_dims=2)
    return RecognitionTask(
        network, nn.CrossEntropyLoss(), label_key="mask", name="segmentation", divisible_by=32, channels=1
    )


def diagnosis() -> RecognitionTask:
    return RecognitionTask(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.CrossEntropyLoss(), name="diagnosis")


def learn(task: RecognitionTask) -> None:
    """One step of training, which moves weights and batch statistics."""
    task.network.train()
    task.network(torch.rand(2, 1, 32, 32)).square().mean().backward()
    with torch.no_grad():
        for parameter in task.network.parameters():
            parameter -= 0.1 * (parameter.grad if parameter.grad is not None else 0.0)
            parameter.grad = None


def by_hand(task: RecognitionTask, images: Tensor) -> Tensor:
    """The deepest features of the network as it is now, of images of three channels and 45×50 pixels."""
    task.network.eval()
    grey = (images[:, :1] + images[:, 1:2] + images[:, 2:]) / 3
    padded = F.pad(grey, (0, 14, 0, 19), mode="replicate")
    features: Tensor = task.network.encoder(padded)[-1]  # type: ignore[operator]
    return features.detach()


def test_features_are_the_deepest_of_the_network_as_it_was_at_the_first_call() -> None:
    task, images = segmentation(), torch.rand(2, 3, 45, 50)
    features = RecognitionFeatures(task)
    learn(task)
    expected = by_hand(task, images)
    assert expected.shape == (2, 512, 2, 2)
    torch.testing.assert_close(features.train()(images), expected, rtol=1e-5, atol=1e-6)
    learn(task)
    torch.testing.assert_close(features(images), expected, rtol=1e-5, atol=1e-6)
    assert (by_hand(task, images) - expected).abs().max() > 1e-2


def test_the_network_itself_is_left_alone() -> None:
    task, images = segmentation(), torch.rand(2, 3, 45, 50).requires_grad_()
    task.network.train()
    before = {key: value.clone() for key, value in task.network.state_dict().items()}
    loss = perceptual_loss("recognition", tasks=[diagnosis(), task])
    assert loss is not None
    assert not list(filter(lambda p: p.requires_grad, loss.parameters()))
    loss.train()(images, torch.rand(2, 3, 45, 50)).backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0
    assert all(torch.equal(value, before[key]) for key, value in task.network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in task.network.parameters())
    assert all(module.training for module in task.network.modules())


@pytest.mark.parametrize("taken", [True, False])
def test_a_run_that_continues_goes_on_with_its_copy(tmp_path: Path, taken: bool) -> None:
    task, images = segmentation(), torch.rand(2, 3, 45, 50)
    features = RecognitionFeatures(task)
    expected = by_hand(task, images)
    if taken:
        features(images)
    weights.save(features.state_dict(), tmp_path / "state.pt")
    learn(task)
    again = RecognitionFeatures(task)
    learn(task)
    weights.load_into(again, weights.read(tmp_path / "state.pt"), "state.pt")
    torch.testing.assert_close(again(images), expected if taken else by_hand(task, images), rtol=1e-5, atol=1e-6)
    assert (by_hand(task, images) - expected).abs().max() > 1e-2


def test_vgg19_comes_from_the_file(tmp_path: Path) -> None:
    state = torchvision_vgg()
    loss = perceptual_loss("vgg19", str(saved(state, tmp_path)), layer="conv3_1")
    assert loss is not None
    assert isinstance(loss.features, VGG19Features)
    assert torch.equal(loss.features.state_dict()["features.10.weight"], state["features.10.weight"])


def test_none_is_no_loss() -> None:
    assert perceptual_loss("none") is None


@pytest.mark.parametrize("file", [None, ""])
def test_vgg19_without_a_file(file: str | None) -> None:
    with pytest.raises(InputError, match=r"vgg19_weights: found no file.*torchvision.*'none' and 'recognition' do"):
        perceptual_loss("vgg19", file, [segmentation()])


def test_recognition_without_a_segmentation_network() -> None:
    with pytest.raises(InputError, match=r"perceptual: 'recognition' needs .*found recognition tasks \['diagnosis'\]"):
        perceptual_loss("recognition", tasks=[diagnosis()])


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match=r"perceptual: expected one of \['none', 'vgg19', 'recognition'\], found 'vgg"):
        perceptual_loss("vgg16")
