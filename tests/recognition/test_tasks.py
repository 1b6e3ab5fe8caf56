from functools import partial

import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import FlexibleUNet, resnet10
from torch import nn

from shared.errors import InputError
from shared.losses.recognition import RecognitionLoss
from shared.recognition.ensemble import PrepareRecognitionBatch, RecognitionEnsemble
from shared.recognition.tasks import build_tasks

NETWORKS = {
    "diagnosis": partial(resnet10, spatial_dims=2, n_input_channels=1, num_classes=3, conv1_t_stride=2),
    "segmentation": partial(FlexibleUNet, in_channels=1, out_channels=2, backbone="resnet10", spatial_dims=2),
}


def test_makes_only_the_networks_that_are_used():
    def forbidden() -> nn.Module:
        raise AssertionError

    tasks = build_tasks({**NETWORKS, "segmentation": forbidden}, "diagnosis")
    assert [task.name for task in tasks] == ["diagnosis"]


@pytest.mark.parametrize(("strategy", "trainable"), [
    ("gradprom", True), ("gradprom_cosine", True), ("joint", True), ("frozen", False), ("none", False),
])
def test_strategy_decides_about_the_optimizer(strategy, trainable):
    (task,) = build_tasks(NETWORKS, "diagnosis", strategy, weight=0.5, learning_rate=0.01)
    assert (task.optimizer is not None) is trainable
    assert task.weight == 0.5
    if trainable:
        assert isinstance(task.optimizer, torch.optim.Adam)
        assert task.optimizer.defaults["lr"] == 0.01


def test_kind_and_supervision_decide_about_loss_and_key():
    a, b = build_tasks(NETWORKS, "both")
    assert (a.label_key, b.label_key) == ("class", "mask")
    assert isinstance(a.loss_function, nn.CrossEntropyLoss)
    assert isinstance(b.loss_function, DiceCELoss)
    a, b = build_tasks(NETWORKS, "both", supervised=False)
    assert (a.label_key, b.label_key) == (None, None)
    assert isinstance(b.loss_function, nn.MSELoss)


def test_all_tasks_look_at_the_channels_that_are_asked_for():
    assert [task.channels for task in build_tasks(NETWORKS, "both", channels=1)] == [1, 1]
    assert [task.channels for task in build_tasks(NETWORKS, "both")] == [None, None]


@pytest.mark.parametrize("auxiliary", ["segmentation", "both"])
def test_auxiliary_without_a_network(auxiliary):
    with pytest.raises(InputError, match=f"auxiliary: this bundle's data know diagnosis alone, found '{auxiliary}'"):
        build_tasks({"_desc_": "a configuration's note", "diagnosis": NETWORKS["diagnosis"]}, auxiliary)


def test_unknown_auxiliary():
    with pytest.raises(InputError, match="auxiliary: expected one of .* found 'detection'"):
        build_tasks(NETWORKS, "detection")


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34"])
def test_refuses_shortcuts_that_hide_the_gradient(backbone):
    networks = {"segmentation": partial(NETWORKS["segmentation"], backbone=backbone)}
    with pytest.raises(InputError, match="backbone: the segmentation network has ResNet shortcuts of type A"):
        build_tasks(networks, "segmentation")


def test_monai_still_hides_the_gradient_of_type_a():
    """The reason for the refusal above; when this fails, MONAI is mended and the refusal can go."""
    torch.manual_seed(0)
    network = FlexibleUNet(1, 2, "resnet18", spatial_dims=2).double().eval()
    images = torch.rand(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(images)
    (gradient,) = torch.autograd.grad(network(images).square().sum(), images)
    with torch.no_grad():
        plus, minus = (network(images + h * direction).square().sum() for h in (1e-6, -1e-6))
    assert abs((gradient * direction).sum() - (plus - minus) / 2e-6) > 1e-3 * abs((plus - minus) / 2e-6)


def test_ensemble_predicts_and_learns_like_its_networks_alone():
    torch.manual_seed(0)
    tasks = build_tasks(NETWORKS, "both")
    ensemble, loss_function = RecognitionEnsemble(tasks).eval(), RecognitionLoss()
    batch = {
        "image": torch.zeros(2, 1, 40, 40), "label": torch.rand(2, 1, 40, 40), "class": torch.tensor([0, 2]),
        "mask": torch.randint(2, (2, 1, 40, 40)).float(),
    }
    images, truth = PrepareRecognitionBatch()(batch)
    assert torch.equal(images, batch["label"])
    logits = ensemble(images)
    assert logits["segmentation"].shape == (2, 2, 40, 40)
    assert torch.equal(logits["diagnosis"], tasks[0].predict(images))
    expected = tasks[0].loss(images, images, batch) + tasks[1].loss(images, images, batch)
    torch.testing.assert_close(loss_function(logits, truth), expected)


def test_recognition_on_degraded_images():
    batch = {"image": torch.zeros(1, 1, 2, 2), "label": torch.ones(1, 1, 2, 2), "class": torch.tensor([1])}
    images, truth = PrepareRecognitionBatch("image")(batch)
    assert torch.equal(images, batch["image"])
    assert truth.keys() == {"class"}
