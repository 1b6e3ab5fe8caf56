"""Adversarial losses against the papers' formulas, MONAI's, and one process with the batch of two ranks."""

import math
from pathlib import Path

import pytest
import torch
from monai.losses import PatchAdversarialLoss

from shared.losses import LeastSquaresAdversarial, RelativisticAverage, VanillaAdversarial
from tests.bundles.test_parallel import on_two_ranks
from tests.losses import ranks

LOSSES = [RelativisticAverage(), VanillaAdversarial(), LeastSquaresAdversarial()]
PLAYERS = ["discriminator", "generator"]


def by_name(loss) -> str:
    return type(loss).__name__


def logits(shape=(4, 1), scale=2.0, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    real, fake = (scale * torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
    return (real + 0.5).to(dtype).requires_grad_(), (fake - 0.5).to(dtype).requires_grad_()


def probabilities(kind: str, player: str, real: list[float], fake: list[float]) -> float:
    """The papers' formulas, number by number."""

    def mean(values):
        return sum(values) / len(values)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    d_real, d_fake = [sigmoid(x) for x in real], [sigmoid(x) for x in fake]
    if kind == "RelativisticAverage":
        d_real, d_fake = [sigmoid(x - mean(fake)) for x in real], [sigmoid(x - mean(real)) for x in fake]
        if player == "discriminator":
            return -mean([math.log(d) for d in d_real]) - mean([math.log(1 - d) for d in d_fake])
        return -mean([math.log(1 - d) for d in d_real]) - mean([math.log(d) for d in d_fake])
    if kind == "VanillaAdversarial":
        if player == "discriminator":
            return -mean([math.log(d) for d in d_real]) - mean([math.log(1 - d) for d in d_fake])
        return -mean([math.log(d) for d in d_fake])
    if player == "discriminator":
        return mean([(x - 1) ** 2 for x in real]) / 2 + mean([x**2 for x in fake]) / 2
    return mean([(x - 1) ** 2 for x in fake]) / 2


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 1, 3, 2), (3, 1, 2, 5)], ids=str)
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("loss", LOSSES, ids=by_name)
def test_equals_the_papers_formula(loss, player, shape):
    real, fake = logits(shape)
    found = getattr(loss, player)(real, fake)
    assert found.shape == ()
    expected = probabilities(by_name(loss), player, real.flatten().tolist(), fake.flatten().tolist())
    assert found.item() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("loss", "criterion"), [(VanillaAdversarial(), "bce"), (LeastSquaresAdversarial(), "lsgan")])
def test_equals_monais_loss_where_it_has_one(loss, criterion):
    """MONAI leaves out the halves of least squares."""
    real, fake = logits((3, 1, 2, 2))
    if criterion == "bce":
        theirs, factor = PatchAdversarialLoss(criterion="bce"), 1.0
    else:
        theirs, factor = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True), 0.5
    discriminator = theirs(real, True, True) + theirs(fake, False, True)
    assert loss.discriminator(real, fake).item() == pytest.approx(factor * discriminator.item(), rel=1e-12)
    assert loss.generator(real, fake).item() == pytest.approx(factor * theirs(fake, True, False).item(), rel=1e-12)


def test_gradient_of_the_relativistic_loss_runs_through_both_means():
    real, fake = logits()
    ours = torch.autograd.grad(RelativisticAverage().generator(real, fake), [real, fake])
    step = 1e-6
    for which, gradient in enumerate(ours):
        for k in range(len(gradient)):
            values = []
            for sign in (1, -1):
                moved = [real.detach().clone(), fake.detach().clone()]
                moved[which][k] += sign * step
                lists = [m.flatten().tolist() for m in moved]
                values.append(probabilities("RelativisticAverage", "generator", *lists))
            assert gradient[k].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("loss", LOSSES, ids=by_name)
@pytest.mark.parametrize("size", [480.0, 30000.0])
def test_is_finite_for_large_logits(loss, player, size, dtype):
    """The probability form is infinite from 104 on in single precision. Half precision would overflow in a square."""
    for sign in (1, -1):
        real = torch.tensor([[sign * size], [size]], dtype=dtype, requires_grad=True)
        fake = torch.tensor([[-sign * size], [-size]], dtype=dtype, requires_grad=True)
        found = getattr(loss, player)(real, fake)
        found.backward()
        assert found.dtype == torch.float32
        assert found.isfinite()
        assert all(x.grad is None or x.grad.isfinite().all() for x in (real, fake))


@pytest.mark.parametrize("player", PLAYERS)
def test_far_out_the_relativistic_loss_is_a_difference_of_logits(player):
    sign = 1 if player == "discriminator" else -1
    real, fake = torch.full((2, 1), -480.0 * sign), torch.full((2, 1), 480.0 * sign)
    assert getattr(RelativisticAverage(), player)(real, fake).item() == 2 * 960


def test_relativistic_terms_coincide_for_a_single_logit():
    real, fake = logits((1, 1))
    expected = 2 * math.log1p(math.exp((fake - real).item()))
    assert RelativisticAverage().discriminator(real, fake).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=by_name)
def test_each_player_pulls_the_logits_its_way(loss):
    """The discriminator pushes real and fake logits apart; the generator pushes fake ones up."""
    real, fake = logits(scale=0.1)
    real, fake = real.detach().zero_().requires_grad_(), fake.detach().zero_().requires_grad_()
    up, down = torch.autograd.grad(loss.discriminator(real, fake), [real, fake])
    assert (up < 0).all()
    assert (down >= 0).all()
    assert (torch.autograd.grad(loss.generator(real, fake), fake)[0] < 0).all()


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1, 3), (4, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("player", PLAYERS)
def test_other_shapes_are_refused(player, shape):
    good, bad = torch.zeros(4, 1), torch.zeros(shape)
    with pytest.raises(ValueError, match=r"real: expected logits \[B, 1\] or \[B, 1, H, W\], found \[4"):
        getattr(RelativisticAverage(), player)(bad, good)
    with pytest.raises(ValueError, match="fake: expected logits"):
        getattr(RelativisticAverage(), player)(good, bad)


@pytest.mark.slow
def test_two_ranks_have_the_gradients_of_the_joined_batch(tmp_path):
    """Averaged over ranks, at the parameters of a discriminator; and that means of one rank alone would differ."""
    on_two_ranks(["-m", "tests.losses.ranks", str(tmp_path)])
    expected = ranks.gradients(RelativisticAverage(), *ranks.data())
    for rank in range(2):
        found = torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True)
        for player in PLAYERS:
            difference = found["global"][player] - expected[player]
            assert difference.abs().max() < 1e-14
            assert (found["local"][player] - expected[player]).abs().max() > 1e-3
        # What DistributedDataParallel averages later has to be twice that of the joined loss.
        at_fake = 2 * expected["at fake"][2 * rank : 2 * rank + 2]
        torch.testing.assert_close(found["global"]["at fake"], at_fake, rtol=0, atol=1e-14)
