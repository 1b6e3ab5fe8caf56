"""The command: its table, its lines, its exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from shared.conformance import CHECKS, requirements
from tests.conformance.conftest import Copy


@pytest.fixture
def broken(mni152: Copy) -> Copy:
    """Damaged weights, which spare the test the slow checks, and no licence."""
    mni152.add_weights()
    (mni152.folder / "models" / "model.pt").write_bytes(b"damaged")
    (mni152.folder / "LICENSE").unlink()
    return mni152


@pytest.mark.parametrize("markdown", [False, True])
def test_table_failures_and_file(
    script: ModuleType, broken: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path, markdown: bool
) -> None:
    arguments = [str(broken.folder), "--json", str(tmp_path / "new" / "found.json"), *(["--markdown"] * markdown)]
    assert script.main(arguments) == 1
    output, errors = capsys.readouterr()
    assert errors == ""
    lines = output.splitlines()
    separator = "|" if markdown else None
    head = [cell.strip() for cell in lines[0].strip("|").split(separator)]
    cells = [cell.strip() for cell in lines[2].strip("|").split(separator)]
    assert head == ["bundle", *(check.name for check in CHECKS)]
    assert cells == ["gradprom_mni152", "FAIL", "ok", "ok", "ok", "FAIL", *["skipped"] * 6]
    assert lines[1][0] == ("|" if markdown else "-")
    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL gradprom_mni152: files: LICENSE: found no such file, expected one that every bundle has",
        "FAIL gradprom_mni152: weights: models/model.pt: found no readable PyTorch state, expected a file written by "
        "training",
    ]
    assert ("- " * markdown + "skipped: gradprom_mni152: ONNX needs 'weights' to be ok.") in lines
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert found["bundles"]["gradprom_mni152"]["files"]["failures"] == [
        "LICENSE: found no such file, expected one that every bundle has"
    ]
    assert found["bundles"]["gradprom_mni152"]["ONNX"]["status"] == "skipped"
    assert {"torch", "monai", "numpy"} <= found["versions"].keys()


def test_two_bundles_of_one_name(script: ModuleType, broken: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    second = broken.folder.parent / "elsewhere" / broken.folder.name
    shutil.copytree(broken.folder, second)
    assert script.main([str(broken.folder), str(second), str(second)]) == 1
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:4]]
    assert rows == ["gradprom_mni152", str(second)]


def test_bundle_that_there_is_not(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["gradprom_mni"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: BUNDLE: found no bundle 'gradprom_mni'; did you mean 'gradprom_mni152' or 'gradprom_isic'?"


def test_wrong_name_is_said_before_anything_is_checked(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(script, "check_bundle", lambda bundle, **options: checked.append(bundle) or {})
    assert script.main(["gradprom_mni152", "gradprom_mni"]) == 2
    assert capsys.readouterr().err.startswith("error: BUNDLE: found no bundle 'gradprom_mni'; ")
    assert checked == []


def test_folder_that_is_no_bundle(script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert script.main([str(tmp_path)]) == 2
    assert f"error: BUNDLE: found no {tmp_path}/configs/metadata.json" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--keep-exports"])
def test_place_that_cannot_be_written(
    script: ModuleType, broken: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("")
    assert script.main([str(broken.folder), option, str(tmp_path / "file" / "new")]) == 2
    output, errors = capsys.readouterr()
    assert output == "", "said before anything is checked"
    assert errors.startswith("error: folder ")


def test_json_that_is_a_folder(
    script: ModuleType, broken: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert script.main([str(broken.folder), "--json", str(tmp_path)]) == 2
    output, errors = capsys.readouterr()
    assert "FAIL gradprom_mni152: files: LICENSE" in output
    assert errors.startswith(f"error: {tmp_path} cannot be written")


@pytest.mark.parametrize("package", requirements.PACKAGES)
def test_missing_package_is_named_with_its_extra(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == package else object())
    assert script.main([]) == 2
    assert capsys.readouterr().err == (
        f"error: package {package}: not installed; the extra 'export' has it: pip install -e '.[export]'\n"
    )
