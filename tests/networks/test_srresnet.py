"""SRResNet: layout, identity at the start, sizes, gradients, export, errors."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import InputError
from shared.networks import SRResNet

VARIANTS = [(scale, norm) for scale in (1, 2, 4) for norm in ("batch", "none")]


def _small(scale: int = 1, norm: str = "batch", channels: int = 3) -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(channels, channels, num_blocks=2, features=8, upscale_factor=scale, norm=norm)


def _trained(network: SRResNet) -> SRResNet:
    """Give every weight a value that matters, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dtype.is_floating_point:
                tensor.copy_(0.05 + 0.2 * torch.rand(tensor.shape, generator=generator))
    return network


def _by_hand(state: dict[str, Tensor], x: Tensor, scale: int, norm: str) -> Tensor:
    """SRResNet in evaluation mode, written out from the figure of the paper, with functions alone."""

    def conv(name: str, value: Tensor) -> Tensor:
        weight = state[name + ".weight"]
        return functional.conv2d(value, weight, state.get(name + ".bias"), padding=weight.shape[-1] // 2)

    def prelu(name: str, value: Tensor) -> Tensor:
        return torch.where(value >= 0, value, state[name + ".weight"] * value)

    def normed(name: str, value: Tensor) -> Tensor:
        if norm == "none":
            return value
        mean, var, gamma, beta = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (value - mean) / torch.sqrt(var + 1e-5) * gamma + beta

    second_act, second_conv = (2, 3) if norm == "batch" else (1, 2)
    shallow = value = prelu("head.1", conv("head.0", x))
    for block in range(2):
        inner = normed(f"blocks.{block}.branch.1", conv(f"blocks.{block}.branch.0", value))
        inner = prelu(f"blocks.{block}.branch.{second_act}", inner)
        inner = conv(f"blocks.{block}.branch.{second_conv}", inner)
        value = value + normed(f"blocks.{block}.branch.4", inner)
    value = shallow + normed("fusion.1", conv("fusion.0", value))
    for stage in range({1: 0, 2: 1, 4: 2}[scale]):
        value = functional.pixel_shuffle(conv(f"upsampling.{stage}.0", value), 2)
        value = prelu(f"upsampling.{stage}.2", value)
    correction = conv("tail", value)
    return x + correction if scale == 1 else correction


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
def test_equals_network_written_out_by_hand(scale: int, norm: str) -> None:
    network = _trained(_small(scale, norm)).double().eval()
    x = torch.rand(2, 3, 9, 14, dtype=torch.float64)
    torch.testing.assert_close(network(x), _by_hand(network.state_dict(), x, scale, norm), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
@pytest.mark.parametrize("size", [(37, 31), (1, 1), (16, 64)])
def test_output_is_the_input_size_times_the_factor(scale: int, norm: str, size: tuple[int, int]) -> None:
    network = _small(scale, norm).eval()
    assert network(torch.rand(2, 3, *size)).shape == (2, 3, size[0] * scale, size[1] * scale)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_denoiser_starts_as_the_identity(norm: str, training: bool) -> None:
    network = _small(1, norm).train(training)
    x = torch.rand(2, 3, 13, 9)
    assert torch.equal(network(x), x)


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
def test_parameter_count_follows_the_layout(scale: int, norm: str) -> None:
    blocks, c, inputs, outputs = 5, 12, 3, 3 if scale == 1 else 1
    network = SRResNet(inputs, outputs, num_blocks=blocks, features=c, upscale_factor=scale, norm=norm)
    normed_conv = 9 * c * c + (2 * c if norm == "batch" else c)
    head, tail = 81 * inputs * c + c + 1, 81 * c * outputs + outputs
    upsampling = {1: 0, 2: 1, 4: 2}[scale] * (9 * c * 4 * c + 4 * c + 1)
    expected = head + blocks * (2 * normed_conv + 1) + normed_conv + upsampling + tail
    assert sum(p.numel() for p in network.parameters()) == expected


def test_defaults_are_those_of_the_paper() -> None:
    network = SRResNet(3, 3)
    assert len(network.blocks) == 16
    assert network.head[0].weight.shape == (64, 3, 9, 9)
    assert network.tail.weight.shape == (3, 64, 9, 9)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 2 * 16 + 1


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
def test_every_parameter_gets_a_gradient_once_training_has_begun(scale: int, norm: str) -> None:
    network = _small(scale, norm)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    x, target = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 12 * scale, 12 * scale)
    for _ in range(3):
        optimizer.zero_grad()
        functional.mse_loss(network(x), target).backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
def test_graph_serves_a_vector_jacobian_product_and_a_backward(scale: int, norm: str) -> None:
    network = _trained(_small(scale, norm))
    parameters = list(network.parameters())
    x = torch.rand(2, 3, 8, 8)
    prediction = network(x)
    loss = prediction.square().mean()
    cotangent = torch.rand_like(prediction)
    auxiliary = torch.autograd.grad(prediction, parameters, cotangent, retain_graph=True)
    loss.backward()
    after_product = [parameter.grad for parameter in parameters]
    network.zero_grad()
    prediction = network(x)
    alone = torch.autograd.grad((prediction * cotangent).sum(), parameters)
    network(x).square().mean().backward()
    for parameter, vjp, direct, grad in zip(parameters, auxiliary, alone, after_product, strict=True):
        torch.testing.assert_close(vjp, direct)
        torch.testing.assert_close(grad, parameter.grad)


def test_deep_network_without_norm_starts_with_bounded_features() -> None:
    torch.manual_seed(0)
    network = SRResNet(1, 1, num_blocks=16, features=16, norm="none")
    shallow = network.head(torch.rand(1, 1, 24, 24))
    assert torch.equal(network.blocks(shallow), shallow)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_denoiser_learns(norm: str) -> None:
    torch.manual_seed(0)
    network = SRResNet(1, 1, num_blocks=2, features=8, norm=norm)
    clean = functional.interpolate(torch.rand(8, 1, 4, 4), size=(32, 32), mode="bilinear")
    noisy = clean + 0.1 * torch.randn_like(clean)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = functional.mse_loss(network(noisy), clean)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.4 * functional.mse_loss(noisy, clean).item()


def test_pixel_shuffle_starts_as_nearest_neighbour() -> None:
    stage = _small(2, "none").upsampling[0]
    out = stage(torch.rand(1, 8, 6, 6))[..., 2:-2, 2:-2]
    repeated = functional.interpolate(out[..., ::2, ::2], scale_factor=2)
    torch.testing.assert_close(out, repeated)


@pytest.mark.parametrize(("scale", "norm"), VARIANTS)
def test_torchscript_gives_the_same_image(scale: int, norm: str) -> None:
    network = _trained(_small(scale, norm)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted: Any = torch.jit.script(network)
    for size in ((12, 12), (7, 11)):
        x = torch.rand(1, 3, *size)
        torch.testing.assert_close(scripted(x), network(x))


@pytest.mark.parametrize("scale", [1, 4])
def test_exports_for_any_image_size(scale: int) -> None:
    """torch.export is what the ONNX exporter starts from; it fails on control flow that depends on the image."""
    network = _trained(_small(scale)).eval()
    sides = {2: torch.export.Dim("height", min=4), 3: torch.export.Dim("width", min=4)}
    exported = torch.export.export(network, (torch.rand(1, 3, 16, 16),), dynamic_shapes=(sides,))
    x = torch.rand(1, 3, 7, 11)
    torch.testing.assert_close(exported.module()(x), network(x))


def test_deepcopy_does_not_share_weights() -> None:
    network = _small()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin.tail.weight.fill_(1.0)
    assert not network.tail.weight.any()


@pytest.mark.parametrize(
    ("arguments", "name", "found"),
    [
        ({"in_channels": 0}, "in_channels", "0"),
        ({"out_channels": 1.5}, "out_channels", "1.5"),
        ({"num_blocks": True}, "num_blocks", "True"),
        ({"features": "64"}, "features", "'64'"),
        ({"upscale_factor": 3}, "upscale_factor", "3"),
        ({"upscale_factor": 2.0}, "upscale_factor", "2.0"),
        ({"upscale_factor": True}, "upscale_factor", "True"),
        ({"norm": "instance"}, "norm", "'instance'"),
        ({"out_channels": 1}, "out_channels", "in_channels 3 and out_channels 1"),
    ],
)
def test_error_names_argument_and_found_value(arguments: dict[str, Any], name: str, found: str) -> None:
    with pytest.raises(InputError, match=name) as error:
        SRResNet(**{"in_channels": 3, "out_channels": 3, **arguments})
    assert f"found {found}" in str(error.value)
