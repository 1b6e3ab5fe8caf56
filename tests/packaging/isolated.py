"""Python that sees the installed packages but not this repository, as on a machine that has requirements.txt alone.

The repository is installed in editable mode, which takes effect through a ``.pth`` file. Without the module ``site``
(``-S``) Python reads none, and packages are found through PYTHONPATH.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

PREAMBLE = """
import importlib.util
assert importlib.util.find_spec("shared") is None, "the repository is in sight"
"""
"""Begins a script that is not started in a package's folder."""


def run(arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with some arguments in a folder."""
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


def succeed(arguments: Sequence[str], cwd: Path) -> str:
    """Return what a run printed; it must end well."""
    result = run(arguments, cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
