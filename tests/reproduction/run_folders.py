"""Folders of runs with made-up values, in the formats that an evaluation writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared.reporting import ImageRow, Recognition, per_image_csv, summarise
from shared.reporting.summary import finite_or_none
from shared.reproduction.description import Cell, Run
from shared.reproduction.results import CellResult, load

VERSIONS = ("degraded", "enhanced", "clean")


def image_rows(seed: int, gain: float = 3.0, patients: int = 8, images: int = 3, skill: float = 0.8) -> list[ImageRow]:
    """Rows of a test set whose enhanced images are `gain` dB better; patients differ much, images little."""
    patient_random = np.random.default_rng(0)
    random = np.random.default_rng(seed + 1)
    rows = []
    for patient in range(patients):
        level, share = patient_random.uniform(18, 22), patient_random.normal(1, 0.3)
        for image in range(images):
            degraded = level + 0.1 * random.normal()
            enhanced = degraded + gain * share + 0.1 * random.normal()
            quality = {
                name: {"psnr": value, "ssim": value / 50, "psnr_region": value - 1, "ssim_region": value / 60}
                for name, value in (("degraded", degraded), ("non_local_means", degraded + 1), ("enhanced", enhanced))
            }
            target = (patient + image) % 3
            answers = {name: target if random.uniform() < skill else (target + 1) % 3 for name in VERSIONS}
            overlap = {name: int(random.integers(20, 40)) for name in VERSIONS}
            recognition = {
                "diagnosis": Recognition(
                    "diagnosis",
                    {name: _matrix(3, {(target, answer): 1}) for name, answer in answers.items()},
                    {"target": target, **answers},
                ),
                "segmentation": Recognition(
                    "segmentation",
                    {name: _matrix(2, {(0, 0): 50, (1, 1): n, (1, 0): 50 - n}) for name, n in overlap.items()},
                ),
            }
            rows.append(ImageRow(f"scan {patient}-{image}", f"patient {patient}", quality, recognition))
    return rows


def write_run(
    folder: Path, rows: Sequence[ImageRow], run: Run, seed: int, phantom: bool = False, panel: bool = False, **more: Any
) -> Path:
    """Write what a run leaves behind, as far as a report reads it."""
    (folder / "eval").mkdir(parents=True)
    (folder / "eval/per_image.csv").write_text(per_image_csv(rows), encoding="utf-8")
    summary = finite_or_none({**summarise(rows), "run": {"phantom": phantom}})
    (folder / "eval/summary.json").write_text(json.dumps(summary), encoding="utf-8")
    record = {
        "identity": run.identity(),
        "seed": seed,
        "bundle": run.bundle,
        "kind": run.kind,
        "phantom": phantom,
        "weights_sha256": f"{run.identity()}-{seed}",
        **more,
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    if panel:
        Image.new("RGB", (40, 20), (200, seed, 30)).save(folder / "eval/panel.png")
    return folder


def result(folder: Path, cell: Cell, gain: float, seeds: Sequence[int] = (0, 1, 2), **options: Any) -> CellResult:
    """Write and load the runs of one cell."""
    of_run = {key: options.pop(key) for key in ("phantom", "panel") if key in options}
    folders = [
        write_run(
            folder / f"{cell.run.identity()}-{cell.version}-{seed}",
            image_rows(seed, gain, **options),
            cell.run,
            seed,
            **of_run,
        )
        for seed in seeds
    ]
    return load(cell, folders)


def a_run(strategy: str = "gradprom", **overrides: Any) -> Run:
    """A run of a bundle; with equal seeds, the runs of all strategies see the same degraded images."""
    return Run("gradprom_isic", {"strategy": strategy, **overrides})


def _matrix(size: int, counts: dict[tuple[int, int], int]) -> np.ndarray:
    matrix = np.zeros((size, size), dtype=np.int64)
    for place, count in counts.items():
        matrix[place] += count
    return matrix
