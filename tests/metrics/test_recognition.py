"""Recognition metrics against plain loops and values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from shared.metrics import accuracy, balanced_accuracy, confusion_matrix, majority_baseline, mean_iou


def labels(num_classes: int, present: list[int], seed: int, count: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    shares = np.arange(1, len(present) + 1) / sum(range(1, len(present) + 1))
    target = random.choice(present, count, p=shares)
    prediction = np.where(random.random(count) < 0.7, target, random.choice(present, count))
    return torch.from_numpy(target), torch.from_numpy(prediction)


CASES = [(2, [0, 1]), (5, [0, 1, 2, 3, 4]), (7, [1, 4, 6])]


@pytest.mark.parametrize(("num_classes", "present"), CASES)
def test_agree_with_counting_pair_by_pair(num_classes: int, present: list[int]) -> None:
    target, prediction = labels(num_classes, present, num_classes)
    matrix = confusion_matrix(target, prediction, num_classes)
    pairs = list(zip(target.tolist(), prediction.tolist(), strict=True))
    expected = [[pairs.count((row, column)) for column in range(num_classes)] for row in range(num_classes)]
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)
    assert accuracy(matrix) == pytest.approx(np.mean([t == p for t, p in pairs]), abs=1e-12)
    recalls = [np.mean([p == k for t, p in pairs if t == k]) for k in present]
    assert balanced_accuracy(matrix) == pytest.approx(np.mean(recalls), abs=1e-12)
    assert mean_iou(matrix) == pytest.approx(naive_mean_iou([target], [prediction], num_classes), abs=1e-12)
    most = max(sum(t == k for t, _ in pairs) for k in present)
    assert majority_baseline(matrix) == pytest.approx(most / len(pairs), abs=1e-12)


def test_known_values() -> None:
    # 3 of class 0 (1 taken for 1), 5 of class 1 (2 taken for 0, 1 for 2), none of class 2, class 3 never occurs.
    matrix = np.array([[2, 1, 0, 0], [2, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert accuracy(matrix) == pytest.approx(4 / 8)
    assert balanced_accuracy(matrix) == pytest.approx((2 / 3 + 2 / 5) / 2)
    assert majority_baseline(matrix) == pytest.approx(5 / 8)
    assert mean_iou(matrix) == pytest.approx((2 / 5 + 2 / 6 + 0) / 3)


def naive_mean_iou(targets: list[torch.Tensor], predictions: list[torch.Tensor], num_classes: int) -> float:
    values = []
    for k in range(num_classes):
        intersection = union = 0
        for target, prediction in zip(targets, predictions, strict=True):
            intersection += int(((target == k) & (prediction == k)).sum())
            union += int(((target == k) | (prediction == k)).sum())
        if union:
            values.append(intersection / union)
    return sum(values) / len(values)


def test_mean_iou_of_a_test_set_comes_from_summed_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = [torch.randint(0, k, (37, 31), generator=generator) for k in (1, 2, 4)]
    predictions = [torch.randint(0, k, (37, 31), generator=generator) for k in (2, 2, 3)]
    matrices = [confusion_matrix(t.float()[None], p, 6) for t, p in zip(targets, predictions, strict=True)]
    assert mean_iou(np.sum(matrices, axis=0)) == pytest.approx(naive_mean_iou(targets, predictions, 6), abs=1e-12)
    per_image = [mean_iou(matrix) for matrix in matrices]
    assert per_image == pytest.approx(
        [naive_mean_iou([t], [p], 6) for t, p in zip(targets, predictions, strict=True)], abs=1e-12
    )
    assert abs(np.mean(per_image) - mean_iou(np.sum(matrices, axis=0))) > 0.01


def test_absent_classes_are_left_out_and_false_alarms_are_not() -> None:
    target = torch.tensor([0, 0, 1, 1])
    assert mean_iou(confusion_matrix(target, target, 9)) == 1.0
    assert mean_iou(confusion_matrix(target, torch.tensor([0, 0, 1, 2]), 9)) == pytest.approx((1 + 0.5 + 0) / 3)
    assert balanced_accuracy(confusion_matrix(target, torch.tensor([0, 0, 1, 2]), 9)) == pytest.approx(0.75)


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, majority_baseline, mean_iou])
def test_empty_or_misshapen_matrices_are_errors(metric: Callable) -> None:
    with pytest.raises(ValueError, match="at least one prediction"):
        metric(np.zeros((3, 3), np.int64))
    with pytest.raises(ValueError, match="square"):
        metric(np.ones((3, 2), np.int64))


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        ([0, 3], [0, 1], r"target must hold classes in 0\.\.2, found 0\.\.3"),
        ([0, 1], [-1, 1], r"prediction must hold classes in 0\.\.2, found -1\.\.1"),
        ([0.5, 1.0], [0, 1], "target must hold whole class indices"),
        ([0, 1, 2], [0, 1], "as many classes, found 3 and 2"),
    ],
)
def test_bad_classes(target: list, prediction: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(target), torch.tensor(prediction), 3)
