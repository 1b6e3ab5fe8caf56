"""Copies of bundles that a test may break, and a machine without a network."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared import bundle_root
from tests.scripts.loading import load_script


class Copy:
    """A copied bundle without weights."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        source = Path(bundle_root(name))
        for part in ("configs", "docs"):
            shutil.copytree(source / part, self.folder / part)
        shutil.copy(source / "LICENSE", self.folder)

    def change(self, name: str, change: Callable[[Any], Any]) -> None:
        """Change the content of a configuration."""
        path = self.folder / "configs" / f"{name}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def add_weights(self) -> None:
        """The weights that the repository has of its MNI152 bundle."""
        shutil.copytree(Path(bundle_root("gradprom_mni152")) / "models", self.folder / "models",
                        ignore=lambda folder, names: set(names) - {"model.pt", "provenance.json"})


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("check_bundles")


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Copy]:
    return lambda name: Copy(name, tmp_path / "copies")


@pytest.fixture
def mni152(copy: Callable[[str], Copy]) -> Copy:
    return copy("gradprom_mni152")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach another machine fails; gives the list of attempts."""
    attempts: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        attempts.append(repr(arguments[1:] or arguments))
        raise OSError("this test has no network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return attempts
