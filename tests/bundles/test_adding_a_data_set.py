"""Adding a data set as bundles/README.md tells it, word for word, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.commands import ROOT


def examples() -> dict[str, str]:
    """The blocks of bundles/README.md by what they are."""
    text = (ROOT / "bundles" / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- example: (.*?) -->\n```\w+\n(.*?)```", text, re.DOTALL))


def insert(path: Path, before: str, line: str) -> None:
    """Add a line behind the one that opens a dictionary."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, f"{before}\n{line.rstrip()}"), encoding="utf-8")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy with the new data set and its bundle's facts."""
    copy = tmp_path_factory.mktemp("repository")
    for name in ("shared", "scripts", "bundles/gradprom_isic"):
        ignored = shutil.ignore_patterns("__pycache__", "models", "eval")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "requirements.txt", copy)
    blocks = examples()
    data = copy / "shared" / "data"
    insert(data / "locations.py", "SOURCES = {", blocks.pop("a line of SOURCES in shared/data/locations.py"))
    phantoms = data / "phantoms" / "__init__.py"
    insert(phantoms, "PHANTOMS: dict[str, Phantom] = {",
           blocks.pop("a line of PHANTOMS in shared/data/phantoms/__init__.py"))
    text = phantoms.read_text(encoding="utf-8")
    phantoms.write_text(text.replace(" camus,", " camus, cells,", 1), encoding="utf-8")
    (copy / "commands.sh").write_text(f"set -e\n{blocks.pop('commands')}", encoding="utf-8")
    for name, block in blocks.items():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    return copy


@pytest.mark.slow
def test_the_commands_train_on_the_new_data_set(repository, tmp_path):
    """From facts and a reader to a run of training, evaluation and report, in a minute."""
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(repository), "XDG_CACHE_HOME": str(tmp_path),
                   "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("MONAI_DATA_DIRECTORY", None)
    result = subprocess.run(["bash", "commands.sh"], cwd=repository, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    bundle = repository / "bundles" / "gradprom_cells"
    summary = json.loads((bundle / "eval" / "smoke" / "summary.json").read_text())
    assert summary["run"]["data"] == "cells"
    assert summary["run"]["phantom"] is True
    assert summary["number_of_images"] == 3
    assert (bundle / "models" / "smoke" / "recognition.pt").is_file()


def test_the_code_is_in_the_house_style(repository):
    files = ["shared/data/cells.py", "shared/data/phantoms/cells.py"]
    result = subprocess.run([sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), *files],
                            cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_facts_are_few():
    def leaves(value) -> int:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 1 if parts is None else sum(map(leaves, parts))

    assert leaves(json.loads(examples()["bundles/gradprom_cells/facts.json"])) <= 35
