"""Networks that take the place of SR-ResNet: any size, identity at the start, padding, gradients, GradProm, errors."""

import importlib.util

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn
from torch.nn import functional

from shared.errors import InputError
from shared.handlers import GradPromHandler
from shared.networks import Enlarge, ResidualEnhancement, Restormer, SmallUNet
from tests.handlers.reference import System, batches

SMALL = {
    "restormer": lambda channels=1, **more: Restormer(
        channels, channels, (1, 1, 1), 8, num_refinement_blocks=1, **more
    ),
    "small_unet": lambda channels=1, **more: SmallUNet(channels, channels, 1, 4, **more),
}


needs_einops = pytest.mark.skipif(not importlib.util.find_spec("einops"), reason="einops")


@pytest.fixture(params=[pytest.param("restormer", marks=needs_einops), "small_unet"])
def make(request):
    torch.manual_seed(0)
    return SMALL[request.param]


def trained(network: nn.Module) -> nn.Module:
    """Move all weights a little: those of the last convolution start at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (7, 50), (33, 24)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_the_identity_at_the_start(make, size, channels):
    image = torch.rand(2, channels, *size)
    assert torch.equal(make(channels)(image), image)
    changed = trained(make(channels))(image)
    assert changed.shape == image.shape
    assert (changed - image).abs().mean() > 1e-3


@pytest.mark.parametrize("size", [(32, 48), (30, 41)])
def test_is_the_network_on_the_padded_image_plus_the_image(make, size):
    network, image = trained(make()).eval(), torch.rand(1, 1, *size)
    missing = (0, -size[1] % network.divisible_by, 0, -size[0] % network.divisible_by)
    padded = functional.pad(image, missing, mode="replicate")
    expected = image + network.network(padded)[..., : size[0], : size[1]]
    torch.testing.assert_close(network(image), expected, rtol=0, atol=0)
    zeros = functional.pad(image, missing)
    other = image + network.network(zeros)[..., : size[0], : size[1]]
    assert torch.equal(other, expected) is (size == (32, 48))


@pytest.mark.parametrize("factor", [2, 4])
def test_super_resolution_starts_as_bicubic_interpolation(make, factor):
    image = torch.rand(1, 1, 9, 12)
    expected = functional.interpolate(image, size=(9 * factor, 12 * factor), mode="bicubic", align_corners=False)
    torch.testing.assert_close(make(upscale_factor=factor)(image), expected)
    torch.testing.assert_close(Enlarge(factor)(image), expected)
    assert Enlarge()(image) is image


def test_every_weight_gets_a_gradient(make):
    network = trained(make(3))
    network(torch.rand(2, 3, 19, 22)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_unet_norms(norm):
    network = SmallUNet(1, 1, 1, 4, norm=norm)
    kinds = {type(m) for m in network.modules()} & {nn.BatchNorm2d, nn.InstanceNorm2d}
    assert kinds == {"batch": {nn.BatchNorm2d}, "instance": {nn.InstanceNorm2d}, "none": set()}[norm]
    assert network(torch.rand(2, 1, 5, 5)).shape == (2, 1, 5, 5)


def test_gradprom_trains_it(make):
    """The gate opens: IP moves, and differently from training without it."""
    weights = {}
    for rule in ("gradprom", "none"):
        torch.manual_seed(0)
        system, data = System(weight=1.0, dtype=torch.float32), batches(4, dtype=torch.float32)
        network = trained(make())
        before = [p.detach().clone() for p in network.parameters()]
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        handler = GradPromHandler(system.tasks)
        trainer = SupervisedTrainer(
            device="cpu", max_epochs=1, train_data_loader=data, network=network, optimizer=optimizer,
            loss_function=nn.MSELoss(), decollate=False, train_handlers=[handler] if rule == "gradprom" else [],
        )
        trainer.run()
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
        weights[rule] = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
        if rule == "gradprom":
            assert handler.statistics.totals["class"]["accepted"] > 0
    assert not torch.equal(weights["gradprom"], weights["none"])


def test_any_network_can_be_used():
    network = ResidualEnhancement(nn.Conv2d(1, 1, 4, stride=1, padding="same"), divisible_by=4, minimum=8)
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    for size, padded in (((3, 9), (8, 12)), ((8, 12), (8, 12))):
        assert network(torch.rand(1, 1, *size)).shape[-2:] == size
        assert seen.pop() == padded


@pytest.mark.parametrize(("build", "message"), [
    (lambda: Restormer(1, 3), "Restormer: out_channels must equal in_channels"),
    (lambda: Restormer(1, 1, 16), "Restormer: num_blocks must be a list of integers, found 16"),
    (lambda: Restormer(1, 1, [2]), "num_blocks and heads must be lists of one length"),
    (lambda: Restormer(1, 1, [1, 0]), "num_blocks must be an integer of at least 1, found 0"),
    (lambda: Restormer(1, 1, features=6), "features must be a multiple of 4"),
    (lambda: Restormer(1, 1, [1, 1], 8, heads=[1, 5]), "features must be a multiple of 4 and of its level's heads"),
    (lambda: Restormer(1, 1, norm="batch"), r"norm must be one of \('layer', 'layer_without_bias'\), found 'batch'"),
    (lambda: SmallUNet(1, 1, norm="layer"), "SmallUNet: norm must be one of"),
    (lambda: SmallUNet(1, 1, [1, 2]), r"SmallUNet: num_blocks must be an integer of at least 1, found \[1, 2\]"),
    (lambda: SmallUNet(0, 0), "in_channels must be an integer of at least 1, found 0"),
    (lambda: SmallUNet(1, 1, upscale_factor=3), r"upscale_factor must be one of \(1, 2, 4\), found 3"),
    (lambda: Enlarge(0), "Enlarge: factor must be an integer of at least 1, found 0"),
])
def test_refuses_and_names_what_is_wrong(build, message, monkeypatch):
    monkeypatch.setattr("shared.networks.residual.optional_import", lambda name: (None, True))
    with pytest.raises(InputError, match=message):
        build()


def test_restormer_without_einops_says_so(monkeypatch):
    monkeypatch.setattr("shared.networks.residual.optional_import", lambda name: (None, False))
    with pytest.raises(InputError, match="Restormer: found no package einops.* pip install einops"):
        Restormer(1, 1)
