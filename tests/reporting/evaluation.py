"""A stock evaluator with transparent networks, shared by the tests of the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from torch import nn

from shared.recognition import RecognitionTask
from shared.reporting import EnhancementReport


class Halfway(nn.Module):
    """An 'enhancement network' that pulls every value halfway towards 0.5."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x + 0.25


class BrightnessClassifier(nn.Module):
    """Class 0, 1 or 2 by mean brightness; batch norm and dropout show whether the mode was right."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, affine=False)
        self.drop = nn.Dropout(0.9)
        self.frozen = nn.BatchNorm2d(1).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.drop(self.norm(x.mean(dim=1, keepdim=True))).mean(dim=(1, 2, 3))
        return -torch.stack([(mean - level).abs() for level in (0.3, 0.5, 0.7)], dim=1)


class Threshold(nn.Module):
    """A 'segmentation network': class 1 where the image is brighter than 0.6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = x.mean(dim=1) - 0.6
        return torch.stack([-score, score], dim=1)


def make_items(channels: int, height: int, width: int, count: int = 5, factor: int = 1) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    items = []
    for index in range(count):
        clean = np.clip(random.uniform(0.2, 0.8) + 0.1 * random.standard_normal((channels, height, width)), 0, 1)
        clean[:, 12:20, 12:22] = 0.9
        mask = np.zeros((1, height, width))
        mask[:, 13:20, 12:22] = 1
        region = np.zeros((1, height, width))
        region[:, 8:30, 7:25] = 1
        noisy = np.clip(clean + 0.2 * random.standard_normal(clean.shape), 0, 1)[:, ::factor, ::factor]
        item: dict[str, Any] = {"id": f"image {count - index}", "group": f"patient {index // 2}", "class": index % 3}
        arrays = {"image": noisy, "label": clean, "mask": mask, "region": region}
        items.append(item | {key: torch.from_numpy(value).float() for key, value in arrays.items()})
    return items


def evaluate(report: EnhancementReport, items: list[dict], network: nn.Module | None = None, **kwargs: Any) -> Any:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=network or Halfway(),
        **kwargs,
    )
    report.attach(evaluator)
    evaluator.run()
    return evaluator


def read(folder: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    with (folder / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file)), json.loads((folder / "summary.json").read_text())


def tasks() -> list[RecognitionTask]:
    return [
        RecognitionTask(BrightnessClassifier(), nn.CrossEntropyLoss(), name="diagnosis"),
        RecognitionTask(Threshold(), nn.CrossEntropyLoss(), name="lesion", label_key="mask"),
    ]
