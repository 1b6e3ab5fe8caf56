"""RDN: parameter counts, layout, sizes, gradients, export, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.errors import InputError
from shared.networks import RDN
from tests.networks.enhancement import (
    assert_any_size_and_batch,
    assert_exports,
    convolved,
    moved,
    shuffled,
    without_gradient,
)


def _small(factor: int = 4) -> RDN:
    torch.manual_seed(0)
    return RDN(num_blocks=2, features=8, upscale_factor=factor, growth_rate=4, layers_per_block=3)


def _by_hand(state: dict[str, Tensor], x: Tensor, factor: int) -> Tensor:
    """RDN from equations 1 to 8 of its paper, with two blocks of three layers."""
    first = convolved(state, "head", x)
    value = convolved(state, "entry", first)
    hierarchy = []
    for block in range(2):
        states = [value]
        for layer in range(3):
            name = f"blocks.{block}.dense.layers{layer}.0"
            states.append(convolved(state, name, torch.cat(states, 1)).clamp(min=0))
        value = value + convolved(state, f"blocks.{block}.fusion", torch.cat(states, 1))
        hierarchy.append(value)
    value = convolved(state, "fusion.1", convolved(state, "fusion.0", torch.cat(hierarchy, 1)))
    value = first + value
    for stage in range({2: 1, 4: 2}[factor]):
        value = shuffled(convolved(state, f"upsampling.{stage}.0", value))
    return convolved(state, "tail", value)


def _expected_count(blocks: int, layers: int, growth: int, width: int, stages: int) -> int:
    """Weights and biases in closed form, three channels."""
    inputs = layers * width + growth * layers * (layers - 1) // 2  # of all layers of a block together
    block = 9 * growth * inputs + layers * growth + width * (width + layers * growth) + width
    shallow = 27 * width + width + 9 * width**2 + width
    fusion = blocks * width**2 + width + 9 * width**2 + width
    upsampling = stages * (36 * width**2 + 4 * width)
    return shallow + blocks * block + fusion + upsampling + 27 * width + 3


@pytest.mark.parametrize(
    ("num_blocks", "layers", "growth_rate", "factor", "count"),
    [
        (16, 8, 64, 4, 22_271_107),  # the RDN paper's 22 M
        (16, 8, 64, 2, 22_123_395),
        (8, 8, 64, 4, 11_321_987),  # the default
        (20, 6, 32, 4, 5_764_227),  # the RDN paper's smaller setting
    ],
)
def test_parameter_count(num_blocks: int, layers: int, growth_rate: int, factor: int, count: int) -> None:
    with torch.device("meta"):
        network = RDN(num_blocks=num_blocks, upscale_factor=factor, growth_rate=growth_rate, layers_per_block=layers)
    assert sum(p.numel() for p in network.parameters()) == count
    assert _expected_count(num_blocks, layers, growth_rate, 64, factor // 2) == count


def test_defaults_are_those_of_the_two_papers() -> None:
    with torch.device("meta"):
        network, other = RDN(), RDN(3, 3, 8, 64, 4, "none", 64, 8)
    assert str(network) == str(other)


def test_seventeen_million_of_the_rirgan_paper_are_not_those_of_eight_blocks() -> None:
    close = {
        (layers, growth)
        for growth in (32, 64, 128)
        for layers in range(1, 17)
        for stages in range(3)
        if 17.15e6 <= _expected_count(8, layers, growth, 64, stages) < 17.25e6
    }
    assert close == set()
    assert _expected_count(16, 7, 64, 64, 0) == 17_190_531


@pytest.mark.parametrize("factor", [2, 4])
def test_equals_network_written_out_by_hand(factor: int) -> None:
    network = moved(_small(factor)).double()
    x = torch.rand(2, 3, 6, 9, dtype=torch.float64)
    torch.testing.assert_close(network(x), _by_hand(network.state_dict(), x, factor), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 4])
def test_any_size(factor: int) -> None:
    assert_any_size_and_batch(_small(factor), factor)


def test_every_parameter_gets_a_gradient() -> None:
    assert without_gradient(_small(), torch.rand(2, 3, 8, 8)) == []


def test_exports(tmp_path: Path) -> None:
    assert_exports(_small(), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"in_channels": 0}, "in_channels must be an integer of at least 1, found 0"),
        ({"growth_rate": 0}, "growth_rate must be an integer of at least 1, found 0"),
        ({"layers_per_block": 2.0}, "layers_per_block must be an integer of at least 1, found 2.0"),
        ({"upscale_factor": 3}, r"upscale_factor must be one of \(2, 4\), found 3"),
        ({"norm": "batch"}, "norm must be 'none', found 'batch'"),
    ],
)
def test_error_names_argument_rule_and_found_value(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=f"^RDN: {rule}$"):
        RDN(**arguments)
