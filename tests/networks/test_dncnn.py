"""DnCNN: parameter counts, identity at the start, layout, merged batch norm, sizes, learning, export, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.errors import InputError
from shared.networks import DnCNN
from tests.networks.enhancement import (
    assert_any_size_and_batch,
    assert_exports,
    convolved,
    moved,
    normalised,
    without_gradient,
)


def _small(factor: int = 1, norm: str = "batch", channels: int = 3) -> DnCNN:
    torch.manual_seed(0)
    return DnCNN(channels, channels, num_blocks=4, features=8, upscale_factor=factor, norm=norm)


def _by_hand(state: dict[str, Tensor], x: Tensor, norm: str) -> Tensor:
    """DnCNN in evaluation mode, four convolutions deep, from section III of its paper."""
    value = convolved(state, "head.0", x).clamp(min=0)
    for block in range(2):
        value = convolved(state, f"blocks.{block}.0", value)
        if norm == "batch":
            value = normalised(state, f"blocks.{block}.1", value)
        value = value.clamp(min=0)
    return x - convolved(state, "tail", value)


@pytest.mark.parametrize(
    ("norm", "channels", "count"), [("batch", 1, 556_097), ("none", 1, 555_137), ("batch", 3, 558_403)]
)
def test_parameter_count_of_seventeen_convolutions(norm: str, channels: int, count: int) -> None:
    with torch.device("meta"):
        network = DnCNN(channels, channels, norm=norm)
    between = 64 * 64 * 9 + (64 + 64 if norm == "batch" else 64)
    assert sum(p.numel() for p in network.parameters()) == count
    assert 64 * channels * 9 + 64 + 15 * between + channels * 64 * 9 + channels == count


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_equals_network_written_out_by_hand(norm: str) -> None:
    network = moved(_small(norm=norm)).double().eval()
    x = torch.rand(2, 3, 6, 9, dtype=torch.float64)
    expected = _by_hand(network.state_dict(), x, norm)
    assert (expected - x).abs().mean() > 1e-3
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_without_norm_is_what_a_merged_batch_norm_leaves() -> None:
    trained, merged = moved(_small()).double().eval(), _small(norm="none").double()
    state = {name: value for name, value in trained.state_dict().items() if not name.startswith("blocks")}
    for block in range(2):
        convolution, norm = trained.get_submodule(f"blocks.{block}.0"), trained.get_submodule(f"blocks.{block}.1")
        fused = fuse_conv_bn_eval(convolution, norm).state_dict()
        state |= {f"blocks.{block}.0.{name}": value for name, value in fused.items()}
    merged.load_state_dict(state)
    x = torch.rand(1, 3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(merged(x), trained(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_starts_as_the_identity(training: bool) -> None:
    x = torch.rand(2, 3, 13, 9)
    assert torch.equal(_small().train(training)(x), x)


@pytest.mark.parametrize("factor", [2, 4])
def test_denoises_at_the_small_size_and_then_enlarges(factor: int) -> None:
    x = torch.rand(1, 3, 7, 5)
    small = moved(_small()).eval()(x)
    expected = functional.interpolate(small, size=(7 * factor, 5 * factor), mode="bicubic")
    torch.testing.assert_close(moved(_small(factor)).eval()(x), expected)


@pytest.mark.parametrize("factor", [1, 4])
def test_any_size(factor: int) -> None:
    assert_any_size_and_batch(_small(factor), factor)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_every_parameter_gets_a_gradient_once_training_has_begun(norm: str) -> None:
    assert without_gradient(moved(_small(norm=norm)), torch.rand(2, 3, 8, 8)) == []


def test_predicts_the_noise() -> None:
    torch.manual_seed(0)
    network = _small(channels=1)
    clean = functional.interpolate(torch.rand(8, 1, 4, 4), size=(32, 32), mode="bilinear")
    noisy = clean + 0.1 * torch.randn_like(clean)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = functional.mse_loss(network(noisy), clean)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.4 * functional.mse_loss(noisy, clean).item()


@pytest.mark.parametrize("factor", [1, 4])
def test_exports(factor: int, tmp_path: Path) -> None:
    assert_exports(_small(factor), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"features": 0}, "features must be an integer of at least 1, found 0"),
        ({"num_blocks": 1}, "num_blocks must be at least 2, the first and the last convolution, found 1"),
        ({"upscale_factor": 3}, r"upscale_factor must be one of \(1, 2, 4\), found 3"),
        ({"upscale_factor": True}, r"upscale_factor must be one of \(1, 2, 4\), found True"),
        ({"norm": "layer"}, r"norm must be one of \('batch', 'none'\), found 'layer'"),
        (
            {"out_channels": 1},
            "out_channels must equal in_channels, because the network corrects its input, found in_channels 3 and "
            "out_channels 1",
        ),
    ],
)
def test_error_names_argument_rule_and_found_value(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=f"^DnCNN: {rule}$"):
        DnCNN(**arguments)
