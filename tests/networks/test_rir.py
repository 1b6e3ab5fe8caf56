"""RIRGenerator: the paper's parameter counts, layout, growth, range, sizes, gradients, export, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import InputError
from shared.networks import RIRGenerator
from shared.networks.rir import ResidualUnit, RIRBlock
from tests.networks.enhancement import (
    assert_any_size_and_batch,
    assert_exports,
    convolved,
    leaky,
    moved,
    shuffled,
    without_gradient,
)


def _small(factor: int = 4, channels: int = 3, **more: Any) -> RIRGenerator:
    torch.manual_seed(0)
    return RIRGenerator(channels, channels, num_blocks=2, features=8, upscale_factor=factor, **more)


def _by_hand(state: dict[str, Tensor], x: Tensor, factor: int, scale: float) -> Tensor:
    """RIR-G from equations 5 to 8 and figures 1 and 2 of the paper, with two blocks."""

    def prelu(name: str, value: Tensor) -> Tensor:
        return leaky(value, state[name + ".weight"])

    shallow = value = prelu("head.1", convolved(state, "head.0", (x - 0.5) / 0.5))
    for block in range(2):
        into_block = value
        for unit in range(5):
            name = f"blocks.{block}.units.{unit}.branch"
            inner = prelu(name + ".1", convolved(state, name + ".0", value))
            value = value + scale * convolved(state, name + ".2", inner)
        value = into_block + scale * value
    value = shallow + convolved(state, "fusion", value)
    for stage in range({2: 1, 4: 2}[factor]):
        value = prelu(f"upsampling.{stage}.2", shuffled(convolved(state, f"upsampling.{stage}.0", value)))
    return 0.5 + 0.5 * torch.tanh(convolved(state, "tail", value))


@pytest.mark.parametrize(
    ("num_blocks", "count", "millions"),
    [
        (2, 1_102_096, 1.1),
        (4, 1_840_666, 1.8),
        (8, 3_317_806, 3.3),
        (10, 4_056_376, 4.1),
        (16, 6_272_086, 6.3),
        (32, 12_180_646, 12.2),
    ],
)
def test_parameter_count_is_that_of_the_paper(num_blocks: int, count: int, millions: float) -> None:
    with torch.device("meta"):
        network = RIRGenerator(num_blocks=num_blocks)
    assert sum(p.numel() for p in network.parameters()) == count
    assert round(count / 1e6, 1) == millions


def test_defaults_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network, other = RIRGenerator(), RIRGenerator(3, 3, 8, 64, 4, "none", 0.2)
    assert str(network) == str(other)
    assert {m.scale for m in network.modules() if isinstance(m, ResidualUnit | RIRBlock)} == {0.2}


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("scale", [0.2, 0.5])
def test_equals_network_written_out_by_hand(factor: int, scale: float) -> None:
    network = moved(_small(factor, residual_scale=scale)).double()
    x = torch.rand(2, 3, 6, 9, dtype=torch.float64)
    expected = _by_hand(network.state_dict(), x, factor, scale)
    assert expected.std() > 0.01
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def _growth(network: RIRGenerator) -> float:
    with torch.no_grad():
        shallow = network.head(2 * torch.rand(1, 3, 16, 16) - 1)
        return float(network.blocks(shallow).std() / shallow.std())


def test_signal_grows_little_because_of_the_scale_on_the_long_skip() -> None:
    torch.manual_seed(0)
    network = RIRGenerator(num_blocks=32)
    assert 100 < _growth(network) < 1000
    for module in network.modules():
        if isinstance(module, RIRBlock):
            module.scale = 1.0
    assert _growth(network) > 1e8


def test_each_activation_has_one_parameter_of_its_own() -> None:
    activations = [m for m in _small().modules() if isinstance(m, nn.PReLU)]
    assert len(activations) == 1 + 2 * 5 + 2
    assert all(activation.weight.shape == (1,) for activation in activations)
    assert len({id(activation.weight) for activation in activations}) == len(activations)


def test_output_spans_zero_to_one() -> None:
    network, x = _small(), torch.rand(1, 3, 5, 5)
    for bias, expected in ((-20.0, 0.0), (0.0, 0.5), (20.0, 1.0)):
        with torch.no_grad():
            nn.init.zeros_(network.tail.weight)
            nn.init.constant_(network.tail.get_parameter("bias"), bias)
        torch.testing.assert_close(network(x), torch.full((1, 3, 20, 20), expected))


@pytest.mark.parametrize("factor", [2, 4])
def test_any_size(factor: int) -> None:
    assert_any_size_and_batch(_small(factor), factor)


def test_every_parameter_gets_a_gradient() -> None:
    assert without_gradient(_small(), torch.rand(2, 3, 8, 8)) == []


def test_learns_to_enlarge_and_denoise() -> None:
    torch.manual_seed(0)
    network = _small(2, channels=1)
    clean = functional.interpolate(torch.rand(8, 1, 4, 4), size=(32, 32), mode="bicubic").clamp(0, 1)
    noisy = functional.interpolate(clean, size=(16, 16), mode="area") + 0.1 * torch.randn(8, 1, 16, 16)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = functional.l1_loss(network(noisy), clean)
        loss.backward()
        optimizer.step()
    enlarged = functional.interpolate(noisy, size=(32, 32), mode="bicubic")
    assert loss.item() < 0.75 * functional.l1_loss(enlarged, clean).item()


@pytest.mark.parametrize("factor", [2, 4])
def test_exports(factor: int, tmp_path: Path) -> None:
    assert_exports(_small(factor), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"in_channels": 0}, "in_channels must be an integer of at least 1, found 0"),
        ({"out_channels": 1.5}, "out_channels must be an integer of at least 1, found 1.5"),
        ({"num_blocks": True}, "num_blocks must be an integer of at least 1, found True"),
        ({"features": "64"}, "features must be an integer of at least 1, found '64'"),
        ({"upscale_factor": 1}, r"upscale_factor must be one of \(2, 4\), found 1"),
        ({"upscale_factor": 2.0}, r"upscale_factor must be one of \(2, 4\), found 2.0"),
        ({"norm": "batch"}, "norm must be 'none', found 'batch'"),
        ({"norm": None}, "norm must be 'none', found None"),
        ({"residual_scale": 0}, "residual_scale must be a number above 0 and at most 1, found 0"),
        ({"residual_scale": float("nan")}, "residual_scale must be a number above 0 and at most 1, found nan"),
        ({"residual_scale": 1.5}, "residual_scale must be a number above 0 and at most 1, found 1.5"),
        ({"residual_scale": "0.2"}, "residual_scale must be a number above 0 and at most 1, found '0.2'"),
        ({"residual_scale": True}, "residual_scale must be a number above 0 and at most 1, found True"),
    ],
)
def test_error_names_argument_rule_and_found_value(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=f"^RIRGenerator: {rule}$"):
        RIRGenerator(**arguments)
