"""The weighted sum of terms against the sum written out, what it leaves out, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor, nn
from torch.nn import functional as F

from shared.errors import InputError
from shared.losses import PixelLoss, TotalVariation, WeightedTerms


class Refuses(nn.Module):
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("computed")


def images() -> tuple[Tensor, Tensor]:
    prediction, target = torch.rand(2, 2, 3, 8, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return prediction, target


def loss_of(weights: Mapping[str, float], **terms: nn.Module | None) -> WeightedTerms:
    return WeightedTerms(terms, weights)


def test_value_and_gradient_are_those_of_the_sum() -> None:
    prediction, target = images()
    prediction.requires_grad_()
    loss = loss_of({"pixel": 0.3, "square": 2, "smooth": 0.01}, pixel=PixelLoss(), square=nn.MSELoss(),
                   smooth=TotalVariation("image"))
    total = loss(prediction, target)
    terms = {
        "pixel": F.l1_loss(prediction, target), "square": F.mse_loss(prediction, target),
        "smooth": (prediction.diff(dim=2).abs().sum() + prediction.diff(dim=3).abs().sum()) / 2,
    }
    expected = 0.3 * terms["pixel"] + 2 * terms["square"] + 0.01 * terms["smooth"]
    assert float(total) == pytest.approx(float(expected), rel=1e-14)
    (found,), (wanted,) = torch.autograd.grad(total, prediction), torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)
    assert {name: float(value) for name, value in loss.values.items()} == pytest.approx(
        {name: float(value) for name, value in terms.items()}, rel=1e-14
    )
    assert not any(value.requires_grad for value in loss.values.values())
    assert all(value.shape == () for value in loss.values.values())


def test_values_are_those_of_the_last_call() -> None:
    prediction, target = images()
    loss = loss_of({"pixel": 5.0}, pixel=PixelLoss())
    loss(prediction, target)
    loss(target, target)
    assert loss.values == {"pixel": torch.zeros(())}


def test_terms_that_are_none_or_weigh_nothing_are_left_out() -> None:
    prediction, target = images()
    loss = loss_of({"pixel": 1, "perceptual": 1, "costly": 0}, pixel=PixelLoss(), perceptual=None, costly=Refuses())
    assert float(loss(prediction, target)) == float(F.l1_loss(prediction, target))
    assert list(loss.values) == list(loss.weights) == ["pixel"]
    with pytest.raises(RuntimeError, match="computed"):
        loss_of({"costly": 1e-9}, costly=Refuses())(prediction, target)


def test_parameters_and_states_of_terms_are_its_own() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
            return self.scale * F.l1_loss(prediction, target)

    loss = loss_of({"scaled": 1.0}, scaled=Scaled())
    assert list(loss.state_dict()) == ["terms.scaled.scale"]


def test_tensors_with_meta_data_give_plain_ones() -> None:
    prediction, target = images()
    loss = loss_of({"pixel": 1.0}, pixel=PixelLoss())
    value = loss(MetaTensor(prediction), MetaTensor(target))
    assert type(value) is type(loss.values["pixel"]) is Tensor
    assert float(value) == float(F.l1_loss(prediction, target))


@pytest.mark.parametrize(("weights", "message"), [
    ({"pixel": 1, "smoth": 1}, r"names of terms, \['pixel', 'smooth'\], found 'smoth'; did you mean 'smooth'\?"),
    ({"pixel": 1, "smooth": 1, "gan": 1}, r"names of terms, \['pixel', 'smooth'\], found 'gan'$"),
    ({"pixel": 1}, r"one for each term, \['pixel', 'smooth'\], found none for 'smooth'"),
    ({"pixel": -1, "smooth": 1}, "weights#pixel: expected a finite value >= 0, found -1"),
    ({"pixel": 1, "smooth": float("nan")}, "weights#smooth: expected a finite value >= 0, found nan"),
    ({"pixel": 1, "smooth": float("inf")}, "weights#smooth: expected a finite value >= 0, found inf"),
    ({"pixel": 0, "smooth": 0}, r"a weight above 0, found \['pixel', 'smooth'\]"),
])
def test_weights_that_do_not_fit(weights: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        loss_of(weights, pixel=PixelLoss(), smooth=TotalVariation())


def test_weight_of_a_term_that_is_none_has_to_be_there_too() -> None:
    with pytest.raises(InputError, match="found none for 'perceptual'"):
        loss_of({"pixel": 1}, pixel=PixelLoss(), perceptual=None)


def test_shapes_that_torch_would_broadcast() -> None:
    loss = loss_of({"smooth": 1}, smooth=TotalVariation())
    with pytest.raises(InputError, match=r"one shape, found \[1, 3, 8, 8\] and \[1, 1, 8, 8\]"):
        loss(torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8))
