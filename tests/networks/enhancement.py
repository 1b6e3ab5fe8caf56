"""What the tests of several enhancement networks need: weights that matter, reference functions, exports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.conformance.exports import onnx_runner, to_onnx


def moved(network: nn.Module) -> nn.Module:
    """Give every weight and running statistic another value, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dtype.is_floating_point:
                tensor.add_(0.03 * torch.randn(tensor.shape, generator=generator))
    return network


def convolved(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Convolution with the weights of that name, as large as the image, as sums of shifted images."""
    weight, bias = state[name + ".weight"], state.get(name + ".bias")
    side = weight.shape[-1]
    padded = functional.pad(x, [side // 2] * 4)
    total = torch.zeros(x.shape[0], len(weight), *x.shape[-2:], dtype=x.dtype)
    for row in range(side):
        for column in range(side):
            window = padded[..., row : row + x.shape[-2], column : column + x.shape[-1]]
            total += torch.einsum("oi,bihw->bohw", weight[..., row, column], window)
    if bias is not None:
        total += bias[:, None, None]
    return total[..., ::stride, ::stride]


def normalised(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Batch norm of that name, in evaluation mode."""
    mean, var, gamma, beta = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta


def leaky(x: Tensor, slope: Tensor | float) -> Tensor:
    """Return x where it is positive, slope · x elsewhere."""
    return torch.where(x >= 0, x, slope * x)


def shuffled(x: Tensor) -> Tensor:
    """[B, 4·C, H, W] to [B, C, 2·H, 2·W]: four channels become the pixels of a 2×2 square."""
    out = torch.empty(x.shape[0], x.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    for row in range(2):
        for column in range(2):
            out[..., row::2, column::2] = x[:, 2 * row + column :: 4]
    return out


def assert_any_size_and_batch(network: nn.Module, factor: int, channels: int = 3) -> None:
    """Sizes down to one pixel, in both layouts of memory, which the output keeps."""
    network = moved(network).eval()
    for batch, height, width in ((2, 1, 1), (1, 7, 12), (3, 9, 4)):
        x = torch.rand(batch, channels, height, width)
        with torch.no_grad():
            found, other = network(x), network(x.to(memory_format=torch.channels_last))
        assert found.shape == (batch, channels, factor * height, factor * width)
        torch.testing.assert_close(other, found, rtol=1e-4, atol=1e-5)
        if height > 1:  # one pixel lies in memory alike in both
            assert other.is_contiguous(memory_format=torch.channels_last)


def assert_exports(network: nn.Module, folder: Path, channels: int = 3) -> None:
    """TorchScript and ONNX (which starts from ``torch.export``) give the same image at sizes of their own."""
    network = moved(network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted: Any = torch.jit.script(network)
    to_onnx(network, torch.rand(2, channels, 12, 16), folder / "model.onnx")
    run = onnx_runner(folder / "model.onnx")
    for shape in ((1, channels, 7, 11), (3, channels, 16, 9)):
        x = torch.rand(shape)
        with torch.no_grad():
            expected = network(x)
        assert expected.std() > 0.01
        torch.testing.assert_close(scripted(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(run(x), expected, rtol=1e-4, atol=1e-5)


def without_gradient(network: nn.Module, x: Tensor) -> Sequence[str]:
    """Names of the parameters that the square of the output does not reach."""
    network.zero_grad()
    network(x).square().mean().backward()
    return [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
