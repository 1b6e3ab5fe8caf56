"""Packages on a machine that has requirements.txt alone: every way in which MONAI opens a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bundle.archive import unpack
from tests.packaging.conftest import TRAINED, UNTRAINED
from tests.packaging.isolated import PREAMBLE, succeed

SMOKE = "shared/configs/smoke.json"
TINY = Path(__file__).parents[1] / "bundles" / "tiny.json"


@pytest.mark.slow
def test_train_then_evaluate(package, tmp_path):
    """In the package's folder, as its README says; then from another folder by a relative path."""
    before = (package / "models" / "model.pt").read_bytes()
    command = ["-m", "monai.bundle", "run", "training", "--config_file", str(["configs/train.json", SMOKE, str(TINY)])]
    succeed(command, package)
    assert (package / "models" / "smoke" / "provenance.json").is_file()
    assert (package / "models" / "model.pt").read_bytes() == before
    (package / "eval" / "smoke" / "summary.json").unlink()

    names = [f"../installed/{TRAINED}/{file}" for file in ("configs/train.json", "configs/evaluate.json", SMOKE)]
    names.append(str(TINY))
    code = f"{PREAMBLE}from monai.bundle import run\nrun(run_id='evaluating', config_file={names})"
    (tmp_path / "cwd").mkdir()
    succeed(["-c", code], tmp_path / "cwd")
    assert (package / "eval" / "smoke" / "summary.json").is_file()
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.slow
def test_packages_side_by_side(zips, tmp_path):
    """The code of a package without weights serves one that has them, and a copy of that."""
    folders = [unpack(zips[name], tmp_path / "first") for name in (UNTRAINED, TRAINED)]
    folders.append(unpack(zips[TRAINED], tmp_path / "second").rename(tmp_path / "second" / "under another name"))
    (tmp_path / "cwd").mkdir()
    script = Path(__file__).with_name("side_by_side.py")
    succeed([str(script), *map(str, folders)], tmp_path / "cwd")


@pytest.mark.slow
def test_commands_that_parse_without_a_workflow(package):
    code = """
from monai.bundle import ckpt_export, load, verify_net_in_out
files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
verify_net_in_out("network_def", any=16, **files)
ckpt_export("network_def", filepath="models/model.ts", ckpt_file="models/model.pt", **files)
import shared
print(shared.__file__)
"""
    output = succeed(["-c", code], package)
    assert output.splitlines()[-1] == str(package / "shared" / "__init__.py")
    assert (package / "models" / "model.ts").stat().st_size > 0
