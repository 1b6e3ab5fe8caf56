"""What a recognition network looks at in a system of three channels, against channel means taken by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from shared.handlers import GradPromHandler
from shared.recognition import RecognitionTask
from shared.recognition.ensemble import RecognitionEnsemble
from shared.recognition.pretraining import Pretraining
from shared.reporting.recognition import recognise
from tests.handlers.reference import RATE, batches, diagnosis_network, segmentation_network


def grey_task(supervised: bool = True, optimizer: bool = False) -> RecognitionTask:
    network = diagnosis_network()
    return RecognitionTask(
        network, nn.CrossEntropyLoss() if supervised else nn.MSELoss(),
        torch.optim.SGD(network.parameters(), lr=RATE) if optimizer else None,
        "class" if supervised else None, 1.0, "diagnosis", channels=1,
    )


def coloured(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with images of three channels that differ, so that it matters how they are brought together."""
    factors = torch.tensor([0.5, 1.0, 1.2], dtype=torch.float64).view(1, 3, 1, 1)
    return {key: value * factors if key in ("image", "label") else value for key, value in batch.items()}


def grey(images: Tensor) -> Tensor:
    return (images[:, :1] + images[:, 1:2] + images[:, 2:]) / 3


def test_the_network_sees_the_mean_and_each_channel_gets_a_third_of_the_gradient():
    task, images = grey_task(), coloured(batches(1)[0])["image"].requires_grad_()
    torch.testing.assert_close(task.predict(images), task.network(grey(images)), rtol=0, atol=1e-14)
    (gradient,) = torch.autograd.grad(task.predict(images).square().sum(), images)
    single = grey(images).detach().requires_grad_()
    (expected,) = torch.autograd.grad(task.network(single).square().sum(), single)
    assert float(expected.abs().min()) > 0
    torch.testing.assert_close(gradient, (expected / 3).expand(-1, 3, -1, -1), rtol=1e-12, atol=0)


def test_a_grey_image_and_one_that_is_repeated_are_seen_alike():
    task, images = grey_task(), batches(1)[0]["image"]
    assert torch.equal(task.predict(images), task.network(images))
    torch.testing.assert_close(task.predict(images.expand(-1, 3, -1, -1)), task.network(images), rtol=0, atol=1e-14)


def test_padding_and_channels_go_together():
    network = segmentation_network()
    task = RecognitionTask(network, nn.CrossEntropyLoss(), divisible_by=16, channels=1)
    images = coloured(batches(1)[0])["image"]
    expected = network(F.pad(grey(images), (0, 9, 0, 8), mode="replicate"))[..., :8, :7]
    torch.testing.assert_close(task.predict(images), expected, rtol=0, atol=1e-14)


def test_without_channels_the_network_gets_images_as_they_are():
    task = RecognitionTask(nn.Identity(), nn.MSELoss())
    images = torch.rand(2, 3, 8, 7)
    assert torch.equal(task.predict(images), images)


@pytest.mark.parametrize("channels", [0, 3])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"channels: expected None or 1, found {channels}"):
        RecognitionTask(nn.Identity(), nn.MSELoss(), channels=channels)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_step_of_joint_training_is_that_by_hand(supervised):
    """IP gives three channels; VR looks at their mean, and so does its frozen copy at the mean of the clean image's."""
    data = [coloured(batch) for batch in batches(1)]
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.PReLU(), nn.Conv2d(4, 3, 3, padding=1)).double()
    task = grey_task(supervised, optimizer=True)
    before = [p.detach().clone() for p in (*network.parameters(), *task.network.parameters())]

    prediction = network(data[0]["image"])
    l_ip = F.mse_loss(prediction, data[0]["label"])
    logits = task.network(grey(prediction))
    if supervised:
        l_vr = F.cross_entropy(logits, data[0]["class"])
    else:
        l_vr = F.mse_loss(logits.softmax(1), task.network(grey(data[0]["label"])).softmax(1).detach())
    theta, phi = list(network.parameters()), list(task.network.parameters())
    main = torch.autograd.grad(l_ip, theta, retain_graph=True)
    other, own = (torch.autograd.grad(l_vr, wanted, retain_graph=True) for wanted in (theta, phi))
    moves = [*(a + b for a, b in zip(main, other, strict=True)), *own]

    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=network,  # type: ignore[arg-type]
        optimizer=torch.optim.SGD(theta, lr=RATE), loss_function=nn.MSELoss(), decollate=False,
        train_handlers=[GradPromHandler(task, "joint", always_measure=True)],
    )
    trainer.run()
    assert trainer.state.gradprom["diagnosis"]["loss"].item() == pytest.approx(float(l_vr), rel=1e-12)
    for old, move, new in zip(before, moves, (*theta, *phi), strict=True):
        torch.testing.assert_close(new.detach(), old - RATE * move, rtol=0, atol=1e-12)


def test_stage_a_learns_from_the_mean_of_the_channels(tmp_path: Path):
    """The same weights come of images of three channels and of their means, which are grey images."""
    samples = [
        {"label": batch["label"][0], "image": batch["image"][0], "class": int(batch["class"][0])}
        for batch in map(coloured, batches(4))
    ]
    means = [{**s, "label": grey(s["label"][None])[0], "image": grey(s["image"][None])[0]} for s in samples]
    networks = []
    for name, data in (("colour", samples), ("grey", means)):
        task = grey_task()
        Pretraining(
            RecognitionEnsemble([task]), Dataset(data), 2, 2, 0.01, torch.device("cpu"), 0,
            str(tmp_path / name), str(tmp_path / name),
        ).run()
        networks.append(task.network)
    start = diagnosis_network()
    for a, b, c in zip(*(network.parameters() for network in (*networks, start)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
        assert not torch.allclose(a, c, rtol=0, atol=1e-6)


def test_the_report_asks_the_same_of_three_channels_and_of_the_grey_image():
    image = coloured(batches(1)[0])["image"][:1]
    versions = {"degraded": image[0] / 2, "enhanced": image[0], "clean": image[0] * 1.1}
    item = {"class": 1}
    colour = recognise(grey_task(), versions, item)
    single = recognise(grey_task(), {name: grey(value[None])[0] for name, value in versions.items()}, item)
    assert colour is not None
    assert single is not None
    assert colour.classes == single.classes
    assert colour.classes["target"] == 1
