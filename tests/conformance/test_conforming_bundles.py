"""Every bundle of the repository passes every check, without a network."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from shared import bundle_names, bundle_root
from shared.conformance import CHECKS, check_bundle
from shared.packaging.build import Options, build
from tests.conformance.conftest import Copy

QUICK = [check for check in CHECKS if check.name not in ("TorchScript", "torch.export", "ONNX")]


def is_committed(bundle: str) -> bool:
    """Whether the weights in a bundle's folder are the repository's; a person may have trained others."""
    command = ["git", "ls-files", "--error-unmatch", "models/model.pt"]
    return subprocess.run(command, cwd=bundle_root(bundle), capture_output=True).returncode == 0


def files_of(bundle: str) -> list[Path]:
    return sorted(path for path in Path(bundle_root(bundle)).rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", bundle_names())
def test_bundle_conforms(
    bundle: str, script: ModuleType, no_network: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command, from another folder."""
    monkeypatch.chdir(tmp_path)
    before = files_of(bundle)
    arguments = [bundle, "--json", "found.json", "--keep-exports", "exports"]
    code = script.main([*arguments, *([] if is_committed(bundle) else ["--random-weights"])])
    results = json.loads(Path("found.json").read_text())["bundles"][bundle]
    assert {name: result["failures"] for name, result in results.items() if result["status"] != "ok"} == {}
    assert code == 0
    assert list(results) == [check.name for check in CHECKS]
    assert no_network == []
    assert files_of(bundle) == before, "checks write nothing into a bundle"
    exports = sorted(path.name for path in Path("exports", bundle).iterdir())
    assert exports == ["model.onnx", "model.pt2", "model.ts"]
    assert 0 < float(results["ONNX"]["note"]) <= 2e-5


def test_an_attempt_to_reach_the_network_is_noticed(no_network: list[str]) -> None:
    with pytest.raises(OSError, match="no network"):
        urllib.request.urlopen("https://example.org")
    assert len(no_network) == 1


def test_unbroken_copy_conforms(mni152: Copy, no_network: list[str]) -> None:
    """What the tests of failures break passes before."""
    mni152.add_weights()
    results = check_bundle(mni152.folder, QUICK)
    assert {name: result.failures for name, result in results.items() if result.status != "ok"} == {}
    assert results["weights"].note == ""
    assert no_network == []


def test_package_conforms(tmp_path: Path) -> None:
    """By its own code."""
    options = Options(weights=is_committed("gradprom_mni152"))
    results = check_bundle(build("gradprom_mni152", tmp_path, options).path, QUICK)
    assert {name: result.failures for name, result in results.items() if result.status != "ok"} == {}
    assert list(results) == ["code", *(check.name for check in QUICK)]


def test_bundle_without_weights_is_checked_with_random_ones(mni152: Copy) -> None:
    checks = [check for check in CHECKS if check.name in ("files", "weights")]
    results = check_bundle(mni152.folder, checks)
    assert {name: (result.status, result.note) for name, result in results.items()} == {
        "files": ("ok", "no weights"),
        "weights": ("ok", "random"),
    }
