"""Metrics of diagnosis and segmentation, all from one confusion matrix, by scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score


def confusion_matrix(target: torch.Tensor, prediction: torch.Tensor, num_classes: int) -> np.ndarray:
    """Count pairs of target and predicted class; matrices of several images may be added.

    Args:
        target: class indices of any shape, whole numbers in 0..num_classes-1 (a floating-point mask is fine).
        prediction: class indices, as many as in `target`.
        num_classes: K, the number of classes, background included.

    Returns:
        int64 [K, K], rows are targets, columns are predictions.

    Raises:
        ValueError: on different numbers of elements, a class outside the range, or a fractional class index.
    """
    flat = []
    for name, classes in (("target", target), ("prediction", prediction)):
        values = classes.detach().as_subclass(torch.Tensor).cpu().reshape(-1)
        indices = values.long()
        if values.is_floating_point() and not torch.equal(indices.to(values.dtype), values):
            raise ValueError(f"{name} must hold whole class indices, found fractions")
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < num_classes:
            raise ValueError(
                f"{name} must hold classes in 0..{num_classes - 1}, found {int(indices.min())}..{int(indices.max())}"
            )
        flat.append(indices)
    if flat[0].numel() != flat[1].numel():
        raise ValueError(
            f"target and prediction must hold as many classes, found {flat[0].numel()} and {flat[1].numel()}"
        )
    pairs = torch.bincount(flat[0] * num_classes + flat[1], minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes).numpy()


def accuracy(matrix: np.ndarray) -> float:
    """Return the share of correct predictions.

    Args:
        matrix: [K, K] as from `confusion_matrix`.

    Raises:
        ValueError: when the matrix is not square or counts nothing.
    """
    targets, predictions, counts = _pairs(matrix)
    return float(accuracy_score(targets, predictions, sample_weight=counts))


def balanced_accuracy(matrix: np.ndarray) -> float:
    """Return the mean recall over the classes that are present among the targets.

    Args:
        matrix: [K, K] as from `confusion_matrix`.

    Raises:
        ValueError: when the matrix is not square or counts nothing.
    """
    targets, predictions, counts = _pairs(matrix)
    # scikit-learn's balanced_accuracy_score is the same, and warns of classes that are predicted alone.
    return float(
        recall_score(targets, predictions, labels=np.unique(targets), average="macro", sample_weight=counts)
    )


def majority_baseline(matrix: np.ndarray) -> float:
    """Return the accuracy of always naming the most frequent class among the targets.

    Args:
        matrix: [K, K] as from `confusion_matrix`.

    Raises:
        ValueError: when the matrix is not square or counts nothing.
    """
    targets, _, counts = _pairs(matrix)
    return float(np.bincount(targets, counts).max() / counts.sum())


def mean_iou(matrix: np.ndarray) -> float:
    """Return the mean intersection over union of the classes, background included.

    Classes absent from both targets and predictions are left out. Given the sum of the matrices of a test set this
    is the value of the tables; given the matrix of one image, the value per image.

    Args:
        matrix: [K, K] as from `confusion_matrix`.

    Raises:
        ValueError: when the matrix is not square or counts nothing.
    """
    targets, predictions, counts = _pairs(matrix)
    return float(jaccard_score(targets, predictions, average="macro", sample_weight=counts))


def _pairs(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of target and predicted class that occur, and how often, as scikit-learn takes them.

    Raises:
        ValueError: when the matrix is not square or counts nothing.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"matrix must be a square confusion matrix, found shape {counts.shape}")
    if counts.sum() == 0:
        raise ValueError("matrix must count at least one prediction, found none")
    targets, predictions = np.nonzero(counts)
    return targets, predictions, counts[targets, predictions]
