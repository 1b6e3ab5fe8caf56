"""The distance between features: value, gradients, and what mixed precision does to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared.errors import InputError
from shared.losses import FeatureLoss


class Features(nn.Conv2d):
    """Five feature maps; keeps the types of what it was given and of what it gave."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        torch.manual_seed(0)
        super().__init__(2, 5, 3, dtype=dtype)
        self.requires_grad_(False)
        self.types: list[torch.dtype] = []

    def forward(self, images: Tensor) -> Tensor:
        result = super().forward(images).tanh()
        self.types += [images.dtype, result.dtype]
        return result


def images(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    prediction, target = (torch.rand(2, 2, 6, 7, generator=generator, dtype=dtype) for _ in range(2))
    return prediction, target


def test_value_and_gradient_are_those_of_the_mean_squared_difference() -> None:
    features, (prediction, target) = Features(), images()
    prediction.requires_grad_()
    loss = FeatureLoss(features)(prediction, target)
    difference = (F.conv2d(prediction, features.weight, features.bias).tanh()
                  - F.conv2d(target, features.weight, features.bias).tanh())
    expected = (difference**2).flatten().sum() / difference.numel()
    assert float(loss) == pytest.approx(float(expected), rel=1e-13)
    (found,), (wanted,) = torch.autograd.grad(loss, prediction), torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)
    assert float(wanted.abs().max()) > 1e-4


def test_no_gradient_goes_to_the_target() -> None:
    prediction, target = (image.requires_grad_() for image in images())
    FeatureLoss(Features())(prediction, target).backward()
    assert prediction.grad is not None
    assert target.grad is None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_mixed_precision_does_not_reach_the_features(kind: torch.dtype) -> None:
    features, (prediction, target) = Features(torch.float32), images(torch.float32)
    half = prediction.to(kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = FeatureLoss(features)(half, target)
    assert set(features.types) == {loss.dtype} == {torch.float32}
    assert float(loss) == float(FeatureLoss(features)(half.float(), target))
    loss.backward()
    assert half.grad is not None
    assert bool(half.grad.isfinite().all())


def test_shapes_that_torch_would_broadcast() -> None:
    prediction, target = images()
    with pytest.raises(InputError, match="expected a prediction and a target of one shape"):
        FeatureLoss(Features())(prediction, target[:1])
