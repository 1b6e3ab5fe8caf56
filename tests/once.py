"""A folder that is made once in a test run, by whichever of pytest's workers asks for it first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` that ``make(folder)`` fills; the others wait for it, and nobody may change it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / "once" / name, root / "once" / f"{name}.done"
    done.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            assert not folder.exists(), f"{name} could not be made: the first test that asked for it says why"
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
