"""The report on a stock evaluator, against values worked out image by image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from shared.metrics import psnr, ssim
from shared.recognition import RecognitionTask
from shared.reporting import EnhancementReport
from tests.reporting.evaluation import BrightnessClassifier, evaluate, make_items, read, tasks


@pytest.mark.parametrize("decollate", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_without_tasks(tmp_path: Path, channels: int, decollate: bool) -> None:
    items = make_items(channels, 37, 31)
    bare = [{key: item[key] for key in ("id", "image", "label")} for item in items]
    evaluator = evaluate(EnhancementReport(tmp_path, run={"seed": 0}), bare, decollate=decollate)
    rows, summary = read(tmp_path)
    columns = ["psnr_degraded", "psnr_enhanced", "ssim_degraded", "ssim_enhanced"]
    assert list(rows[0]) == ["id", "group", *columns]
    assert [row["id"] for row in rows] == sorted(item["id"] for item in items)
    by_id = {item["id"]: item for item in items}
    for row in rows:
        image, label = by_id[row["id"]]["image"], by_id[row["id"]]["label"]
        expected = [psnr(image, label), psnr(0.5 * image + 0.25, label)]
        expected += [ssim(image, label), ssim(0.5 * image + 0.25, label)]
        assert [float(row[name]) for name in columns] == pytest.approx(expected, abs=1e-5)
        assert row["group"] == row["id"]
    assert summary["number_of_images"] == summary["number_of_groups"] == 5
    for name in columns:
        metric, version = name.split("_")
        mean = np.mean([float(row[name]) for row in rows])
        assert summary["image_quality"][version][metric] == pytest.approx(mean, abs=1e-5)
    assert summary["recognition"] == {}
    assert summary["run"] == {"seed": 0}
    assert evaluator.state.report["image_quality"]["enhanced"]["psnr"] == pytest.approx(
        summary["image_quality"]["enhanced"]["psnr"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panel.png", "per_image.csv", "summary.json"]


def naive_miou(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    values = []
    for k in (0, 1):
        union = sum(np.sum((a == k) | (b == k)) for a, b in pairs)
        if union:
            values.append(sum(np.sum((a == k) & (b == k)) for a, b in pairs) / union)
    return float(np.mean(values))


def test_recognition_on_degraded_enhanced_and_clean(tmp_path: Path) -> None:
    items = make_items(1, 37, 31)
    evaluate(EnhancementReport(tmp_path, tasks()), items)
    rows, summary = read(tmp_path)
    assert summary["number_of_groups"] == 3
    by_id = {item["id"]: item for item in items}
    versions: dict[str, Callable] = {
        "degraded": lambda item: item["image"],
        "enhanced": lambda item: 0.5 * item["image"] + 0.25,
        "clean": lambda item: item["label"],
    }
    for version, get in versions.items():
        answers = {
            key: int(np.argmin(abs(get(item).mean().item() - np.array([0.3, 0.5, 0.7])))) for key, item in by_id.items()
        }
        assert {row["id"]: int(row[f"diagnosis_{version}"]) for row in rows} == answers
        right = {key: answers[key] == item["class"] for key, item in by_id.items()}
        values = summary["recognition"]["diagnosis"][version]
        assert values["accuracy"] == pytest.approx(np.mean(list(right.values())))
        recalls = [np.mean([right[key] for key, item in by_id.items() if item["class"] == k]) for k in range(3)]
        assert values["balanced_accuracy"] == pytest.approx(np.mean(recalls))
        pairs = {key: ((get(item).mean(0) > 0.6).numpy(), item["mask"][0].numpy()) for key, item in by_id.items()}
        for row in rows:
            expected = naive_miou([pairs[row["id"]]])
            assert float(row[f"lesion_mean_iou_{version}"]) == pytest.approx(expected, abs=1e-6)
        total = naive_miou(list(pairs.values()))
        assert summary["recognition"]["lesion"][version]["mean_iou"] == pytest.approx(total, abs=1e-9)
    assert [int(row["diagnosis_target"]) for row in rows] == [by_id[row["id"]]["class"] for row in rows]
    assert summary["recognition"]["diagnosis"]["majority_baseline"] == pytest.approx(2 / 5)


def test_recognition_runs_in_evaluation_mode_and_every_submodule_gets_its_mode_back(tmp_path: Path) -> None:
    network = BrightnessClassifier().train()
    network.frozen.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    task = RecognitionTask(network, nn.CrossEntropyLoss())
    evaluate(EnhancementReport(tmp_path, [task]), make_items(1, 37, 31))
    assert network.training
    assert network.drop.training
    assert not network.frozen.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_regions_and_baselines(tmp_path: Path) -> None:
    items = make_items(3, 37, 31)
    items[0]["region"] = torch.zeros(1, 37, 31)
    report = EnhancementReport(tmp_path, baselines={"half": lambda x: x / 2})
    evaluate(report, items)
    rows, summary = read(tmp_path)
    names = ["degraded", "half", "enhanced"]
    metrics = ["psnr_{}", "ssim_{}", "psnr_{}_region", "ssim_{}_region"]
    assert list(rows[0]) == ["id", "group", *(metric.format(name) for metric in metrics for name in names)]
    for row in rows:
        item = next(item for item in items if item["id"] == row["id"])
        if item is items[0]:
            assert row["psnr_half_region"] == row["ssim_half_region"] == ""
            continue
        half = item["image"] / 2
        assert float(row["psnr_half"]) == pytest.approx(psnr(half, item["label"]), abs=1e-5)
        expected = psnr(half, item["label"], mask=item["region"]), ssim(half, item["label"], mask=item["region"])
        assert (float(row["psnr_half_region"]), float(row["ssim_half_region"])) == pytest.approx(expected, abs=1e-5)
    values = [float(row["psnr_half_region"]) for row in rows if row["psnr_half_region"]]
    assert len(values) == 4
    assert summary["image_quality"]["half"]["psnr_region"] == pytest.approx(np.mean(values), abs=1e-5)
    assert list(summary["image_quality"]) == names


def test_super_resolution_compares_the_bicubically_enlarged_image(tmp_path: Path) -> None:
    items = make_items(1, 36, 32, factor=2)
    assert items[0]["image"].shape == (1, 18, 16)
    enlarge = nn.Upsample(scale_factor=2)
    evaluate(EnhancementReport(tmp_path, tasks()), items, enlarge)
    rows, _ = read(tmp_path)
    for row in rows:
        item = next(item for item in items if item["id"] == row["id"])
        bicubic = nn.functional.interpolate(item["image"][None], scale_factor=2, mode="bicubic")[0]
        assert float(row["psnr_degraded"]) == pytest.approx(psnr(bicubic, item["label"]), abs=1e-5)
        assert float(row["psnr_enhanced"]) == pytest.approx(
            psnr(enlarge(item["image"][None])[0], item["label"]), abs=1e-5
        )
    with Image.open(tmp_path / "panel.png") as panel:
        assert panel.width > 600


def test_the_closing_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, tasks(), {"non_local_means": lambda x: x}), make_items(1, 37, 31))
    _, summary = read(tmp_path)
    text = next(record.getMessage() for record in caplog.records if record.name == "shared.report")
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    enhanced = summary["image_quality"]["enhanced"]
    for metric, digits in (("psnr", 2), ("ssim", 4), ("psnr_region", 2), ("ssim_region", 4)):
        assert f"{enhanced[metric]:.{digits}f}" in lines["enhanced"]
    assert {"input (degraded)", "NLM", "diagnosis: accuracy", "diagnosis: balanced accuracy"} <= set(lines)
    assert f"{summary['recognition']['lesion']['enhanced']['mean_iou']:.4f}" in lines["lesion: mean IoU"]
    assert lines["diagnosis: accuracy"].endswith("0.4000")
    assert "5 images of 3 groups" in text
    assert str(tmp_path / "panel.png") in text


def test_a_task_without_ground_truth_is_left_out_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = make_items(1, 37, 31)
    for item in items:
        del item["mask"]
    with caplog.at_level(logging.INFO, "shared.report"):
        evaluate(EnhancementReport(tmp_path, tasks()), items)
    assert list(read(tmp_path)[1]["recognition"]) == ["diagnosis"]
    assert "'lesion' was left out" in caplog.text


def test_equal_images_give_valid_json(tmp_path: Path) -> None:
    items = make_items(1, 37, 31, count=2)
    for item in items:
        item["image"] = item["label"]
    evaluate(EnhancementReport(tmp_path), items, nn.Identity())
    rows, summary = read(tmp_path)
    assert rows[0]["psnr_enhanced"] == "inf"
    enhanced = summary["image_quality"]["enhanced"]
    assert enhanced["psnr"] is enhanced["psnr_region"] is None
    assert enhanced["ssim"] == pytest.approx(1.0)


@pytest.mark.parametrize("names", [[], ["diagnosis"], ["lesion"]])
def test_contours_are_drawn_where_something_is_segmented(tmp_path, monkeypatch, names) -> None:
    drawn = []
    monkeypatch.setattr("shared.reporting.report.draw_panel", lambda rows, orientation: drawn.extend(rows) or b"")
    chosen = [task for task in tasks() if task.name in names]
    evaluate(EnhancementReport(tmp_path, chosen), make_items(1, 37, 31))
    assert [row.mask is not None for row in drawn] == [names == ["lesion"]] * 3
