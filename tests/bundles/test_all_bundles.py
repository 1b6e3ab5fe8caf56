"""What holds for every bundle: files, configuration rules, documents that tell the truth, and the whole path."""

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundles.commands import BUNDLES, ROOT, SMOKE, TINY, arguments, config, succeed, succeed_here

FILES = [
    "configs/train.json", "configs/evaluate.json", "configs/inference.json", "configs/metadata.json",
    "configs/logging.conf", "docs/README.md", "docs/data_license.txt", "LICENSE",
]
NOTICES = [
    r"^parsing config_file .*GHSA-873f-pvrv-4x83\)\.$",
    r"WARNING - Not all config files are in .* If logging_file and meta_file are",
    r"INFO - Setting logging properties based on config: ",
    r"INFO - --- input summary of monai\.bundle\.scripts\.run ---$",
    r"INFO - > \w+: ",
    r"INFO - ---$",
]
"""What MONAI prints before a bundle's own logging begins."""
LOG = [
    r"^\d\d:\d\d:\d\d WARNING using PHANTOM data for '\w+' \(synthetic, no result\): ",
    r"^\d\d:\d\d:\d\d INFO [a-z]+ epoch (\d+)/(\d+)  loss [\d.e-]+  (\S.*  )?\d+\.\d s$",
    r"^\d\d:\d\d:\d\d INFO [a-z]+ step \d+/\d+  loss [\d.e-]+  (\S.*  )?about \d+ s left$",
    r"^\d\d:\d\d:\d\d INFO (training|validation|test): \d+ (images of \d+ groups|slices of \d+ cases)$",
    r"^\d\d:\d\d:\d\d INFO brats: decoding \d+ case\(s\), once, into '.*'$",
    r"^brats: \d+ of \d+ cases decoded$",
    r"^\d\d:\d\d:\d\d INFO BM3D is left out of the report: the package bm3d is not installed ",
    r"^\d\d:\d\d:\d\d INFO \d+ of \d+ bits: \S+ uint\d+, \d+ file\(s\)$",
    r"^\d\d:\d\d:\d\d INFO masks: values [\d, ]+ are classes [\d, ]+$",
]
"""What a run on phantom data may log until it is tested; a warning of any other kind is a fault."""
CLOSING = r"^\d\d:\d\d:\d\d INFO Test set: (\d+) images of (\d+) groups$"
NUMBER = r"[+-]?\d+\.\d+(e[+-]?\d+)?|nan|inf"
"""A cell of the tables that close a run, but for the number of images of a group."""
ROW = r"[a-z]|(NLM|BM3D)\b"
"""How a row of these tables begins, but for those of groups, whose names are the data set's."""


def content(bundle: Path, name: str) -> dict[str, Any]:
    return json.loads((bundle / "configs" / f"{name}.json").read_text())


