"""Weights from elsewhere: torchvision ResNets, by value and by function."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet, FlexibleUNet, ResNet, resnet18, resnet50, resnet101
from torch import Tensor
from torch.nn import functional

from shared.errors import InputError
from shared.networks import SRResNet, load_imagenet_resnet

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
MONAI: dict[int, Callable[..., ResNet]] = {18: resnet18, 50: resnet50, 101: resnet101}


def _random(*shape: int) -> Tensor:
    return torch.randn(shape) * 0.1


def _norm(name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": 0.5 + torch.rand(width),
        f"{name}.bias": _random(width),
        f"{name}.running_mean": _random(width),
        f"{name}.running_var": 0.5 + torch.rand(width),
        f"{name}.num_batches_tracked": torch.tensor(5),
    }


def _torchvision(depth: int, classes: int = 1000) -> dict[str, Tensor]:
    """Names and shapes of torchvision's ResNet weights (torchvision.models.resnet), with random values."""
    torch.manual_seed(depth)
    state = {"conv1.weight": _random(64, 3, 7, 7), **_norm("bn1", 64)}
    inputs, expansion = 64, 1 if depth == 18 else 4
    for layer, (width, count) in enumerate(zip((64, 128, 256, 512), DEPTHS[depth], strict=True), start=1):
        for block in range(count):
            name = f"layer{layer}.{block}"
            kernels = [(width, inputs, 3), (width, width, 3)]
            if expansion == 4:
                kernels = [(width, inputs, 1), (width, width, 3), (4 * width, width, 1)]
            for index, (out, into, size) in enumerate(kernels, start=1):
                state[f"{name}.conv{index}.weight"] = _random(out, into, size, size)
                state.update(_norm(f"{name}.bn{index}", out))
            if block == 0 and inputs != expansion * width:
                state[f"{name}.downsample.0.weight"] = _random(expansion * width, inputs, 1, 1)
                state.update(_norm(f"{name}.downsample.1", expansion * width))
            inputs = expansion * width
    return {**state, "fc.weight": _random(classes, inputs), "fc.bias": _random(classes)}


