"""Results of runs, read from their folders: values per image and of the whole test set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.files import short_path
from shared.reporting.headings import FIGURES
from shared.reporting.per_image import numbers_of, quality_column, read_per_image
from shared.reporting.summary import figures_of
from shared.reproduction.description import Cell

SET_LEVEL = {"accuracy": ("balanced_accuracy",)}
"""What a test set has beside a metric, without a value for a single image."""


@dataclass(frozen=True)
class CellResult:
    """What was measured in the runs of one cell, in the order of the seeds.

    Attributes:
        cell: what it is the result of.
        seeds: of the runs.
        per_image: metric -> image id -> a value for each seed. The accuracy of an image is 1 or 0, its mean IoU that
            of its own confusion matrix. An image that has no value (no region, for example) is not there.
        groups: image id -> patient or lesion.
        values: metric -> the test set's value for each seed: mean PSNR and SSIM (infinite where an image equals the
            clean one), accuracy, mean IoU from summed confusion matrices; also `balanced_accuracy` and
            `majority_baseline` of a diagnosis, and figures over the images such as `psnr_std`.
        phantom: whether any of the runs saw phantom data, which are no result.
        hashes: SHA-256 of each run's weights.
        trained: identity of the run that trained these weights, for each seed.
        folders: of the runs.
    """

    cell: Cell
    seeds: tuple[int, ...]
    per_image: Mapping[str, Mapping[str, tuple[float, ...]]]
    groups: Mapping[str, str]
    values: Mapping[str, tuple[float, ...]]
    phantom: bool
    hashes: tuple[str, ...]
    trained: tuple[str, ...]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Seed:
    record: Mapping[str, Any]
    per_image: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]
    values: Mapping[str, float]
    folder: Path


def load(cell: Cell, folders: Sequence[str | Path]) -> CellResult:
    """Read the runs of one cell, a folder for each seed.

    Args:
        cell: which version of the images and which metrics are read.
        folders: at least one; each with `run.json`, `eval/per_image.csv` and `eval/summary.json`.

    Raises:
        InputError: when there is no folder; when a file is missing, damaged, or lacks a metric; when two runs have
            the same seed, or did not test the same images of the same groups.
    """
    if not folders:
        raise InputError(f"cell {cell.row!r}, {cell.column!r}: expected the folder of at least one run, found none")
    runs = [_load_seed(cell, Path(folder)) for folder in folders]
    first = runs[0]
    seeds = tuple(int(run.record["seed"]) for run in runs)
    for run, seed in zip(runs[1:], seeds[1:], strict=True):
        if run.groups != first.groups:
            raise InputError(
                f"{_name(run.folder)}: found {_difference(run.groups, first.groups)}, expected the images and groups "
                f"of {_name(first.folder)}"
            )
        if seeds.count(seed) > 1:
            raise InputError(f"{_name(run.folder)}: found seed {seed} more than once among the runs of one cell")
        for metric, values in run.per_image.items():
            if values.keys() != first.per_image[metric].keys():
                raise InputError(f"{_name(run.folder)}: found other images with {metric} than {_name(first.folder)}")
    return CellResult(
        cell=cell,
        seeds=seeds,
        per_image={
            metric: {name: tuple(run.per_image[metric][name] for run in runs) for name in values}
            for metric, values in first.per_image.items()
        },
        groups=first.groups,
        values={metric: tuple(run.values[metric] for run in runs) for metric in first.values},
        phantom=any(bool(run.record["phantom"]) for run in runs),
        hashes=tuple(str(run.record["weights_sha256"]) for run in runs),
        trained=tuple(str(run.record.get("trained") or run.record["identity"]) for run in runs),
        folders=tuple(run.folder for run in runs),
    )


def weights_hashes(results: Mapping[Cell, CellResult | None]) -> dict[str, str]:
    """Return the hash of the weights of every run behind some cells, by "<identity of the training run> seed <seed>".

    A run that evaluates the weights of another counts as that one, when its `run.json` names it as `trained`.

    Raises:
        InputError: when weights that ought to be the same are not.
    """
    hashes: dict[str, str] = {}
    for result in results.values():
        for trained, seed, value in zip(result.trained, result.seeds, result.hashes, strict=True) if result else ():
            key = f"{trained} seed {seed}"
            if hashes.setdefault(key, value) != value:
                raise InputError(
                    f"run {key}: found weights {value[:12]} in one place and {hashes[key][:12]} in another, expected "
                    "the same; evaluate again what was trained again"
                )
    return hashes


def check_hashes(hashes: Mapping[str, str]) -> None:
    """Check that different runs have different weights: equal ones mean that a setting did not arrive.

    Args:
        hashes: SHA-256 of the weights by the name of the run (identity and seed), as from `weights_hashes`.

    Raises:
        InputError: naming the runs that share their weights.
    """
    runs: dict[str, list[str]] = {}
    for name, value in hashes.items():
        runs.setdefault(value, []).append(name)
    shared = [names for names in runs.values() if len(names) > 1]
    if shared:
        found = "; ".join(" and ".join(names) for names in shared)
        raise InputError(f"weights of different runs must differ, found equal ones in {found}")


def _load_seed(cell: Cell, folder: Path) -> _Seed:
    record = _read_json(folder / "run.json", ("identity", "seed", "phantom", "weights_sha256"))
    summary = _read_json(folder / "eval/summary.json", ("number_of_images", "image_quality", "recognition"))
    path = folder / "eval/per_image.csv"
    rows = read_per_image(path)
    if len(rows) != summary["number_of_images"]:
        raise InputError(
            f"{_name(path)}: found {len(rows)} images, expected {summary['number_of_images']} as in summary.json"
        )
    values = _values(cell, summary, folder / "eval/summary.json")
    per_image = {}
    for metric in cell.metrics:
        if metric in FIGURES:
            measured, figure = FIGURES[metric]
            found = _values_by_image(cell, measured, rows, path)
            values[metric] = figures_of(np.array(list(found.values())))[figure]
        elif not is_set_level(metric):
            per_image[metric] = _values_by_image(cell, metric, rows, path)
    groups = {row["id"]: row["group"] for row in rows}
    return _Seed(record, per_image, groups, values, folder)


def _read_json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{_name(path)} cannot be read: {err.strerror or err}; expected a finished run") from err
    except ValueError as err:
        raise InputError(f"{_name(path)}: found no JSON, expected what a run wrote") from err
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{_name(path)}: found no {', '.join(missing)}, expected what a run wrote")
    return dict(content)


def _values_by_image(cell: Cell, metric: str, rows: Sequence[Mapping[str, str]], path: Path) -> dict[str, float]:
    task, version = cell.task, cell.version
    if metric == "accuracy":
        columns = [f"{task}_target", f"{task}_{version}"]
    elif metric == "mean_iou":
        columns = [f"{task}_mean_iou_{version}"]
    else:
        columns = [quality_column(metric, version)]
    found = numbers_of(rows, columns, path, f"{metric} of {version} images")
    if metric == "accuracy":
        return {image: float(target == answer) for image, (target, answer) in found.items()}
    return {image: number for image, (number,) in found.items()}


def _values(cell: Cell, summary: Mapping[str, Any], path: Path) -> dict[str, float]:
    recognition = summary["recognition"].get(cell.task, {}) if cell.task else {}
    known = {**summary["image_quality"].get(cell.version, {}), **recognition.get(cell.version, {})}
    values = {}
    for metric in cell.metrics:
        if metric in FIGURES:
            continue
        if metric not in known:
            raise InputError(f"{_name(path)}: found no {metric} of {cell.version} images, expected one")
        for name in (metric, *SET_LEVEL.get(metric, ())):
            if known[name] is None and not name.startswith("psnr"):
                raise InputError(f"{_name(path)}: found null as {name} of {cell.version} images, expected a number")
            # JSON has no infinity: null stands for the PSNR of equal images.
            values[name] = math.inf if known[name] is None else float(known[name])
        if metric == "accuracy":
            values["majority_baseline"] = float(recognition["majority_baseline"])
    return values


def is_set_level(metric: str) -> bool:
    """Whether a metric has a value for a whole test set alone, as "balanced_accuracy" and "psnr_std" have."""
    return metric in FIGURES or any(metric in names for names in SET_LEVEL.values())


def _difference(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    other = sorted(set(found.items()) ^ set(expected.items()))
    return f"{len(other)} images or groups that differ, the first {other[0][0]!r}"


def _name(path: Path) -> str:
    return short_path(path)
