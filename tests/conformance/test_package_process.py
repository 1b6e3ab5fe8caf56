"""A package is judged by the code that lies in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared import __version__
from shared.bundle.manifest import Manifest
from shared.conformance import CHECKS, check_bundle
from tests.conformance.conftest import Copy

OTHER = '''
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Anything:
    """A check, and what it found."""
    name: str = ""
    status: str = "ok"
    note: str = ""
    failures: tuple = ()
    seconds: float = 0.5

CHECKS = [Anything("files"), Anything("weights"), Anything("of old")]

def check_bundle(bundle, checks, own_weights, exports, say):
    for check in checks:
        say(check.name)
    found = [f"{Path.cwd()}, {own_weights}, {exports}"]
    return {check.name: Anything(status="FAIL", failures=found) for check in checks}
'''
"""Code of another version, of which nothing else is left than that it checks."""


@pytest.fixture
def package(mni152: Copy) -> Callable[[str, str], Path]:
    """Makes a package with some code in place of ``shared/__init__.py`` and of ``shared/conformance``."""

    def make(init: str, conformance: str) -> Path:
        manifest = Manifest(mni152.folder.name, "0.1.0", "0.0.1", {})
        (mni152.folder / "package.json").write_bytes(manifest.to_bytes())
        for path, text in (("__init__.py", init), ("conformance/__init__.py", conformance)):
            (mni152.folder / "shared" / path).parent.mkdir(exist_ok=True)
            (mni152.folder / "shared" / path).write_text(text)
        return mni152.folder

    return make


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_code_of_another_version(
    package: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the checks that it knows, and nothing is written into the package."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder = package("__version__ = '0.0.1'", OTHER)
    before, said = files(folder), list[str]()
    results = check_bundle(folder, CHECKS, own_weights=False, exports=tmp_path / "exports", say=said.append)
    assert list(results) == ["code", "files", "weights"]
    assert (results["code"].status, results["code"].note) == ("ok", "0.0.1")
    assert results["files"].failures == (f"{folder}, False, {tmp_path / 'exports'}",)
    assert results["files"].seconds == 0.5
    assert said == ["files", "weights"]
    assert files(folder) == before


def test_table_says_which_version_it_was(
    script: ModuleType, package: Callable[[str, str], Path], mni152: Copy, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = package("__version__ = '0.0.1'", OTHER)
    of_repository = {"files": script.Result("ok")}
    monkeypatch.setattr(
        script, "check_bundle",
        lambda bundle, **options: of_repository if bundle == "gradprom_isic" else check_bundle(bundle, **options),
    )
    assert script.main(["gradprom_isic", str(folder), "--json", str(tmp_path / "found.json")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in (lines[0], *lines[2:4])] == [
        ["bundle", "code", "files", "weights"],
        ["gradprom_isic", "ok"],
        ["gradprom_mni152", "ok", "0.0.1", "FAIL", "FAIL"],
    ]
    assert ("code: gradprom_mni152 was checked by the shared 0.0.1 that lies in it; the repository has "
            f"{__version__}.") in lines
    found = json.loads((tmp_path / "found.json").read_text())["bundles"]["gradprom_mni152"]
    assert found["code"]["note"] == "0.0.1"


DAMAGED: dict[str, tuple[str, str, str]] = {
    "syntax": ("__version__ = '1'", "def", "found SyntaxError: invalid syntax (__init__.py, line 1)"),
    "missing module": ("import shared.nothing", "", "found ModuleNotFoundError: No module named 'shared.nothing'"),
    "end of the process": ("import os; os._exit(3)", "", "found an end with exit code 3 (no message)"),
    "error of the checks": (
        "__version__ = '1'", OTHER.replace("say(check.name)", "raise KeyError('status')"),
        "found an end with exit code 1 (KeyError: 'status')",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_code(package: Callable[[str, str], Path], case: str) -> None:
    init, conformance, expected = DAMAGED[case]
    results = check_bundle(package(init, conformance))
    assert results["code"].failures == (f"shared: {expected}, expected the package's own code to check the package",)
    assert [results[check.name].status for check in CHECKS] == ["skipped"] * len(CHECKS)
    assert results["files"].note == "needs 'code' to be ok"


def test_the_repository_does_not_stand_in_for_missing_code(package: Callable[[str, str], Path]) -> None:
    folder = package("", "")
    for path in reversed(files(folder / "shared")):
        path.unlink() if path.is_file() else path.rmdir()
    (line,) = check_bundle(folder)["code"].failures
    assert line.startswith("shared: found no folder shared with code")
