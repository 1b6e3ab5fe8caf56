"""The files that a bundle of the Model Zoo has, and its name."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from monai.bundle import ConfigParser

from shared.bundle import provenance
from shared.bundle.location import FILE_NAME as PACKAGE
from shared.conformance.bundle import MODEL, Bundle
from shared.conformance.result import Result
from shared.files import read_json
from shared.packaging.metadata import METADATA

REQUIRED = (
    "LICENSE",
    METADATA,
    "configs/train.json",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "docs/README.md",
    "docs/data_license.txt",
)
LARGE_FILES = ("large_files.yml", "large_files.yaml", "large_files.json")
LARGEST = 25 * 1024 * 1024
"""Bytes of a file that the Model Zoo takes into its repository; larger ones it downloads."""


def check_files(bundle: Bundle) -> Result:
    """Required files are there and not empty, the name is one of the Model Zoo, no file is too large.

    ``models/model.pt`` is preferred by the Model Zoo and may be missing; the table says so.
    """
    failures = [
        f"{name}: found {'an empty file' if (bundle.folder / name).is_file() else 'no such file'}, expected one that "
        f"every bundle has"
        for name in REQUIRED
        if not (bundle.folder / name).is_file() or not (bundle.folder / name).read_bytes().strip()
    ]
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", bundle.name):
        failures.append(f"{bundle.name}: found this name of the folder, expected lower-case words joined by '_'")
    large, wrong = _large_files(bundle.folder)
    failures += wrong
    for name in _own_files(bundle):
        size = (bundle.folder / name).stat().st_size
        if size > LARGEST and name not in large:
            found = f"{size / 2**20:.1f} MiB"
            failures.append(f"{name}: found {found}, expected at most 25 MiB or an entry in large_files.yml")
    present = (bundle.folder / MODEL).is_file() or MODEL in large
    return Result.of(failures, "" if present else "no weights")


def _own_files(bundle: Bundle) -> list[str]:
    """Paths of all files that the bundle is made of, without what training, evaluation and Python leave beside them."""
    listed = read_json(bundle.folder / PACKAGE, "the package.json of a package")["files"] if bundle.is_package else ()
    kept = {MODEL, f"models/{provenance.FILE_NAME}", *listed}
    paths = [path.relative_to(bundle.folder) for path in bundle.folder.rglob("*") if path.is_file()]
    return sorted(
        path.as_posix()
        for path in paths
        if path.as_posix() in kept
        or not (path.parts[0] in ("models", "eval") or any(p == "__pycache__" or p[0] == "." for p in path.parts))
    )


def _large_files(folder: Path) -> tuple[list[str], list[str]]:
    """Paths that the list of downloads names, and what is wrong with it."""
    name = next((name for name in LARGE_FILES if (folder / name).is_file()), None)
    if name is None:
        return [], []
    try:
        content = ConfigParser.load_config_file(str(folder / name))
    except Exception as err:  # YAML and JSON raise errors of their own
        return [], [f"{name}: found no readable list ({type(err).__name__}), expected a key large_files"]
    entries = content.get("large_files") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        return [], [f"{name}: large_files: found {type(entries).__name__}, expected a list of path and url"]
    failures = [line for k, entry in enumerate(entries) for line in _entry_failures(f"{name}: entry {k}", entry)]
    return [str(entry["path"]) for entry in entries if isinstance(entry, dict) and "path" in entry], failures


def _entry_failures(where: str, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{where}: found {type(entry).__name__}, expected path and url"]
    path, url = PurePosixPath(str(entry.get("path", ""))), urlsplit(str(entry.get("url", "")))
    failures = []
    if not path.parts or path.is_absolute() or ".." in path.parts:
        failures.append(f"{where}: path: found {str(path)!r}, expected a file inside the bundle")
    if url.scheme != "https" or not url.netloc:
        failures.append(f"{where}: url: found {entry.get('url')!r}, expected one that begins with https://")
    return failures
