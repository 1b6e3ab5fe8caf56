"""What the settings at the head of the bundles' configurations may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.data.domain_generalisation import TEST_DATASETS
from shared.data.splits import SPLITS
from shared.errors import InputError
from shared.update_rules import RULES


@dataclass(frozen=True)
class Number:
    """A finite number in a range.

    Attributes:
        low: smallest value.
        high: largest value.
        whole: whether it has to be an integer.
        open_low: whether ``low`` itself is excluded.
        open_high: whether ``high`` itself is excluded.
        optional: whether null is allowed too.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open_low: bool = False
    open_high: bool = False
    optional: bool = False

    def check(self, key: str, value: Any) -> None:
        """Raise an InputError naming the key unless the value is allowed."""
        if value is None and self.optional:
            return
        is_number = isinstance(value, int if self.whole else (int, float)) and not isinstance(value, bool)
        above = is_number and (value > self.low if self.open_low else value >= self.low)
        below = is_number and (value < self.high if self.open_high else value <= self.high)
        if not (above and below and math.isfinite(value)):
            raise InputError(f"{key}: expected {self}, found {value!r}")

    def __str__(self) -> str:
        words = "a whole number" if self.whole else "a number"
        if math.isfinite(self.low):
            words += f" {'>' if self.open_low else '>='} {self.low:g}"
        if math.isfinite(self.high):
            words += f" and {'<' if self.open_high else '<='} {self.high:g}"
        return words + (" or null" if self.optional else "")


@dataclass(frozen=True)
class NumberOrRange:
    """A number, or a pair of them, from the lower to the higher.

    Attributes:
        number: what each of them may be.
    """

    number: Number

    def check(self, key: str, value: Any) -> None:
        """Raise an InputError naming the key unless the value is allowed."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.number.check(key, value)
            return
        for each in value:
            self.number.check(key, each)
        if len(value) != 2 or value[0] > value[1]:
            raise InputError(f"{key}: expected {self.number}, or a pair [low, high] of them, found {value!r}")


@dataclass(frozen=True)
class Choice:
    """One of some words or numbers.

    Attributes:
        values: what is allowed.
    """

    values: Sequence[str | int]

    def check(self, key: str, value: Any) -> None:
        """Raise an InputError naming the key unless the value is allowed."""
        if value not in self.values:
            raise InputError(f"{key}: expected one of {', '.join(map(str, self.values))}, found {value!r}")


@dataclass(frozen=True)
class Flag:
    """True or false; the command line passes ``true`` as a string, and ``false`` as one that counts as true."""

    def check(self, key: str, value: Any) -> None:
        """Raise an InputError naming the key unless the value is allowed."""
        if not isinstance(value, bool) and value != "true":
            raise InputError(
                f"{key}: expected true or False, found {value!r}, which the command line passes as text; "
                f"write --{key} False"
            )


@dataclass(frozen=True)
class File:
    """An existing file, or null."""

    def check(self, key: str, value: Any) -> None:
        """Raise an InputError naming the key unless the value is allowed."""
        if value is not None and not Path(str(value)).is_file():
            raise InputError(f"{key}: expected an existing file, found {value!r}")


SETTINGS: dict[str, Number | NumberOrRange | Choice | Flag | File] = {
    "seed": Number(0, 2**32 - 1, whole=True),
    "strategy": Choice([*RULES, "none"]),
    "auxiliary": Choice(["diagnosis", "segmentation", "both", "none"]),
    "supervised": Flag(),
    "weight": Number(0),
    "profile": Choice(["cpu", "full"]),
    "backbone": Choice(["resnet10", "resnet18", "resnet34", "resnet50", "resnet101"]),
    "sigma": NumberOrRange(Number(0)),
    "test_sigma": Number(0),
    "sigma_min": Number(0),
    "sigma_max": Number(0),
    "scale": Choice([2, 4]),
    "split": Choice(SPLITS),
    "clip_degraded": Flag(),
    "test_dataset": Choice(TEST_DATASETS),
    "image_size": Number(16, whole=True),
    "crop_size": Number(16, whole=True),
    "patch_size": Number(16, whole=True),
    "channels": Choice([1, 3]),
    "batch_size": Number(1, whole=True),
    "max_epochs": Number(1, whole=True),
    "pretrain_epochs": Number(1, whole=True),
    "adversarial_epochs": Number(0, whole=True),
    "perceptual": Choice(["none", "vgg19", "recognition"]),
    "test_fraction": Number(0, 1, open_low=True, open_high=True),
    "warmup": Number(0, 1, open_high=True),
    "learning_rate": Number(0, open_low=True),
    "pretrain_learning_rate": Number(0, open_low=True),
    "num_validation": Number(1, whole=True, optional=True),
    "val_interval": Number(1, whole=True),
    "num_workers": Number(0, whole=True),
    "accumulation_steps": Number(1, whole=True),
    "amp": Flag(),
    "resume": Flag(),
    "imagenet_weights": File(),
    "recognition_weights": File(),
    "classes": File(),
    "plane": Choice(["axial", "coronal", "sagittal"]),
    "output_format": Choice(["same", "dicom", "nifti", "png"]),
    "large_image_pixels": Number(1, whole=True),
    "bits": Number(1, 16, whole=True, optional=True),
    "any_modality": Flag(),
    "crops_per_epoch": Number(1, whole=True),
}
"""Settings by the key that they have in every bundle."""