WITH_RECOGNITION = [path for path in BUNDLES if "recognition_def" in content(path, "train")]


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request) -> Path:
    return request.param


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def components(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from components(item)


def test_there_are_bundles():
    methods = {
        "gradprom": ("isic", "covid_ct", "lizard", "camus", "mni152", "folder"),
        "rirgan": ("mni152", "brats", "folder"),
    }
    names = {f"{method}_{data}" for method, sets in methods.items() for data in sets}
    assert names <= {path.name for path in BUNDLES}


def test_has_all_files(bundle):
    assert [name for name in FILES if not (bundle / name).is_file()] == []


def test_head_is_short(bundle):
    settings = [key for key, value in content(bundle, "train").items() if not isinstance(value, dict | list)]
    assert len([key for key in settings if key not in ("run", "network", "test_noise", "is_not_rank0")]) <= 25


@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_expressions_fit_on_a_line_and_import_nothing_of_ours(bundle, name):
    expressions = [leaf for leaf in leaves(content(bundle, name)) if isinstance(leaf, str) and leaf.startswith("$")]
    assert [e for e in expressions if len(e) > 120 or re.search(r"\bshared\b", e)] == []


@pytest.mark.parametrize("name", ["train", "inference"])
def test_components_exist(bundle, name):
    targets = {c["_target_"] for c in components(content(bundle, name)) if not c["_target_"].startswith("$")}
    ours = {target for target in targets if target.startswith("shared.")}
    assert ours
    assert [target for target in ours if locate(target) is None] == []


def test_training_and_inference_agree(bundle):
    train, inference = content(bundle, "train"), content(bundle, "inference")
    for block in ("network_def", "bundle_root"):
        assert {k: v for k, v in train[block].items() if k != "_desc_"} == inference[block]
    rules = [train["intensity_scaling"], inference["intensity_scaling"]["default"]]
    a, b = ({k: v for k, v in rule.items() if k != "_desc_"} for rule in rules)
    assert a == b


def test_bundle_names_itself(bundle):
    assert content(bundle, "train")["bundle_root"]["name"] == bundle.name


@pytest.mark.parametrize("bundle", WITH_RECOGNITION, ids=lambda path: path.name)
def test_evaluation_takes_the_recognition_network_that_was_trained(bundle, tmp_path):
    """Whatever the data it is tested on would choose, phantom or real."""
    parser = ConfigParser({**content(bundle, "train"), **content(bundle, "evaluate"), "ckpt_dir": str(tmp_path)})
    (tmp_path / "provenance.json").write_text('{"backbone": "resnet34"}')
    assert parser.get_parsed_content("backbone") == "resnet34"


def test_phantom_and_profile_tables_tell_the_truth(bundle, tmp_path):
    """Each row `key` | left | right of the bundle's README equals the values of the configuration."""
    text = (bundle / "docs" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)`[^|]*\| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) >= 5
    for key, left, right in rows:
        for column, value in enumerate((left, right)):
            parser = ConfigParser(content(bundle, "train"))
            if "phantom" in content(bundle, "train"):
                parser["phantom"] = column == 1
            else:
                parser["profile"] = ("cpu", "full")[column]
            found = parser.get_parsed_content(key)
            assert str("all" if found is None else found) == value, (key, column)


def check_terminal(output: str, report: dict[str, Any]) -> None:
    """MONAI's notices, the log, the line that says what was tested, the report's tables, and where its files lie."""
    lines = [line for line in output.splitlines() if line.strip()]
    closing = next(number for number, line in enumerate(lines) if re.match(CLOSING, line))
    assert [line for line in lines[:closing] if not any(re.search(known, line) for known in (*NOTICES, *LOG))] == []
    assert re.match(CLOSING, lines[closing]).group(1) == "3"
    *tables, last = lines[closing + 1 :]
    assert last.startswith("Written: ")
    assert {Path(path).name for path in last.removeprefix("Written: ").split(", ")} == {
        "per_image.csv", "summary.json", "panel.png"
    }
    heads = [re.split(r"\s{2,}", line.strip()) for line in tables if line.startswith("   ")]
    assert heads[0][:2] == ["PSNR [dB]", "SSIM"]
    others = {"mean": report.get("stability"), "images": report.get("by_group"), "degraded": report.get("tasks")}
    assert [head[0] for head in heads[1:]] == [first for first, is_told in others.items() if is_told]
    for line in tables:
        if line.startswith("   "):
            head = line.split()[0]
            continue
        name, *cells = re.split(r"\s{2,}", line)
        if head == "images":
            assert cells.pop(0).isdecimal(), line
        else:
            assert re.match(ROW, name), line
        assert cells, line
        assert all(re.fullmatch(NUMBER, cell) for cell in cells), line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bundle", "strategy"), [*((path, "gradprom") for path in BUNDLES), (BUNDLES[0], "none")],
    ids=lambda value: getattr(value, "name", value),
)
def test_whole_path(bundle, tmp_path, strategy):
    """Train, evaluate elsewhere, enhance, without noise on the terminal; the first bundle as a person does it."""
    go = succeed if (bundle, strategy) == (BUNDLES[0], "gradprom") else succeed_here
    train = content(bundle, "train")
    stages = {key: value for key, value in {"strategy": strategy, "adversarial_epochs": 1}.items() if key in train}
    check_terminal(go(arguments(bundle, tmp_path, "train.json", SMOKE, **stages)), train["test"]["handlers"][1])
    beside = {{"strategy": "recognition.pt", "adversarial_epochs": "discriminator.pt"}[key] for key in stages}
    written = {path.name for path in (tmp_path / "models").iterdir()}
    assert written == {"model.pt", "provenance.json", "checkpoint.pt"} | beside
    for file in ("per_image.csv", "summary.json", "panel.png", "config.json"):
        assert (tmp_path / "eval" / file).is_file(), file
    parser = ConfigParser(content(bundle, "inference"))
    parser["ckpt_path"] = str(tmp_path / "models" / "model.pt")
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(tmp_path / "models" / "model.pt", weights_only=True), strict=True)

    if strategy == "none":
        return
    trained = json.loads((tmp_path / "eval" / "summary.json").read_text())
    options = {"ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "again"}
    words = ["run", "evaluating", "--config_file", config(bundle, "train.json", "evaluate.json", SMOKE)]
    words += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    go(words)
    evaluated = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert evaluated["image_quality"] == trained["image_quality"]
    assert evaluated["recognition"] == trained["recognition"]
    with open(tmp_path / "again" / "per_image.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert {"id", "group", "psnr_degraded", "psnr_enhanced", "ssim_degraded", "ssim_enhanced"} <= row.keys()
    assert "run" in evaluated
    assert {"data", "seed", "device", "versions", "command"} <= evaluated["run"].keys()

    scan = np.random.default_rng(0).integers(0, 900, (37, 31, 2)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(scan, np.diag([-1.0, 2.0, 3.0, 1.0])), tmp_path / "scan.nii.gz")
    words = ["run", "--config_file", str(bundle / "configs" / "inference.json")]
    words += ["--input", str(tmp_path / "scan.nii.gz"), "--output_dir", str(tmp_path / "clean")]
    go([*words, "--ckpt_path", str(tmp_path / "models" / "model.pt")])
    enhanced = nibabel.load(tmp_path / "clean" / "scan.nii.gz")
    # Super-resolution: the same space on a finer grid.
    scale = evaluated["run"].get("scale", 1)
    assert enhanced.shape == (scale * 37, scale * 31, 2)
    assert enhanced.get_data_dtype() == np.int16
    shift = (1 - scale) / (2 * scale)
    affine = [[-1 / scale, 0, 0, -shift], [0, 2 / scale, 0, 2 * shift], [0, 0, 3, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(enhanced.affine, affine, rtol=0, atol=1e-6 * (scale > 1))


VARIANTS = {
    "both tasks, unsupervised": {"auxiliary": "both", "supervised": False},
    "segmentation": {"auxiliary": "segmentation", "strategy": "gradprom_cosine"},
    "joint": {"auxiliary": "both", "strategy": "joint"},
    "frozen": {"strategy": "frozen"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_isic_variants(name, tmp_path):
    """Without warm-up: joint and frozen training let every gradient in, the others by the sign of its cosine."""
    variant = VARIANTS[name]
    words = arguments(ROOT / "bundles" / "gradprom_isic", tmp_path, "train.json", SMOKE, TINY, warmup=0, **variant)
    succeed_here(words, cwd=tmp_path)
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    kinds = {task for task in ("diagnosis", "segmentation") if variant.get("auxiliary", "diagnosis") in (task, "both")}
    assert summary["recognition"].keys() == kinds
    with open(tmp_path / "eval" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row, kind in itertools.product(rows, kinds):
        accepted, cosine = float(row[f"{kind}_acceptance"]), float(row[f"{kind}_cosine"])
        if variant.get("strategy") in ("joint", "frozen"):
            assert accepted == 1
        else:
            assert accepted in (0, 0.5, 1), "of the two steps of an epoch"
            assert math.isfinite(cosine)
            assert accepted == 0.5 or (cosine > 0) == (accepted == 1)
