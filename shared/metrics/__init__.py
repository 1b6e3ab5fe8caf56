"""Metrics of image quality and of recognition, as the tables report them."""

from shared.metrics.image_metric import PSNR, SSIM, ImageMetric
from shared.metrics.image_quality import psnr, ssim
from shared.metrics.recognition import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    majority_baseline,
    mean_iou,
)

__all__ = [
    "PSNR",
    "SSIM",
    "ImageMetric",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "majority_baseline",
    "mean_iou",
    "psnr",
    "ssim",
]
