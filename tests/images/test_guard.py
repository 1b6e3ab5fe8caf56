"""Results that differ from their source by more than noise removal explains are told, others are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.images.guard import ChangeInParts, describe_change, suspicious_change
from shared.inference import LoadSourced, RestoreSourced

RNG = np.random.default_rng(0)
IMAGE = np.linspace(0.2, 0.8, 10_000, dtype=np.float32).reshape(1, 100, 100)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (IMAGE, None),
        (IMAGE + 0.09, None),
        (IMAGE + 0.11, "its mean moved by +0.11 of the range"),
        (IMAGE - 0.3, "its mean moved by -0.30 of the range"),
        (0.5 + 0.51 * (IMAGE - 0.5), None),
        (0.5 + 0.45 * (IMAGE - 0.5), "its contrast fell to 45% of the source's"),
        (np.zeros_like(IMAGE), "its contrast fell to 0% of the source's and its mean moved by -0.50 of the range"),
        (IMAGE.repeat(2, 1).repeat(2, 2), None),
    ],
)
def test_halved_contrast_or_a_moved_mean(result: np.ndarray, words: str | None) -> None:
    expected = None if words is None else f"the result changed more than noise removal explains: {words}"
    assert suspicious_change(IMAGE, result) == expected
    parts = ChangeInParts()
    for before, after in zip(np.array_split(IMAGE, 7, 1), np.array_split(result, 7, 1), strict=True):
        parts.add(before, after)
    assert parts.suspicious() == expected


def test_removed_noise_is_not_suspicious() -> None:
    noisy = IMAGE + RNG.normal(0, 0.1, IMAGE.shape).astype(np.float32)
    assert suspicious_change(noisy, IMAGE) is None


def test_a_constant_image_and_an_unknown_source() -> None:
    assert suspicious_change(np.zeros((1, 4, 4)), np.zeros((1, 4, 4))) is None
    assert suspicious_change(None, IMAGE) is None
    assert ChangeInParts().suspicious() is None
    assert describe_change(0, 0, 0.5, 0.5) is None


def test_large_images_are_sampled() -> None:
    image = np.tile(IMAGE, (1, 20, 20))
    assert suspicious_change(image, 0.4 * image) is not None
    assert suspicious_change(image, 0.9 * image) is None


@pytest.mark.parametrize(("gain", "count"), [(1.0, 0), (0.3, 1)])
def test_the_transform_says_it(tmp_path: Path, gain: float, count: int) -> None:
    Image.fromarray((255 * IMAGE[0]).astype(np.uint8)).save(tmp_path / "a.png")
    data = LoadSourced("image")({"image": str(tmp_path / "a.png")})
    data["pred"] = torch.as_tensor(data["image"]) * gain
    notes = RestoreSourced("pred")(data)["pred_notes"]
    assert len(notes) == count