def _resnet18_by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The ImageNet ResNet-18 in evaluation mode, with functions alone."""

    def norm(name: str, value: Tensor) -> Tensor:
        mean, var, gamma, beta = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(value, mean, var, gamma, beta)

    def conv(name: str, value: Tensor, stride: int) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(value, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = functional.max_pool2d(functional.relu(norm("bn1", conv("conv1", x, 2))), 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = functional.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride)))
            y = norm(f"{name}.bn2", conv(f"{name}.conv2", y, 1))
            if f"{name}.downsample.0.weight" in state:
                x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = functional.relu(x + y)
    return functional.linear(x.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])


def _network(depth: int, channels: int = 3, classes: int = 1000, **changes: Any) -> ResNet:
    options: dict[str, Any] = {"conv1_t_stride": 2, "shortcut_type": "B", "bias_downsample": False, **changes}
    return MONAI[depth](spatial_dims=2, n_input_channels=channels, num_classes=classes, **options)


def _saved(state: Any, folder: Path) -> Path:
    torch.save(state, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_every_tensor_of_the_file_is_in_the_network(depth: int, tmp_path: Path) -> None:
    state, network = _torchvision(depth), _network(depth)
    report = load_imagenet_resnet(network, _saved(state, tmp_path))
    loaded = network.state_dict()
    assert loaded.keys() == state.keys() == set(report.matched)
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert (report.adapted, report.skipped, report.missing) == ({}, {}, ())


@pytest.mark.parametrize("bias", [False, True])
def test_network_computes_what_the_weights_meant(bias: bool, tmp_path: Path) -> None:
    state, network = _torchvision(18), _network(18, bias_downsample=bias).eval()
    report = load_imagenet_resnet(network, _saved(state, tmp_path))
    assert len(report.adapted) == (3 if bias else 0)
    x = torch.rand(2, 3, 61, 50)
    expected = _resnet18_by_hand(state, x)
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_grey_network_computes_what_the_rgb_copy_would_give(tmp_path: Path) -> None:
    state, network = _torchvision(18), _network(18, channels=1).eval()
    report = load_imagenet_resnet(network, _saved(state, tmp_path))
    assert list(report.adapted) == ["conv1.weight"]
    assert "conv1.weight" not in report.matched
    x = torch.rand(2, 1, 40, 40)
    expected = _resnet18_by_hand(state, x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_classifier_of_another_size_keeps_its_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = _network(18, classes=7)
    before = network.state_dict()["fc.weight"].clone()
    with caplog.at_level(logging.INFO, logger="shared"):
        report = load_imagenet_resnet(network, _saved(_torchvision(18), tmp_path))
    assert torch.equal(network.state_dict()["fc.weight"], before)
    assert set(report.skipped) == set(report.missing) == {"fc.weight", "fc.bias"}
    assert "classifier of 1000 outputs, the network has 7 outputs" in caplog.text
    assert "120 matched, 0 adapted, 2 skipped, 2 of the network not in the file" in caplog.text


def test_old_files_without_batch_counters_load(tmp_path: Path) -> None:
    state = {key: value for key, value in _torchvision(18).items() if not key.endswith("num_batches_tracked")}
    assert not load_imagenet_resnet(_network(18), _saved(state, tmp_path)).missing


@pytest.mark.parametrize("channels", [1, 3])
def test_encoder_of_flexible_unet_gets_the_weights(channels: int, tmp_path: Path) -> None:
    state = _torchvision(50)
    network = FlexibleUNet(channels, 4, "resnet50", pretrained=False, spatial_dims=2)
    decoder = [value.clone() for value in network.decoder.state_dict().values()]
    report = load_imagenet_resnet(network, _saved({"state_dict": state}, tmp_path))
    for key, value in network.encoder.state_dict().items():
        expected = state[key].sum(1, keepdim=True) if key == "conv1.weight" and channels == 1 else state[key]
        assert torch.equal(value, expected), key
    assert all(torch.equal(a, b) for a, b in zip(decoder, network.decoder.state_dict().values(), strict=True))
    reason = "classifier of 1000 outputs, the network has no classifier"
    assert report.skipped == {"fc.weight": reason, "fc.bias": reason}
    assert all(key.startswith(("decoder.", "segmentation_head.")) for key in report.missing)
    assert all(key.startswith("encoder.") for key in report.matched)


def test_shortcuts_without_weights_are_reported(tmp_path: Path) -> None:
    network = FlexibleUNet(3, 2, "resnet18", pretrained=False, spatial_dims=2)
    report = load_imagenet_resnet(network, _saved(_torchvision(18), tmp_path))
    assert "shortcut_type A" in report.skipped["layer2.0.downsample.0.weight"]
    assert len(report.skipped) == 3 * 6 + 2


def test_prefix_of_a_data_parallel_network_is_removed(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in _torchvision(18).items()}
    network = _network(18)
    load_imagenet_resnet(network, _saved(state, tmp_path))
    assert torch.equal(network.state_dict()["fc.weight"], state["module.fc.weight"])


def test_other_strides_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_imagenet_resnet(_network(18, conv1_t_stride=1, no_max_pool=True), _saved(_torchvision(18), tmp_path))
    assert "conv1_t_stride=2" in caplog.text
    assert "no_max_pool=False" in caplog.text


@pytest.mark.parametrize(
    ("depth", "state", "message"),
    [
        (50, lambda: _torchvision(18), r"layer1.0.conv1.weight: found \[64, 64, 3, 3\], expected \[64, 64, 1, 1\]"),
        (50, lambda: _torchvision(101), r"\d+ that the network does not have, first layer3\.6"),
        (101, lambda: _torchvision(50), "not in the file, first layer3.6"),
        (18, lambda: SRResNet(3, 3, 2, 8).state_dict(), "0 of the network's 122 tensors fit"),
        (18, lambda: {"epoch": 3, "optimizer": {}}, "expected a dict of named tensors, found keys epoch, optimizer"),
        (18, lambda: torch.zeros(3), "found Tensor, expected a dictionary of states"),
        (18, dict, "expected a dict of named tensors, found nothing"),
    ],
)
def test_weights_of_another_network_are_refused(
    depth: int, state: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    network = _network(depth)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(InputError, match=message):
        load_imagenet_resnet(network, _saved(state(), tmp_path))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    network = _network(18)
    with pytest.raises(InputError, match="nothing.pth: no such file; expected a state dict"):
        load_imagenet_resnet(network, tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(InputError, match="text.pth: found no readable PyTorch state, expected a state dict"):
        load_imagenet_resnet(network, tmp_path / "text.pth")
    whole = _saved(_torchvision(18), tmp_path).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut.pth: found no readable PyTorch state"):
        load_imagenet_resnet(network, tmp_path / "cut.pth")
    with pytest.raises(InputError, match="network must be a MONAI ResNet .* found BasicUNet"):
        load_imagenet_resnet(BasicUNet(spatial_dims=2), tmp_path / "text.pth")
