"""What is read from a run's folder is what the evaluation measured; damage is named."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.errors import InputError
from shared.metrics import accuracy, mean_iou
from shared.reproduction.description import Cell
from shared.reproduction.results import check_hashes, load, weights_hashes

from .run_folders import a_run, image_rows, write_run

CELL = Cell("Sup. GradProm", "σ = 0.1", a_run(), metrics=("psnr", "ssim", "accuracy"), task="diagnosis")


@pytest.mark.parametrize("version", ["degraded", "enhanced", "non_local_means"])
def test_image_quality_is_read_per_image_and_seed(tmp_path: Path, version: str) -> None:
    cell = replace(CELL, version=version, metrics=("psnr", "ssim", "psnr_region", "ssim_region"))
    rows = [image_rows(seed) for seed in (4, 2)]
    found = load(cell, [write_run(tmp_path / str(n), rows[n], cell.run, seed) for n, seed in enumerate((4, 2))])
    assert found.seeds == (4, 2)
    assert found.groups == {row.id: row.group for row in rows[0]}
    assert set(found.per_image) == set(cell.metrics)
    for metric in cell.metrics:
        for first, second in zip(*rows, strict=True):
            expected = (first.quality[version][metric], second.quality[version][metric])
            assert found.per_image[metric][first.id] == pytest.approx(expected, abs=1e-6)
        means = [sum(row.quality[version][metric] for row in run) / len(run) for run in rows]
        assert found.values[metric] == pytest.approx(means)
    assert not found.phantom


def test_figures_over_the_images_are_read_for_the_set_alone(tmp_path: Path) -> None:
    figures = {"variance": np.var, "std": np.std, "minimum": np.min, "maximum": np.max, "range": np.ptp}
    metrics = [f"{name}_{ending}" for name in ("psnr", "ssim", "psnr_region") for ending in figures]
    cell = replace(CELL, metrics=("psnr", *metrics))
    rows = [image_rows(seed) for seed in (4, 2)]
    found = load(cell, [write_run(tmp_path / str(n), rows[n], cell.run, seed) for n, seed in enumerate((4, 2))])
    assert set(found.per_image) == {"psnr"}
    assert set(found.values) == {"psnr", *metrics}
    for metric in metrics:
        name, ending = metric.rsplit("_", 1)
        values = [[row.quality["enhanced"][name] for row in run] for run in rows]
        assert found.values[metric] == pytest.approx([figures[ending](run) for run in values], rel=1e-3, abs=2e-6)
    alone = load(replace(CELL, metrics=("psnr_std",)), [tmp_path / "0"])
    assert (alone.per_image, alone.values["psnr_std"]) == ({}, found.values["psnr_std"][:1])


def test_figures_of_a_version_that_was_not_measured(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", image_rows(0), CELL.run, 0)
    with pytest.raises(InputError, match="found no column psnr_bm3d, expected psnr of bm3d images"):
        load(replace(CELL, version="bm3d", metrics=("psnr_std",)), [folder])


def test_names_come_back_that_a_spreadsheet_would_take_for_formulas(tmp_path: Path) -> None:
    rows = [replace(row, id=f"={row.id}", group=f"-{row.group}") for row in image_rows(0)]
    folder = write_run(tmp_path / "run", rows, CELL.run, 0)
    assert "\n'=scan 0-0,'-patient 0," in (folder / "eval" / "per_image.csv").read_text()
    assert load(replace(CELL, metrics=("psnr",)), [folder]).groups == {row.id: row.group for row in rows}


@pytest.mark.parametrize("version", ["degraded", "enhanced", "clean"])
def test_recognition_is_read_per_image_and_for_the_set(tmp_path: Path, version: str) -> None:
    rows = image_rows(0, skill=0.5)
    folder = write_run(tmp_path / "run", rows, CELL.run, 0, phantom=True)
    diagnosis = load(replace(CELL, version=version, metrics=("accuracy",)), [folder])
    answers = {row.id: row.recognition["diagnosis"].classes for row in rows}
    right = {name: (float(classes[version] == classes["target"]),) for name, classes in answers.items()}
    assert diagnosis.per_image["accuracy"] == right
    assert 0 < sum(value for (value,) in right.values()) < len(rows)
    total = sum(row.recognition["diagnosis"].confusion[version] for row in rows)
    assert diagnosis.values["accuracy"] == pytest.approx((accuracy(total),))
    assert set(diagnosis.values) == {"accuracy", "balanced_accuracy", "majority_baseline"}
    assert diagnosis.phantom

    segmentation = load(replace(CELL, version=version, metrics=("mean_iou",), task="segmentation"), [folder])
    for row in rows:
        expected = mean_iou(row.recognition["segmentation"].confusion[version])
        assert segmentation.per_image["mean_iou"][row.id] == pytest.approx((expected,), abs=1e-6)
    total = sum(row.recognition["segmentation"].confusion[version] for row in rows)
    assert segmentation.values["mean_iou"] == pytest.approx((mean_iou(total),))


def test_an_image_without_a_region_is_left_out_and_equal_images_are_infinite(tmp_path: Path) -> None:
    rows = image_rows(0)
    del rows[3].quality["enhanced"]["psnr_region"]
    rows[5].quality["enhanced"]["psnr"] = math.inf
    folder = write_run(tmp_path / "run", rows, CELL.run, 0)
    found = load(replace(CELL, metrics=("psnr", "psnr_region")), [folder])
    assert set(found.per_image["psnr_region"]) == {row.id for row in rows} - {rows[3].id}
    assert found.per_image["psnr"][rows[5].id] == (math.inf,)
    assert found.values["psnr"] == (math.inf,)


def _edit(path: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: (folder / path).write_text(change((folder / path).read_text()))  # type: ignore[return-value]


def _without(path: str, key: str) -> Callable[[Path], None]:
    def change(text: str) -> str:
        content = json.loads(text)
        del content[key]
        return json.dumps(content)

    return _edit(path, change)


def _cell_of_csv(value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.split("\n")
        first = lines[1].split(",")
        first[lines[0].split(",").index("psnr_enhanced")] = value
        return "\n".join([lines[0], ",".join(first), *lines[2:]])

    return change


FAULTS = {
    "no record": (lambda folder: (folder / "run.json").unlink(), r"run\.json cannot be read: No such file"),
    "record without seed": (_without("run.json", "seed"), r"run\.json: found no seed"),
    "record is a list": (_edit("run.json", lambda text: "[]"), r"run\.json: found no identity, seed"),
    "no summary": (lambda folder: (folder / "eval/summary.json").unlink(), r"summary\.json cannot be read"),
    "half a summary": (_edit("eval/summary.json", lambda text: text[:40]), r"summary\.json: found no JSON"),
    "no table": (lambda folder: (folder / "eval/per_image.csv").unlink(), r"per_image\.csv cannot be read"),
    "empty table": (_edit("eval/per_image.csv", lambda text: ""), r"per_image\.csv: expected a line for each"),
    "binary table": (
        lambda folder: (folder / "eval/per_image.csv").write_bytes(b"\xff\xfe\x00"), r"per_image\.csv: found no CSV"),
    "half a table": (
        _edit("eval/per_image.csv", lambda text: text[: len(text) // 2]), r"per_image\.csv, line \d+: found another"),
    "lines missing": (
        _edit("eval/per_image.csv", lambda text: "\n".join(text.split("\n")[:5]) + "\n"),
        r"per_image\.csv: found 4 images, expected 24",
    ),
    "an image twice": (_edit("eval/per_image.csv", lambda text: text.replace("scan 0-1", "scan 0-0")), "id twice"),
    "a word": (_edit("eval/per_image.csv", _cell_of_csv("good")), r"image 'scan 0-0': found \['good'\], expected numb"),
    "not a number": (_edit("eval/per_image.csv", _cell_of_csv("nan")), r"image 'scan 0-0': found \['nan'\]"),
    "no such column": (
        _edit("eval/per_image.csv", lambda text: text.replace("psnr_enhanced", "psnr_better")),
        r"per_image\.csv: found no column psnr_enhanced",
    ),
    "no such mean": (
        _edit("eval/summary.json", lambda text: text.replace('"enhanced"', '"better"')),
        r"summary\.json: found no psnr of enhanced images",
    ),
    "null that is no infinity": (
        _edit("eval/summary.json", lambda text: re.sub(r'"ssim": [0-9.]+', '"ssim": null', text)),
        r"summary\.json: found null as ssim of enhanced images",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_named(tmp_path: Path, fault: str) -> None:
    folder = write_run(tmp_path / "run", image_rows(0), CELL.run, 0)
    load(CELL, [folder])
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(InputError, match=message):
        load(CELL, [folder])


def test_runs_of_a_cell_must_fit_together(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", image_rows(0), CELL.run, 0)
    with pytest.raises(InputError, match="expected the folder of at least one run"):
        load(CELL, [])
    with pytest.raises(InputError, match="found seed 0 more than once"):
        load(CELL, [first, write_run(tmp_path / "again", image_rows(0), CELL.run, 0)])
    fewer = write_run(tmp_path / "fewer", image_rows(1)[:-1], CELL.run, 1)
    with pytest.raises(InputError, match="fewer: found 1 images or groups that differ, the first 'scan 7-2'"):
        load(CELL, [first, fewer])
    moved = [replace(row, group="one") for row in image_rows(1)]
    with pytest.raises(InputError, match="images or groups that differ"):
        load(CELL, [first, write_run(tmp_path / "moved", moved, CELL.run, 1)])


def test_equal_weights_of_different_runs_are_an_error(tmp_path: Path) -> None:
    cells = [replace(CELL, row=strategy, run=a_run(strategy)) for strategy in ("none", "joint", "gradprom")]
    runs = {
        cell: [write_run(tmp_path / f"{cell.row}{seed}", image_rows(seed), cell.run, seed) for seed in (0, 1)]
        for cell in cells
    }
    found = {cell: load(cell, folders) for cell, folders in runs.items()}
    # Two cells may show the same run, and an evaluation has the weights of the run that trained them.
    degraded = replace(cells[0], row="input", version="degraded")
    found[degraded] = load(degraded, found[cells[0]].folders)
    tested = replace(CELL, row="elsewhere", run=replace(a_run("joint", test_dataset="lizard"), kind="evaluation"))
    weights = f"{cells[1].run.identity()}-0"
    more = {"trained": cells[1].run.identity(), "weights_sha256": weights}
    found[tested] = load(tested, [write_run(tmp_path / "tested", image_rows(0), tested.run, 0, **more)])
    hashes = weights_hashes({**found, replace(CELL, row="later"): None})
    assert len(hashes) == 6
    check_hashes(hashes)

    name = f"{cells[2].run.identity()} seed 1"
    with pytest.raises(InputError, match=f"equal ones in {cells[1].run.identity()} seed 0 and {name}"):
        check_hashes({**hashes, name: weights})
    stale = replace(found[tested], hashes=("something else",))
    with pytest.raises(InputError, match="evaluate again what was trained again"):
        weights_hashes({**found, tested: stale})
