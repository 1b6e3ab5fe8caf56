"""What scripts/label_server.sh refuses, before it installs, unpacks or starts anything."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.bundle.archive import to_zip
from shared.bundle.manifest import Manifest
from shared.files import digest
from tests.label.serving import free_port

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = {"models/model.pt": b"weights"}


def write_package(
    folder: Path, name: str = "gradprom_one", shared_version: str = "0.2.0", files: dict[str, bytes] = WEIGHTS
) -> str:
    """A package whose files are sound, whatever they mean."""
    manifest = Manifest(name, "1.0", shared_version, {file: digest(content) for file, content in files.items()})
    path = folder / f"{name}_{shared_version}.zip"
    path.write_bytes(to_zip(manifest, files))
    return str(path)


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "scripts" / "label_server.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture
def studies(tmp_path: Path) -> str:
    folder = tmp_path / "studies"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def refused(tmp_path: Path, studies: str) -> Iterator[Callable[..., str]]:
    """The one line that a command ends with; nothing may be written but what was there before."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def run(*arguments: str, **environment: str) -> str:
        result = start(*arguments, TMPDIR=str(temporary), **environment)
        assert result.returncode != 0
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        return lines[0]

    yield run
    assert list(temporary.iterdir()) == []
    assert list(Path(studies).iterdir()) == []


def test_sound_packages_pass(tmp_path: Path, studies: str) -> None:
    packages = [write_package(tmp_path, name) for name in ("gradprom_one", "gradprom_two")]
    result = start("--check", "--studies", studies, "--port", str(free_port()), *packages)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_help_starts_nothing() -> None:
    result = start("--help")
    assert result.returncode == 0
    assert "--studies DIR" in result.stdout
    assert "Setting up" not in result.stdout


def test_missing_studies(refused: Callable[..., str], tmp_path: Path) -> None:
    assert f"--studies: found no folder {tmp_path / 'nowhere'}" in refused(
        "--studies", str(tmp_path / "nowhere"), write_package(tmp_path)
    )


def test_unknown_option(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    assert "unrecognized arguments: --prot" in refused("--studies", studies, "--prot", write_package(tmp_path))


def test_no_package(refused: Callable[..., str], studies: str) -> None:
    assert "PACKAGE.zip" in refused("--studies", studies)


@pytest.mark.parametrize("port", ["0", "65536", "many"])
def test_no_port(refused: Callable[..., str], tmp_path: Path, studies: str, port: str) -> None:
    assert port in refused("--studies", studies, "--port", port, write_package(tmp_path))


def test_port_in_use(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        # The port is looked at before the packages: this one does not exist.
        message = refused("--studies", studies, "--port", port, str(tmp_path / "none.zip"))
    assert f"--port: {port} of 127.0.0.1 cannot be used: Address already in use" in message


def test_missing_package(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    assert "none.zip: no such file" in check(refused, studies, str(tmp_path / "none.zip"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "no zip"])
def test_damaged_package(refused: Callable[..., str], tmp_path: Path, studies: str, damage: str) -> None:
    package = Path(write_package(tmp_path, files={"models/model.pt": bytes(1000)}))
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes({"cut": content[:300], "flipped": content, "no zip": b"PK"}[damage])
    assert f"{package}: found a" in check(refused, studies, str(package))


def test_package_without_weights(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    package = write_package(tmp_path, files={"configs/inference.json": b"{}"})
    assert f"{package}: found no models/model.pt" in check(refused, studies, package)


def test_packages_of_different_versions(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    packages = [write_package(tmp_path, "gradprom_one"), write_package(tmp_path, "gradprom_two", "0.3.0")]
    message = check(refused, studies, *packages)
    assert f"{packages[1]}: made with shared 0.3.0, but {packages[0]} with 0.2.0" in message


def test_one_bundle_twice(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    (tmp_path / "other").mkdir()
    packages = [write_package(tmp_path), write_package(tmp_path / "other")]
    assert f"{packages[1]}: holds the bundle gradprom_one, as does {packages[0]}" in check(refused, studies, *packages)


def test_python_without_monailabel(refused: Callable[..., str], tmp_path: Path, studies: str) -> None:
    nothing = tmp_path / "python"
    nothing.write_text("#!/bin/sh\necho Traceback >&2\necho No module named monailabel >&2\nexit 1\n")
    nothing.chmod(0o755)
    message = check(refused, studies, write_package(tmp_path), LABEL_PYTHON=str(nothing))
    assert f"LABEL_PYTHON: '{nothing}' cannot import monailabel: No module named monailabel" in message


def check(refused: Callable[..., str], studies: str, *packages: str, **environment: str) -> str:
    return refused("--studies", studies, "--port", str(free_port()), *packages, **environment)
