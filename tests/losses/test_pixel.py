"""The pixel loss against loops, and what its two forms make of the paper's weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from shared.errors import InputError
from shared.losses import PixelLoss


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction, target = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return prediction, target


def sums_of_images(prediction: Tensor, target: Tensor) -> list[float]:
    return [
        sum(abs(x - y) for x, y in zip(p.flatten().tolist(), t.flatten().tolist(), strict=True))
        for p, t in zip(prediction, target, strict=True)
    ]


def test_forms_are_a_mean_over_all_and_a_sum_over_each_image() -> None:
    prediction, target = pair(3, 2, 5, 7)
    sums = sums_of_images(prediction, target)
    assert float(PixelLoss()(prediction, target)) == pytest.approx(sum(sums) / 3 / (2 * 5 * 7), rel=1e-12)
    assert float(PixelLoss("image")(prediction, target)) == pytest.approx(sum(sums) / 3, rel=1e-12)


def test_paper_weight_counts_165_9_against_a_mean() -> None:
    prediction, target = pair(2, 3, 96, 96)
    as_printed, mean = 0.006 * PixelLoss("image")(prediction, target), PixelLoss()(prediction, target)
    assert float(as_printed / mean) == pytest.approx(165.888, rel=1e-12)


def test_gradient_is_the_sign_of_the_difference() -> None:
    prediction, target = pair(2, 1, 4, 3)
    prediction.requires_grad_()
    PixelLoss("image")(prediction, target).backward()
    assert prediction.grad is not None
    torch.testing.assert_close(prediction.grad, (prediction - target).sign().detach() / 2, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (2, 1, 4, 4), (1, 3, 4, 4)])
def test_nothing_is_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"one shape, found \[2, 3, 4, 4\] and \[" + ", ".join(map(str, shape))):
        PixelLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(shape))


def test_unknown_reduction() -> None:
    with pytest.raises(InputError, match=r"reduction: expected one of \['mean', 'image'\], found 'sum'"):
        PixelLoss("sum")
