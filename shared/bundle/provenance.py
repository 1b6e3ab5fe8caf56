"""Where weights come from: a small JSON file beside every ``model.pt``."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.files import make_folder, read_json, short_path, write_atomically
from shared.version import __version__

FILE_NAME = "provenance.json"
PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the packages that decide about a result."""
    return {"python": platform.python_version(), "shared": __version__, **{p: version(p) for p in PACKAGES}}


def command() -> str:
    """Return the command that started this process, as a person would type it."""
    program, *arguments = sys.argv
    if Path(program).parts[-3:] == ("monai", "bundle", "__main__.py"):
        return shlex.join(["python", "-m", "monai.bundle", *arguments])
    if program.endswith(".py"):
        return shlex.join(["python", short_path(program), *arguments])
    return shlex.join([Path(program).name, *arguments])


def training_command(bundle_root: str | Path) -> str:
    """Return the command that trains a bundle, with a path as short as it gets from here."""
    file = shlex.quote(short_path(Path(bundle_root) / "configs" / "train.json"))
    return f"python -m monai.bundle run training --config_file {file}"


def describe(data: str, phantom: bool, seed: int, device: Any, **more: Any) -> dict[str, Any]:
    """Return the provenance of what this run makes.

    Args:
        data: name of the data set.
        phantom: whether it is phantom data, which are no result.
        seed: of the run.
        device: on which it ran.
        more: whatever else a reader should know, as JSON types.
    """
    return {
        "data": data,
        "phantom": bool(phantom),
        "seed": seed,
        "device": str(device),
        "versions": versions(),
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        **more,
    }


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON file whole or not at all."""
    path = Path(path)
    make_folder(path.parent)
    write_atomically(path, (json.dumps(content, indent=4) + "\n").encode())


def read(folder: str | Path) -> dict[str, Any] | None:
    """Return the provenance beside the weights in a folder, or None when there is none.

    Raises:
        InputError: when the file is no JSON object.
    """
    path = Path(folder) / FILE_NAME
    return read_json(path, "the provenance written by training") if path.is_file() else None


def setting(ckpt_path: str | Path, key: str, default: Any) -> Any:
    """Return what the provenance beside some weights says about them, for example the ``scale`` they enlarge by.

    Args:
        ckpt_path: file of the weights.
        key: of the provenance.
        default: answer where there is no provenance, or it does not tell.

    Raises:
        InputError: when the provenance is no JSON object.
    """
    return (read(Path(ckpt_path).parent) or {}).get(key, default)


def protect(folder: str | Path, phantom: bool, file: str = "model.pt") -> None:
    """Refuse to let a run on phantom data overwrite weights trained on real data.

    Args:
        folder: of the weights.
        phantom: whether the run is on phantom data.
        file: name of the weights.

    Raises:
        InputError: when that would happen.
    """
    before = read(folder)
    if phantom and before is not None and not before.get("phantom", False) and (Path(folder) / file).exists():
        raise InputError(
            f"{Path(folder) / file}: found weights trained on real data, which a run on phantom data must not "
            "overwrite; point MONAI_DATA_DIRECTORY or --dataset_dir at real data, or give another folder by --ckpt_dir"
        )
