"""Exported networks: a wrong one is noticed, sizes and batch are dynamic, and what holds for the overlays' networks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from shared.conformance import CHECKS, check_bundle, exports
from shared.conformance.bundle import Bundle
from shared.conformance.exports import BOUND, difference, onnx_runner, to_exported_program, to_onnx
from shared.networks import Restormer, SmallUNet, SRResNet
from tests.conformance.conftest import Copy

ONNX = next(check for check in CHECKS if check.name == "ONNX")


def moved(network: nn.Module) -> nn.Module:
    """A network that is not the identity, in evaluation mode, whose batch norms have statistics of their own."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value += 0.02 * torch.randn(value.shape, generator=generator)
    return network.eval()


def image(channels: int, height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(2))


def test_every_layer_with_one_percent_more_is_noticed(tmp_path: Path) -> None:
    """With the random weights that a bundle without model.pt is checked with."""
    torch.manual_seed(0)
    bundle = Bundle(Path("bundles/gradprom_mni152"), tmp_path, own_weights=False)
    network = bundle.network
    to_onnx(network, image(1, 12, 20, batch=2), tmp_path / "model.onnx")
    run, pixels = onnx_runner(tmp_path / "model.onnx"), image(1, 37, 31)
    assert difference(run, network, pixels) < BOUND / 5
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            before = parameter.clone()
            parameter *= 1.01
            assert difference(run, network, pixels) > 2 * BOUND, name
            parameter.copy_(before)


def test_check_fails_for_a_wrong_export(mni152: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = exports.to_onnx

    def wrong(network: nn.Module, *arguments: object) -> None:
        network.tail.bias.data += 1e-3
        correct(network, *arguments)
        network.tail.bias.data -= 1e-3

    monkeypatch.setattr(exports, "to_onnx", wrong)
    (line,) = check_bundle(mni152.folder, [ONNX])["ONNX"].failures
    assert line.startswith("model.onnx at 16x9: found a difference of 1.0e-03 to PyTorch, expected at most 2e-05")


def test_network_that_cannot_be_exported(mni152: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such operator\nsecond line")

    monkeypatch.setattr(exports, "to_onnx", fail)
    (line,) = check_bundle(mni152.folder, [ONNX])["ONNX"].failures
    assert line == "model.onnx: network_def cannot be exported: RuntimeError: second line"


def test_onnx_file_names_its_dynamic_axes_and_is_in_evaluation_mode(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = moved(SRResNet(3, 3, 2, 8, 4, "batch"))
    to_onnx(network, image(3, 12, 20, batch=2), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in (*session.get_inputs(), *session.get_outputs())] == [
        ("image", ["batch", 3, "height", "width"]),
        ("pred", ["batch", 3, "4*height", "4*width"]),
    ]
    pixels = image(3, 37, 31, batch=3)
    (together,) = session.run(None, {"image": pixels.numpy()})
    (alone,) = session.run(None, {"image": pixels[1:2].numpy()})
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)
    assert difference(onnx_runner(tmp_path / "model.onnx"), network, pixels) < BOUND
    assert difference(onnx_runner(tmp_path / "model.onnx"), network.train(), pixels) > 100 * BOUND


def unet(channels: int, factor: int) -> nn.Module:
    return SmallUNet(channels, channels, 1, 4, factor)


def restormer(channels: int, factor: int) -> nn.Module:
    return Restormer(channels, channels, (1, 1), 4, factor, num_refinement_blocks=1)


needs_einops = pytest.mark.skipif(not importlib.util.find_spec("einops"), reason="einops")


def differences(run: Callable[[torch.Tensor], torch.Tensor], network: nn.Module, factor: int) -> list[float]:
    """At multiples of what the network divides by: as small as it takes without padding, then larger."""
    step, least = max(1, network.divisible_by // factor), 16 // factor
    sizes = [(max(height * step, least), max(width * step, least)) for height, width in ((2, 2), (5, 3), (9, 8))]
    return [difference(run, network, image(1, *size)) for size in sizes]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "factor"), [(unet, 4), pytest.param(restormer, 1, marks=needs_einops)])
def test_networks_of_the_overlays_as_onnx(
    make: Callable[[int, int], nn.Module], factor: int, tmp_path: Path
) -> None:
    """The exporter goes by torch.export, so that both take these networks."""
    torch.manual_seed(0)
    network = moved(make(1, factor))
    step = max(1, network.divisible_by // factor)
    to_onnx(network, image(1, 4 * step, 6 * step, batch=2), tmp_path / "model.onnx", (step, step))
    assert max(differences(onnx_runner(tmp_path / "model.onnx"), network, factor)) <= BOUND


@pytest.mark.slow
def test_network_of_an_overlay_by_torch_export(tmp_path: Path) -> None:
    network = moved(unet(1, 1))
    to_exported_program(network, image(1, 32, 48, batch=2), tmp_path / "model.pt2", (8, 8))
    assert max(differences(torch.export.load(tmp_path / "model.pt2").module(), network, 1)) <= BOUND


def test_what_does_not_hold_for_the_overlays_networks(tmp_path: Path) -> None:
    """As their documentation says: dynamic sizes are multiples, and TorchScript takes the UNet alone."""
    network = moved(unet(1, 1))
    with pytest.raises(Exception, match="divisible|Constraints violated|Guard"):
        to_exported_program(network, image(1, 32, 48, batch=2), tmp_path / "model.pt2")
    pixels = image(1, 37, 31)
    assert difference(torch.jit.script(network), network, pixels) <= BOUND
    if importlib.util.find_spec("einops"):
        with pytest.raises(RuntimeError):
            torch.jit.script(restormer(1, 1))
