"""Total variation against loops and values worked out by hand, and how little it weighs in the paper's sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shared.errors import InputError
from shared.losses import PixelLoss, TotalVariation


def noisy_pair() -> tuple[Tensor, Tensor]:
    """A smooth image [2, 3, 96, 96], and one with noise of a standard deviation of 0.05."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    clean = F.interpolate(coarse, size=96, mode="bicubic").clamp(0, 1)
    return clean + 0.05 * torch.randn(clean.shape, generator=generator), clean


def by_loops(image: Tensor) -> float:
    total = 0.0
    channels, height, width = image.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                if i + 1 < height:
                    total += abs(float(image[c, i + 1, j] - image[c, i, j]))
                if j + 1 < width:
                    total += abs(float(image[c, i, j + 1] - image[c, i, j]))
    return total


def test_equals_loops_over_pixels() -> None:
    images = torch.rand(3, 2, 5, 7, dtype=torch.float64)
    sums = [by_loops(image) for image in images]
    assert float(TotalVariation("image")(images, images)) == pytest.approx(sum(sums) / 3, rel=1e-12)
    assert float(TotalVariation()(images, images)) == pytest.approx(sum(sums) / 3 / (2 * 5 * 7), rel=1e-12)


def test_a_square_has_the_length_of_its_edge_times_its_height() -> None:
    image = torch.zeros(1, 1, 12, 12)
    image[..., 3:8, 2:6] = 0.5
    assert float(TotalVariation("image")(image)) == pytest.approx(0.5 * 2 * (5 + 4))


def test_a_constant_one_pixel_rows_and_the_target_count_nothing() -> None:
    loss, noise = TotalVariation("image"), torch.rand(2, 3, 6, 6)
    assert float(loss(torch.full((2, 3, 6, 6), 0.7), noise)) == 0
    assert float(loss(noise, noise)) == float(loss(noise, torch.zeros(2, 3, 6, 6)))
    row = torch.tensor([0.0, 1.0, 0.0]).view(1, 1, 1, 3)
    assert float(loss(row)) == 2


def test_turned_and_mirrored_images_have_the_same() -> None:
    images, loss = torch.rand(2, 1, 9, 6, dtype=torch.float64), TotalVariation()
    for other in (images.mT, images.flip(-1), images.flip(-2), images + 3, 1 - images):
        assert float(loss(other)) == pytest.approx(float(loss(images)), rel=1e-12)


def test_half_precision_does_not_overflow() -> None:
    """The sum is far above 65,504, the largest number of half precision."""
    images = torch.arange(512).remainder(2).view(1, 1, 1, 512).expand(2, 3, 512, 512).half()
    value = TotalVariation("image")(images)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(3 * 512 * 511)


def gradient(loss: Tensor, at: Tensor) -> float:
    return float(torch.autograd.grad(loss, at)[0].norm())


@pytest.mark.parametrize("reduction", ["mean", "image"])
def test_with_the_papers_weights_its_gradient_is_below_a_millionth_of_the_pixel_loss(reduction: str) -> None:
    noisy, clean = noisy_pair()
    noisy.requires_grad_()
    pixel = gradient(0.006 * PixelLoss(reduction)(noisy, clean), noisy)
    assert 1e-7 < gradient(2e-9 * TotalVariation(reduction)(noisy, clean), noisy) / pixel < 1e-6


def test_unknown_reduction() -> None:
    with pytest.raises(InputError, match="reduction: expected one of"):
        TotalVariation("none")
