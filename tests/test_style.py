"""The settings of pyproject.toml hold for the whole project, and so do the house rules a machine can check."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "shared").rglob("*.py"))


def tracked() -> list[Path]:
    """Files of the repository; all files where it is no repository (an unpacked archive)."""
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = result.stdout.split("\0") if result.returncode == 0 else []
    # Git also names what was removed since the last commit.
    return [ROOT / name for name in names if name and (ROOT / name).is_file()] or PACKAGE


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"]], ids=lambda words: words[0])
def test_checker_is_content(command):
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_rooms_import_rooms_below_them():
    """The contracts of pyproject.toml, which also name a room that no layer has."""
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; none if there is no such circle."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as err:
        return err.args[1]
    return []


def test_no_circle_of_modules():
    """Also of imports within functions; those for type checkers do not count."""
    graph = grimp.build_graph("shared", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert circle(imports) == []


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short_and_raises_instead_of_asserting(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    nodes = list(ast.walk(ast.parse(text)))
    assert not [node.lineno for node in nodes if isinstance(node, ast.Assert)]
    imported = [
        name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    ]
    assert not [name for name in imported if name.split(".")[0] == "torchvision"]


def test_no_large_or_generated_files_and_no_absolute_paths():
    for path in tracked():
        assert path.stat().st_size < 6_000_000, path
        assert path.suffix not in (".log", ".zip", ".npy"), path
        assert path.suffix != ".png" or path.stat().st_size < 300_000, path
        if path.suffix in (".py", ".json", ".sh", ".md", ".toml"):
            assert not re.search(r"(?<![\w.])/(?:home|root|work|Users)/\w", path.read_text(encoding="utf-8")), path


def test_every_requirement_is_pinned_and_has_a_reason():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(wanted) > 10
    assert [line for line in wanted if not re.match(r"^[\w-]+==[\w.]+\s+# \S+", line)] == []
